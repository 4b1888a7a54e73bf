"""A MuJoCo world behind the servos: arms sag, droop, hit things and cannot get through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot.emulator.config import NO_ID, ServoConfig
from demoloop.robot.emulator.motor import TICKS_PER_TURN, Drive, MotorConstants
from demoloop.robot.errors import RobotError

_RAD_PER_TICK = 2 * pi / TICKS_PER_TURN
_MAX_BEHIND_S = 0.1  # a process that did not get to run for longer than this skips time
_COASTING = 0.1  # of the damping is friction; the rest is the motor's own field (BAM, 2025)
_WALL = 1e3  # N m and N m s/rad, friction and damping of a shaft that something holds
_HAND_STIFFNESS, _HAND_DAMPING, _HAND_FORCE = 30.0, 1.5, 6.0  # N m/rad, N m s/rad, N m: a person


@dataclass(frozen=True)
class Snapshot:
    """The world at one instant; enough to draw it."""

    time: float  # s, on the clock that is handed to `advance`
    qpos: NDArray[np.float64]  # (nq,)
    mocap: NDArray[np.float64]  # (nmocap, 7) of bodies that no force moves: x y z [m], w x y z


class World:
    """One model that keeps pace with a clock."""

    def __init__(self, path: Path) -> None:
        """Loads an .mjb (`mujoco.mj_saveModel`) or an MJCF.

        Raises:
            RobotError: The file is no model.
        """
        try:
            load = mujoco.MjModel.from_binary_path if path.suffix == ".mjb" else None
            self.model = (load or mujoco.MjModel.from_xml_path)(str(path))
        except (ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            raise RobotError(f"{path} is no MuJoCo model: {reason}") from error
        self.data = mujoco.MjData(self.model)
        self._now = 0.0
        self._publish()
        self._hand: dict[int, tuple[int, float]] = {}  # dof -> where in qpos, and where to
        self._nudged: frozenset[int] = frozenset()  # dofs

    def shaft(self, servo: ServoConfig, constants: MotorConstants) -> MirrorShaft:
        """Returns the shaft of a servo, which drives the actuator of its joint.

        A shadow only looks: the actuator of a joint with two servos stands for both.

        Raises:
            RobotError: There is no such joint, or no actuator that turns it.
        """
        joint = self._joint(servo.joint)
        number, per_unit, zero = int(joint.id), servo.ticks_per_unit, servo.zero_tick
        low, high = joint.range.tolist() if servo.is_opening else (0.0, 1.0)
        if servo.start is not None:
            self.data.qpos[joint.qposadr[0]] = low + servo.start * (high - low)
        per_unit /= high - low
        zero -= per_unit * low
        if servo.shadows != NO_ID:
            return MirrorShaft(self, number, zero, per_unit)
        for actuator in range(self.model.nu):
            is_joint = self.model.actuator_trntype[actuator] == mujoco.mjtTrn.mjTRN_JOINT
            if is_joint and self.model.actuator_trnid[actuator, 0] == number:
                return JointShaft(self, number, actuator, zero, per_unit, constants)
        raise RobotError(f"no actuator of the model turns {servo.joint!r}; add a <position>")

    def start_at(self, now: float) -> None:
        """Begins at `now` [s]."""
        self._now = now
        mujoco.mj_forward(self.model, self.data)
        self._publish()

    def advance(self, now: float) -> None:
        """Steps until `now` [s]; what is more than 0.1 s behind is skipped."""
        step = self.model.opt.timestep
        self._now = max(self._now, now - _MAX_BEHIND_S)
        if self._now + step > now:
            return
        while self._now + step <= now:
            for dof, (adr, target) in self._hand.items():
                force = _HAND_STIFFNESS * (target - self.data.qpos[adr])
                force = float(np.clip(force, -_HAND_FORCE, _HAND_FORCE))
                self.data.qfrc_applied[dof] = force - _HAND_DAMPING * self.data.qvel[dof]
            mujoco.mj_step(self.model, self.data)
            self._now += step
        self._publish()

    def place(self, qpos: Sequence[float], mocap: Sequence[float] = ()) -> None:
        """Puts everything at `qpos` (nq,), at rest, and bodies no force moves at `mocap`.

        Raises:
            ValueError: One of them has another length.
        """
        wanted = [(qpos, self.model.nq)] + [(mocap, 7 * self.model.nmocap)] * bool(mocap)
        for given, size in wanted:
            if len(given) != size or not np.isfinite(given).all():
                raise ValueError(f"{len(given)} numbers, the world has {size} finite ones")
        if mocap:
            poses = np.reshape(mocap, (-1, 7))
            self.data.mocap_pos[:], self.data.mocap_quat[:] = poses[:, :3], poses[:, 3:]
        self.data.qpos[:] = qpos
        self.data.qvel[:] = 0
        self.data.qacc_warmstart[:] = 0
        self._publish()

    def drag(self, joints: Mapping[str, float]) -> None:
        """A hand leads these joints from now on, and lets go of all others.

        Raises:
            RobotError: There is no such joint.
        """
        hand = {}
        for name, target in joints.items():
            joint = self._joint(name)
            hand[int(joint.dofadr[0])] = (int(joint.qposadr[0]), target)
        for dof in self._hand:
            self.data.qfrc_applied[dof] = 0.0
        self._hand = hand

    def push(self, torques: Mapping[str, float]) -> None:
        """Torques [N m] turn these joints from now on, and no others; where a hand leads, it does.

        Raises:
            RobotError: There is no such joint.
            ValueError: A torque is not finite.
        """
        if not np.isfinite(list(torques.values())).all():
            raise ValueError("a push is a finite torque")
        nudges = {int(self._joint(name).dofadr[0]): torque for name, torque in torques.items()}
        for dof in {*self._nudged, *nudges} - self._hand.keys():
            self.data.qfrc_applied[dof] = nudges.get(dof, 0.0)
        self._nudged = frozenset(nudges)

    def _publish(self) -> None:
        mocap = np.hstack([self.data.mocap_pos, self.data.mocap_quat])
        self.snapshot = Snapshot(self._now, self.data.qpos.copy(), mocap)

    def _joint(self, name: str) -> Any:
        try:
            return self.model.joint(name)
        except KeyError as error:
            names = [self.model.joint(i).name for i in range(self.model.njnt)]
            raise RobotError(f"the model has no joint {name!r}; it has {names}") from error


class MirrorShaft:
    """Sees a joint and does nothing to it."""

    def __init__(self, world: World, joint: int, zero_tick: float, ticks_per_unit: float) -> None:
        """Takes the joint's number in the model."""
        self._world = world
        self._qpos = int(world.model.jnt_qposadr[joint])
        self._dof = int(world.model.jnt_dofadr[joint])
        self._zero_tick, self._ticks_per_unit = zero_tick, ticks_per_unit

    @property
    def joint_position(self) -> float:
        """Where the joint is [rad, or m]."""
        return float(self._world.data.qpos[self._qpos])

    @property
    def joint_velocity(self) -> float:
        """How fast it moves [rad/s, or m/s]."""
        return float(self._world.data.qvel[self._dof])

    @property
    def position(self) -> float:
        """Where the servo is [rad at the servo]."""
        return (self._zero_tick + self._ticks_per_unit * self.joint_position) * _RAD_PER_TICK

    @property
    def velocity(self) -> float:
        """How fast it turns [rad/s at the servo]."""
        return self._ticks_per_unit * self.joint_velocity * _RAD_PER_TICK

    def advance(self, drive: Drive, dt: float) -> None:
        """Nothing: the joint's other servo stands for both."""

    def block(self, is_blocked: bool) -> None:
        """Nothing, likewise."""


