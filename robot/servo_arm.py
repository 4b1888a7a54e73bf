"""An arm of servos on a serial bus, follower or leader. It judges nothing: `Supervised` does."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from demoloop.robot.arm import Health, Reading
from demoloop.robot.arms.servo_map import ServoMap
from demoloop.robot.bus.interface import Bus
from demoloop.robot.bus.motors import Motors
from demoloop.robot.bus.registers import MODELS
from demoloop.robot.bus.states import STATUS_EVERY_S, ServoState, StateReader
from demoloop.robot.errors import Disconnected, RobotError
from demoloop.robot.interface import Action, Observation
from demoloop.robot.servo_checks import check_servos, check_states, servo_ids
from demoloop.robot.spec import JointSpec, RobotSpec

READ_S = 0.008
"""In which all servos are read: of 10 ms at 100 Hz. Six STS3215 at 1 Mbaud need 1.5."""
_CONNECT_S = 0.2


class Picture(Protocol):
    """What one camera saw."""

    @property
    def image(self) -> NDArray[np.uint8]:
        """(height, width, 3) RGB, of the spec's size."""
        ...

    @property
    def time(self) -> float:
        """When it was captured [s], monotonic."""
        ...


class Sight(Protocol):
    """The cameras of an arm, open already: `robot/cameras.Cameras`."""

    def newest(self) -> Mapping[str, Picture]:
        """The newest picture of each, however old."""
        ...


