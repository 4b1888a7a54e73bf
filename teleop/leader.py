"""A leader arm: the person moves it, the follower does the same."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action, Observation, RobotError, RobotSpec
from demoloop.teleop.errors import TeleopError
from demoloop.teleop.grip import GripLimit
from demoloop.teleop.pace import Pace

State = Literal["apart", "aligning", "following", "lost"]
Vector = NDArray[np.float64]

ALIGN_SPEED = 0.5
"""rad/s, and openings/s: slow enough to step back from."""
AGREED = 0.05
"""rad, and openings: within this the follower does what the leader does."""
APART = 0.8
"""rad: beyond, the follower waits. Wu et al. 2023 (GELLO) give up there; a person who holds the
leader can simply bring it nearer."""


class LeaderArm(Protocol):
    """What is read of a leader: a `ServoArm` whose motors are off, or anything that has a pose."""

    @property
    def spec(self) -> RobotSpec:
        """Joints of the same names as the follower's, zero at the same pose."""
        ...

    def observe(self) -> Observation:
        """Reads the joints; raises RobotError when they cannot be read."""
        ...


class Leader:
    """The agent that says what a leader arm shows: joint for joint, by name, in radians.

    Nothing ever leaps. Where the two arms differ, the follower goes towards the leader at
    `ALIGN_SPEED`; from the moment they agree it does what the hand does, and what was left of the
    difference fades at that speed. That holds at the start, when a lost leader comes back, and
    after `begin`. A relative leader needs no alignment: it moves the follower by as much as it is
    moved itself, from wherever both are, which is what correcting a policy wants.

    Attributes:
        state: apart: too far away, the follower waits. aligning: it is on its way. following.
            lost: the leader cannot be read, the follower stays.
        status: The state in a sentence that names the joint; empty while following.
    """

    def __init__(
        self,
        arm: LeaderArm,
        follower: RobotSpec,
        *,
        is_relative: bool = False,
        grip: GripLimit | None = None,
        gripper_span: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        """Stores.

        Args:
            arm: The leader, connected by whoever made it.
            follower: The robot that shall move.
            is_relative: Whether only movement counts, not the pose.
            grip: Keeps the follower's gripper from crushing.
            gripper_span: Openings of the leader's handle that mean closed and open.

        Raises:
            TeleopError: The leader lacks a joint of the follower, or the span is empty.
        """
        names = arm.spec.joint_names
        missing = [name for name in follower.joint_names if name not in names]
        if missing:
            raise TeleopError(
                f"{arm.spec.name} cannot lead {follower.name}: it has no joint {missing[0]!r}, "
                f"only {', '.join(names)}"
            )
        if not gripper_span[1] - gripper_span[0] >= 0.05:
            raise TeleopError(
                f"the leader's gripper is closed at {gripper_span[0]:g} and open at "
                f"{gripper_span[1]:g}; closed must be the smaller one, by at least 0.05"
            )
        self.state: State = "aligning"
        self.status = ""
        self._arm, self._spec = arm, follower
        self._is_relative, self._grip = is_relative, grip
        self._closed, self._open = gripper_span
        self._order = [names.index(name) for name in follower.joint_names]
        self._is_angle = np.array([joint.unit == "rad" for joint in follower.joints])
        self._has_gripper = follower.joints[-1].unit == "opening"
        self.reset()

    def reset(self) -> None:
        """Begins from wherever the follower is when it is next seen."""
        self._commanded: Vector | None = None  # (action_dim,)
        self._last_shown: Vector | None = None
        self._residual = np.zeros(self._spec.action_dim)  # leader less command, fading
        self._pace = Pace()
        self.state = "aligning"
        if self._grip is not None:
            self._grip.reset()

    def begin(self, commanded: Action) -> None:
        """Takes over a follower that was sent to `commanded` (action_dim,) last."""
        self.reset()
        self._commanded = np.clip(commanded, self._spec.low, self._spec.high).astype(np.float64)

    def decide(self, observation: Observation) -> Action:
        """Returns where the follower shall go, seeing what the leader shows."""
        if self._commanded is None:
            self.begin(observation.proprioception[: self._spec.action_dim])
            assert self._commanded is not None
        reach = ALIGN_SPEED * self._pace.since(observation.time)
        try:
            shown = self._read()
        except RobotError as error:
            self.state, self.status = "lost", f"leader lost, the follower stays: {error}"
            self._last_shown = None
        else:
            if self._is_relative:
                self._commanded = self._moved_along(shown)
            else:
                within = np.clip(shown, self._spec.low, self._spec.high)
                self._commanded = self._approached(within, reach)
        return self._gripped(self._commanded, observation).astype(np.float32)

    def _read(self) -> Vector:
        """Returns what the leader shows, in the follower's order and openings."""
        reading = self._arm.observe().proprioception[: self._arm.spec.action_dim]
        shown = reading[self._order].astype(np.float64)
        if self._has_gripper:
            shown[-1] = (shown[-1] - self._closed) / (self._open - self._closed)
        if not np.isfinite(shown).all():
            joint = self._spec.joint_names[int(np.argmin(np.isfinite(shown)))]
            raise RobotError(f"{self._arm.spec.name}: {joint} is not a number")
        return shown

    def _moved_along(self, shown: Vector) -> Vector:
        """Returns the last command moved by as much as the leader was since the last look."""
        assert self._commanded is not None
        self.state, self.status = "following", ""
        moved = np.zeros_like(shown) if self._last_shown is None else shown - self._last_shown
        self._last_shown = shown
        # Clipped at each step, so that a leader turned back from beyond a limit moves at once.
        return np.clip(self._commanded + moved, self._spec.low, self._spec.high)

    def _approached(self, shown: Vector, reach: float) -> Vector:
        """Returns the command that comes nearer to the leader by at most `reach` per joint.

        While following, the hand's own movement comes on top of that.
        """
        assert self._commanded is not None
        if self.state != "following":
            self._residual = shown - self._commanded
            if np.abs(self._residual).max() <= AGREED:
                self.state, self.status = "following", ""
            else:
                far = np.where(self._is_angle, np.abs(self._residual), 0.0)
                self.state = "apart" if far.max() > APART else "aligning"
                self.status = self._difference(shown, self._commanded)
                if self.state == "apart":
                    return self._commanded
        self._residual -= np.clip(self._residual, -reach, reach)
        return np.clip(shown - self._residual, self._spec.low, self._spec.high)

    def _difference(self, shown: Vector, commanded: Vector) -> str:
        """Names the joint in which the arms differ most."""
        away = np.abs(shown - commanded)
        if self.state == "apart":
            away = np.where(self._is_angle, away, 0.0)
        joint = self._spec.joints[int(np.argmax(away))]
        leader, follower = shown[int(np.argmax(away))], commanded[int(np.argmax(away))]
        todo = (
            f"bring the leader to within {APART:g} rad of it"
            if self.state == "apart"
            else "the follower is on its way"
        )
        return (
            f"{joint.name}: leader at {leader:.2f} {joint.unit}, follower at {follower:.2f}; {todo}"
        )

    def _gripped(self, commanded: Vector, observation: Observation) -> Vector:
        if self._grip is None or not self._has_gripper:
            return commanded
        size = self._spec.action_dim
        opening = float(observation.proprioception[size - 1])
        velocity = float(observation.proprioception[2 * size - 1])
        target = self._grip.limit(float(commanded[-1]), opening, velocity)
        return np.append(commanded[:-1], target)