class JointShaft(MirrorShaft):
    """Turns a joint through its position actuator, whose gains are those of the servo's factory.

    With torque off the actuator pulls no more and the joint's friction stays, without the part of
    the damping that the motor's own field makes.
    """

    def __init__(
        self,
        world: World,
        joint: int,
        actuator: int,
        zero_tick: float,
        ticks_per_unit: float,
        constants: MotorConstants,
    ) -> None:
        """Takes the numbers of joint and actuator in the model."""
        super().__init__(world, joint, zero_tick, ticks_per_unit)
        model = world.model
        self._actuator, self._constants = actuator, constants
        self._gain = float(model.actuator_gainprm[actuator, 0])
        self._damping_gain = float(model.actuator_biasprm[actuator, 2])
        self._force = float(np.abs(model.actuator_forcerange[actuator]).max()) or _WALL
        self._damping = float(np.atleast_1d(model.dof_damping[self._dof]).max())
        self._friction = float(model.dof_frictionloss[self._dof])
        self._is_blocked = False
        model.actuator_ctrllimited[actuator] = False  # a servo knows nothing of the joint's stops
        model.actuator_forcelimited[actuator] = True

    def advance(self, drive: Drive, dt: float) -> None:
        """Sets the actuator; the world moves it at its next step."""
        model, actuator, constants = self._world.model, self._actuator, self._constants
        volts = drive.volts / constants.nominal_volts
        is_position = drive.target is not None and drive.limit > 0
        gain = self._gain * volts * drive.duty_per_rad / constants.duty_per_rad
        gain = gain if is_position else 0.0
        stall = self._force
        most = stall * min(1.0, drive.limit)
        side = 1.0 if self._ticks_per_unit > 0 else -1.0
        push = side * drive.duty * stall * volts if drive.target is None else 0.0
        model.actuator_gainprm[actuator, 0] = gain
        model.actuator_biasprm[actuator, :3] = (
            push,
            -gain,
            self._damping_gain if is_position else 0.0,
        )
        model.actuator_forcerange[actuator] = (-most, most)
        damping = self._damping * (1.0 if drive.limit > 0 else _COASTING)
        model.dof_damping[self._dof] = _WALL if self._is_blocked else damping
        if drive.target is not None:
            target = (drive.target / _RAD_PER_TICK - self._zero_tick) / self._ticks_per_unit
            self._world.data.ctrl[actuator] = target

    def block(self, is_blocked: bool) -> None:
        """Holds the joint by friction that nothing overcomes, or lets it go."""
        self._is_blocked = is_blocked
        self._world.model.dof_frictionloss[self._dof] = _WALL if is_blocked else self._friction