class ServoArm:
    """An `Arm` whose joints are servos.

    `arm = ServoArm(SO101, calibration.servos(ARM), serial_bus(ARM.servos, "/dev/ttyACM0"))`,
    then `arm.connect()`, and `arm.close()` in the end. A leader is one that is only read.
    """

    def __init__(
        self,
        spec: RobotSpec,
        servos: ServoMap,
        bus: Bus,
        cameras: Sight | None = None,
        *,
        read_s: float = READ_S,
        max_velocity: float = inf,
    ) -> None:
        """Only stores.

        Args:
            spec: What the arm is.
            servos: As measured on this arm.
            bus: Where they are; `connect` opens it.
            cameras: None for an arm that sees nothing, as a leader does.
            read_s: How long reading all of them may take [s].
            max_velocity: Of each joint in rad/s, where the spec's is not lower: the servos keep to
                it by themselves, whatever they are sent.
        """
        self._spec = spec
        self._servos = servos
        self._scales = [joint.scale for joint in servos.joints]
        self._bus = bus
        self._cameras = cameras
        self._read_s, self._max_velocity = read_s, max_velocity
        self._models = {
            servo_id: MODELS[joint.model]
            for joint in servos.joints
            for servo_id in servo_ids(joint)
        }
        self._reader = StateReader(bus, self._models)
        self._motors = Motors(bus, self._models)
        self._share = 1.0  # of the full torque
        self._limited_at = 0.0  # s, when the servos were last told so
        self._silent: tuple[int, ...] = ()
        self._is_connected = False
        self._has_torque = False

    @property
    def spec(self) -> RobotSpec:
        """What this arm is."""
        return self._spec

    def connect(self) -> None:
        """Opens the bus and checks that the servos are this arm's. Moves and switches nothing.

        Raises:
            RobotError: What is missing, busy, foreign or wrong, and the next step.
        """
        self._is_connected = False
        self._bus.open()
        try:
            check_servos(self._bus, self._servos)
            self._motors.answer_at_once()
            self._reader.forget()
            self._silent = self._reader.read(self._bus.now() + _CONNECT_S)
            check_states(self._spec, self._servos, self._reader.states)
        except BaseException:
            self._bus.close()
            raise
        self._is_connected = True

    def reset(self) -> None:
        """Does nothing: whoever supervises the arm brings it where an episode starts."""

    def observe(self) -> Observation:
        """Reads all servos in one exchange, and takes the newest picture of each camera.

        A silent joint stays where it was last seen, and `health` names it; with all silent even
        the time stays.

        Raises:
            Disconnected: The cable was pulled, or the arm was never connected.
        """
        self._check_connected()
        self._silent = self._reader.read(self._bus.now() + self._read_s)
        if self._has_torque and self._bus.now() - self._limited_at > STATUS_EVERY_S:
            self._send_limit()  # again and again: nobody acknowledges it, and a servo may restart
        pictures = self._cameras.newest() if self._cameras is not None else {}
        states = [self._reader.states[joint.id] for joint in self._servos.joints]
        read = list(zip(self._scales, states, strict=True))
        positions = [scale.to_joint(state.position) for scale, state in read]
        velocities = [scale.to_joint_velocity(state.velocity) for scale, state in read]
        return Observation(
            time=max(state.time for state in states),
            proprioception=np.array(positions + velocities, np.float32),
            images={name: picture.image for name, picture in pictures.items()},
            image_times={name: picture.time for name, picture in pictures.items()},
        )

    def act(self, action: Action) -> Action:
        """Sends one goal per joint and returns them as the servos have them, in whole ticks.

        A goal beyond the end of a servo's turn becomes that end: it cannot go past it, and would
        go all the way round.
        """
        self._check_connected()
        goals: dict[int, int] = {}
        sent = np.empty(self._spec.action_dim, np.float32)
        for at, (joint, scale) in enumerate(zip(self._servos.joints, self._scales, strict=True)):
            tick = min(max(scale.to_tick(float(action[at])), 0), joint.ticks_per_turn - 1)
            goals[joint.id] = tick
            sent[at] = (tick - scale.zero_tick) / scale.ticks_per_unit
        self._motors.go(goals)
        return sent

    def health(self) -> Health:
        """Returns how the servos were at the last `observe`; of a joint with two, the worse."""
        joints, states = self._servos.joints, self._reader.states
        found = [[states[i] for i in servo_ids(joint) if i in states] for joint in joints]
        worse = [_worse(of_joint) if of_joint else None for of_joint in found]

        def reading(name: str) -> Reading:
            values = [np.nan if state is None else getattr(state, name) for state in worse]
            return np.array(values, np.float64)

        return Health(
            time=max((state.time for state in states.values()), default=0.0),
            load=reading("load"),
            current=reading("current"),
            voltage=reading("voltage"),
            temperature=reading("temperature"),
            torque=reading("torque"),
            alarms={
                joint.name: state.alarms
                for joint, state in zip(joints, worse, strict=True)
                if state is not None and state.alarms
            },
            silent=self._names(self._silent),
        )

    def enable_torque(self) -> None:
        """Switches all motors on where they are, no quicker than the spec and `max_velocity` say.

        Raises:
            RobotError: A servo did not confirm a step; all are off again.
        """
        self._check_connected()
        joints = zip(self._spec.joints, self._servos.joints, self._scales, strict=True)
        per_count = {i: model.table["goal_velocity"].per_count for i, model in self._models.items()}
        speeds = {
            joint.id: max(
                1, round(self._fastest(limits) * abs(scale.ticks_per_unit) / per_count[joint.id])
            )
            for limits, joint, scale in joints
        }
        try:
            self._motors.on(
                self._servos.ids, {"goal_velocity": speeds, "torque_limit": self._limits()}
            )
        except Disconnected:
            raise
        except RobotError as error:
            raise RobotError(f"{self._spec.name}: torque stays off: {error}") from error
        self._reader.note_torque(dict.fromkeys(self._models, True))
        self._has_torque = True

    def disable_torque(self) -> tuple[str, ...]:
        """Switches every motor off that can be reached; returns the joints that did not confirm."""
        self._has_torque = False
        unconfirmed = self._motors.off()
        self._reader.note_torque({i: False for i in self._models if i not in unconfirmed})
        return self._names(unconfirmed)

    def limit_torque(self, share: float) -> None:
        """Lets no motor use more than this share (0 .. 1) of what it is ever allowed."""
        self._share = min(max(share, 0.0), 1.0)
        if self._is_connected:
            self._send_limit()

    def close(self) -> None:
        """Switches the motors off and lets go of the port; may be called twice."""
        if self._is_connected:
            self.disable_torque()
        self._is_connected = False
        self._bus.close()

    def _fastest(self, joint: JointSpec) -> float:
        """What the servo of a joint may do at most, in the joint's unit per second."""
        if joint.unit != "rad":
            return joint.max_velocity
        return min(joint.max_velocity, self._max_velocity)

    def _check_connected(self) -> None:
        if not self._is_connected:
            raise Disconnected(f"{self._spec.name} is not connected; connect() first")

    def _send_limit(self) -> None:
        self._motors.limit(self._limits())
        self._limited_at = self._bus.now()

    def _limits(self) -> dict[int, int]:
        return {
            i: round(
                self._share * joint.torque_share / self._models[i].table["torque_limit"].per_count
            )
            for joint in self._servos.joints
            for i in servo_ids(joint)
        }

    def _names(self, ids: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(
            joint.name
            for joint in self._servos.joints
            if any(servo_id in ids for servo_id in servo_ids(joint))
        )


def _worse(states: list[ServoState]) -> ServoState:
    """One state for the servos of one joint."""
    if len(states) == 1:
        return states[0]
    first = states[0]
    return ServoState(
        time=min(state.time for state in states),
        position=first.position,
        velocity=first.velocity,
        load=max((state.load for state in states), key=abs),
        current=max((state.current for state in states), key=abs),
        voltage=min(state.voltage for state in states),
        temperature=max(state.temperature for state in states),
        torque=min(state.torque for state in states),
        alarms=tuple(dict.fromkeys(alarm for state in states for alarm in state.alarms)),
    )
