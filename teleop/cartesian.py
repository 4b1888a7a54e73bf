"""Every device that moves a hand through space, made into joint targets in one place."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action, DemoloopError, Observation
from demoloop.robot.arms import ArmModel
from demoloop.teleop.motion import Device, Motion, check_motion
from demoloop.teleop.pace import Pace
from demoloop.teleop.reach import Reach, Workspace, limited

State = Literal["idle", "engaged", "lost"]
Vector = NDArray[np.float64]

MAX_SPEED = 0.25
"""m/s of the hand: what ISO 10218-1 calls reduced speed, with a person beside the arm."""
MAX_TURN = 1.5
"""rad/s of pitch and of roll."""
MAX_JOINT_SPEED = 2.5
"""rad/s, where a joint's own limit is not lower: below the 3 that `Supervised` allows."""
MAX_OPENING_RATE = 2.0
"""1/s: half a second from open to closed."""
ACCELERATION = 2.5
"""m/s^2 of rates: a key is all or nothing, a hand takes a tenth of a second to set off."""
TURN_ACCELERATION = 15.0
"""rad/s^2, likewise."""
MAX_LAG = 0.10
"""m that the arm makes up for when a hand was quicker than it; what is beyond is forgotten."""
_REFUSED = 5e-4  # m a step: so much is worth a sentence


class Cartesian:
    """The agent that moves an arm's hand as a `Device` says, at any loop rate.

    Nothing ever leaps: engaging holds on to the target that was commanded last, never to where the
    arm was measured, and the target goes on from there. It keeps below `MAX_SPEED`, in the
    workspace, and within `_LEAD` of what the joints can do, so that turning back from what is out
    of reach moves the arm at once. Nothing raises while the arm is driven: what is too much is
    done more slowly or not at all, and `status` says so.

    Attributes:
        state: idle: let go, the arm stays. engaged. lost: the device cannot be read, it stays.
        status: One sentence for the person, or empty.
    """

    def __init__(
        self, device: Device, model: ArmModel, *, workspace: Workspace | None = None
    ) -> None:
        """Loads the arm's model; `workspace` None is the half in front of it, above the table."""
        self.state: State = "idle"
        self.status = ""
        self._device, self._spec = device, model.spec
        self._reach = Reach(model, workspace or Workspace(), MAX_JOINT_SPEED)
        self.reset()

    @property
    def target(self) -> Vector:
        """Where the hand is sent, (3,) [m] in the arm's base frame."""
        return self._reach.target.copy()

    def reset(self) -> None:
        """Begins from wherever the arm is when it is next seen."""
        self.state, self.status = "idle", ""
        self._has_begun = False
        self._pace = Pace()
        self._let_go()

    def begin(self, commanded: Action) -> None:
        """Takes over an arm that was sent to `commanded` (action_dim,) last."""
        self.reset()
        self._reach.begin(commanded.astype(np.float64))
        self._has_begun = True

    def decide(self, observation: Observation) -> Action:
        """Returns where the arm shall go, seeing what the device says."""
        if not self._has_begun:
            self.begin(observation.proprioception[: self._spec.action_dim])
        dt = self._pace.since(observation.time)
        motion = self._read(observation.time)
        if not motion.is_engaged:
            self._let_go()
        elif motion.joints is not None:
            fastest = np.array([joint.max_velocity for joint in self._spec.joints])
            fastest[:-1] = np.minimum(fastest[:-1], MAX_JOINT_SPEED)
            self._let_go()
            self._reach.jog(np.clip(motion.joints, -fastest, fastest) * dt)
        else:
            self._move(motion, dt)
            self._open(motion, dt)
        return self._reach.joints.astype(np.float32)

    def _read(self, time: float) -> Motion:
        try:
            motion = check_motion(self._device.read(time), self._spec.action_dim)
        except DemoloopError as error:
            self.state, self.status = "lost", f"{self._device.name}: {error}"
            return Motion()
        self.state, self.status = "engaged" if motion.is_engaged else "idle", motion.status
        return motion

    def _let_go(self) -> None:
        """Stops at once, and forgets where a pose counted from."""
        self._velocity, self._turning = np.zeros(3), np.zeros(2)
        self._position_base: Vector | None = None  # target less the device's position
        self._rolled: float | None = None  # the device's roll that the gripper has followed

    def _move(self, motion: Motion, dt: float) -> None:
        wanted = limited(motion.velocity, MAX_SPEED)
        self._velocity += limited(wanted - self._velocity, ACCELERATION * dt)
        step = self._velocity * dt
        if motion.position is not None:
            if self._position_base is None:
                self._position_base = self._reach.target - motion.position
            self._position_base += step
            step = motion.position + self._position_base - self._reach.target
        else:
            self._position_base = None
        taken = limited(step, MAX_SPEED * dt)
        turn = self._turn(motion, dt)
        if not (taken.any() or turn.any()):
            return
        refused = self._reach.move(taken, turn, dt)
        if float(np.linalg.norm(refused)) > _REFUSED and not self.status:
            self.status = "the arm reaches no further that way"
        if self._position_base is not None:
            self._position_base -= _behind(step - taken, refused)

    def _turn(self, motion: Motion, dt: float) -> Vector:
        """Returns the (2,) [rad] by which pitch and roll shall change."""
        wanted = np.clip(motion.turning, -MAX_TURN, MAX_TURN)
        most = TURN_ACCELERATION * dt
        self._turning += np.clip(wanted - self._turning, -most, most)
        turn = self._turning * dt
        if motion.roll is None or self._rolled is None:
            self._rolled = motion.roll
        else:
            owed = (motion.roll - self._rolled + np.pi) % (2 * np.pi) - np.pi  # the shorter way
            rolled = np.clip(owed, -MAX_TURN * dt, MAX_TURN * dt)
            self._rolled += float(rolled)
            turn[1] += rolled
        return turn

    def _open(self, motion: Motion, dt: float) -> None:
        most = min(self._spec.joints[-1].max_velocity, MAX_OPENING_RATE) * dt
        wanted = motion.opening_rate * dt
        if motion.opening is not None:
            wanted += motion.opening - float(self._reach.joints[-1])
        self._reach.open(float(np.clip(wanted, -most, most)))


def _behind(owed: Vector, refused: Vector) -> Vector:
    """Returns what of the way still owed to a hand is forgotten: (3,) [m].

    All that was refused, what is owed along the same axes, and what is beyond `MAX_LAG`: a hand
    that pushed into a limit and turns back need not undo its push first.
    """
    is_in_vain = refused * owed > 0
    left = np.where(is_in_vain, 0.0, owed)
    return refused + owed - limited(left, MAX_LAG)
