"""Are these the servos of this arm, and can they be trusted with it? Asks, and changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from demoloop.robot.arms.servo_map import ServoJoint, ServoMap
from demoloop.robot.bus.interface import Bus, Identity
from demoloop.robot.bus.registers import MODELS, Register
from demoloop.robot.bus.states import ServoState
from demoloop.robot.errors import RobotError
from demoloop.robot.spec import JointSpec, RobotSpec

_log = logging.getLogger(__name__)
_ANSWER_S = 0.2  # for one servo: a busy computer keeps its own answers waiting
_NUM_LOOKS = 5  # at an id that is answered for by two: they collide now and then only
BEYOND = {"rad": 0.26, "m": 0.01, "opening": 0.3}
"""How far outside its limits a joint may be found: 15 degrees, for a folded arm leans on stops."""


def check_servos(bus: Bus, servos: ServoMap) -> None:
    """Asks each servo who it is, in which mode, and at which voltage.

    Raises:
        RobotError: One is missing, double, another model, in a wrong mode or badly supplied.
    """
    found: dict[int, Identity] = {}
    silent: list[tuple[ServoJoint, int]] = []
    for joint in servos.joints:
        for servo_id in servo_ids(joint):
            identity = _identify(bus, servo_id)
            if identity is not None:
                found[servo_id] = identity
            else:
                silent.append((joint, servo_id))
    for joint in servos.joints:
        for servo_id in servo_ids(joint):
            _check_alone(bus, joint, servo_id)
    if not found:
        raise RobotError(
            f"no servo answers at {servos.baud} baud; switch the arm's power on, and see whether "
            "this is its port and its servos have this baud rate"
        )
    if silent:
        joint, servo_id = silent[0]
        raise RobotError(
            f"{joint.name}: no servo answers to id {servo_id}"
            + (f" (nor to {', '.join(str(i) for _, i in silent[1:])})" if silent[1:] else "")
            + "; check the cable before it, or give it its id with `demoloop ids`"
        )
    for joint in servos.joints:
        for servo_id in servo_ids(joint):
            _check_model(joint, servo_id, found[servo_id])
            _check_setting(bus, joint, servo_id)
    if len(versions := {identity.firmware for identity in found.values()}) > len(
        {identity.model for identity in found.values()}
    ):
        _log.warning("servos of one model have different firmware: %s", sorted(versions))


def check_states(spec: RobotSpec, servos: ServoMap, states: Mapping[int, ServoState]) -> None:
    """Looks whether the joints are where this arm's can be.

    Raises:
        RobotError: A servo has counted beyond its turn, or the calibration is another arm's.
    """
    for limits, joint in zip(spec.joints, servos.joints, strict=True):
        if joint.id not in states:
            raise RobotError(f"{joint.name}: servo {joint.id} does not say where it is; try again")
        _check_place(limits, joint, states[joint.id].position)


def servo_ids(joint: ServoJoint) -> tuple[int, ...]:
    """The servo of a joint, and its shadow."""
    return (joint.id,) if joint.shadow_id is None else (joint.id, joint.shadow_id)


def _check_alone(bus: Bus, joint: ServoJoint, servo_id: int) -> None:
    register = MODELS[joint.model].table["present_position"]
    num_garbled = 0
    for _ in range(_NUM_LOOKS):
        deadline = bus.now() + _ANSWER_S
        replies = bus.read((servo_id,), register.address, register.size, deadline)
        num_garbled += servo_id in replies.garbled
        if not replies.garbled:
            return
    if num_garbled:
        raise RobotError(
            f"{joint.name}: what answers to id {servo_id} is garbled; two servos have this id "
            "(unplug one and give it another with `demoloop ids`), or a cable is bad"
        )


def _check_model(joint: ServoJoint, servo_id: int, identity: Identity) -> None:
    model = MODELS[joint.model]
    if identity.model != model.number:
        known = {other.number: name for name, other in MODELS.items()}
        other = known.get(identity.model, "a servo unknown here")
        raise RobotError(
            f"{joint.name}: id {servo_id} is model {identity.model} ({other}), and should be "
            f"{model.number} ({model.name}); is this the right arm at this port?"
        )


def _check_setting(bus: Bus, joint: ServoJoint, servo_id: int) -> None:
    table = MODELS[joint.model].table
    mode = _ask(bus, joint, servo_id, table["operating_mode"])
    if mode not in table.position_modes:
        raise RobotError(
            f"{joint.name}: servo {servo_id} is in operating mode {mode:.0f}, not in its position "
            f"mode {table.position_modes[0]}; set it with its maker's tool"
        )
    low, high, now = (
        _ask(bus, joint, servo_id, table[name])
        for name in ("min_voltage", "max_voltage", "present_voltage")
    )
    if not low <= now <= high:
        raise RobotError(
            f"{joint.name}: servo {servo_id} has {now:.1f} V, and wants {low:.1f} to {high:.1f}; "
            "check the power supply and its plug"
        )


def _ask(bus: Bus, joint: ServoJoint, servo_id: int, register: Register) -> float:
    deadline = bus.now() + _ANSWER_S
    while bus.now() < deadline:
        replies = bus.read((servo_id,), register.address, register.size, deadline)
        if servo_id in replies.values:
            return register.value(replies.values[servo_id], register.address)
    raise RobotError(f"{joint.name}: servo {servo_id} stopped answering; check its cable")


def _identify(bus: Bus, servo_id: int) -> Identity | None:
    """Asks for the whole time: the bus gives up after some attempts, and a busy host is late."""
    deadline = bus.now() + _ANSWER_S
    while bus.now() < deadline:
        if (identity := bus.identify(servo_id, deadline)) is not None:
            return identity
    return None


def _check_place(limits: JointSpec, joint: ServoJoint, tick: int) -> None:
    if not 0 <= tick < joint.ticks_per_turn:
        raise RobotError(
            f"{joint.name}: servo {joint.id} stands at tick {tick}, outside its turn of "
            f"{joint.ticks_per_turn}; switch its power off and on (an STS3215 also counts turns "
            "while bit 4 of its phase register is set)"
        )
    position, beyond = joint.scale.to_joint(tick), BEYOND[limits.unit]
    if not limits.low - beyond <= position <= limits.high + beyond:
        raise RobotError(
            f"{joint.name} stands at {position:.2f} {limits.unit} by this calibration, outside "
            f"[{limits.low:.2f}, {limits.high:.2f}]; it is another arm's, or a horn was moved: "
            "`demoloop calibrate` makes a new one"
        )
