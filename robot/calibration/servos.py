"""The servos of one arm as somebody sees them who does not move them: who is there, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from demoloop.robot.arms import ArmModel
from demoloop.robot.bus import Bus
from demoloop.robot.bus.registers import MODELS
from demoloop.robot.calibration.measured import Calibration
from demoloop.robot.errors import RobotError
from demoloop.robot.servo_checks import check_servos

_ANSWER_S = 0.1  # six servos answer within 3 ms; a loaded host may take a while to hear it


@dataclass(frozen=True)
class ServoReport:
    """One servo, as it answered."""

    name: str  # of its joint; `_shadow` for a second one
    id: int
    model: str
    firmware: str
    voltage: float  # V
    temperature: float  # degrees Celsius
    tick: int


class Servos:
    """The servos of one arm on an open bus. Nothing here switches a torque on."""

    def __init__(self, arm: ArmModel, bus: Bus) -> None:
        """Takes a bus that whoever opened it closes."""
        self._arm, self._bus = arm, bus
        self._models = {}
        for joint in arm.servos.joints:
            for servo_id in (joint.id, joint.shadow_id):
                if servo_id is not None:
                    self._models[servo_id] = MODELS[joint.model]

    def reports(self) -> tuple[ServoReport, ...]:
        """Asks every servo who it is and how it is.

        Raises:
            RobotError: One is missing, is another model, or shares its id with another.
        """
        check_servos(self._bus, self._arm.servos)
        found = []
        for name, servo_id in slots(self._arm).items():
            identity = self._bus.identify(servo_id, self._bus.now() + _ANSWER_S)
            found.append(
                ServoReport(
                    name,
                    servo_id,
                    self._models[servo_id].name,
                    ".".join(map(str, identity.firmware)) if identity else "",
                    self._read(servo_id, "present_voltage"),
                    self._read(servo_id, "present_temperature"),
                    round(self._read(servo_id, "present_position")),
                )
            )
        return tuple(found)

    def let_go(self) -> None:
        """Switches every torque off, and reads back that it is.

        Raises:
            RobotError: A servo did not confirm it.
        """
        for servo_id, model in self._models.items():
            address = model.table["torque_enable"].address
            self._bus.write(servo_id, address, b"\0", self._bus.now() + _ANSWER_S)
        for name, servo_id in slots(self._arm).items():
            if self._read(servo_id, "torque_enable"):
                raise RobotError(
                    f"{name} (servo {servo_id}) does not let go; hold the arm and pull the plug"
                )

    def ticks(self) -> Mapping[str, int]:
        """Where the joints' servos are now, joint -> tick; those that answered."""
        names = {joint.id: joint.name for joint in self._arm.servos.joints}
        register = self._models[self._arm.servos.ids[0]].table["present_position"]
        deadline = self._bus.now() + _ANSWER_S
        replies = self._bus.read(tuple(names), register.address, register.size, deadline)
        return {
            names[servo_id]: register.decode(data, register.address)
            for servo_id, data in replies.values.items()
        }

    def homing_offset(self, joint: str) -> int:
        """The offset [ticks] somebody left in a joint's servo; it stays, and is remembered."""
        return round(self._read(slots(self._arm)[joint], "homing_offset"))

    def check_offsets(self, calibration: Calibration) -> None:
        """Looks whether the servos count as they did when they were calibrated.

        Raises:
            RobotError: Somebody wrote a homing offset since; names the joint and both numbers.
        """
        for joint in calibration.joints:
            now = self.homing_offset(joint.name)
            if now != joint.homing_offset:
                raise RobotError(
                    f"{joint.name}: somebody wrote the homing offset {now} into servo {joint.id}, "
                    f"which had {joint.homing_offset} when it was calibrated; calibrate it again"
                )

    def _read(self, servo_id: int, name: str) -> float:
        register = self._models[servo_id].table[name]
        deadline = self._bus.now() + _ANSWER_S
        replies = self._bus.read((servo_id,), register.address, register.size, deadline)
        if servo_id not in replies.values:
            raise RobotError(f"servo {servo_id} fell silent; check its cable and its power")
        return register.value(replies.values[servo_id], register.address)


def slots(arm: ArmModel) -> dict[str, int]:
    """Every servo an arm has, joint -> id; the second of a joint as `JOINT_shadow`."""
    found: dict[str, int] = {}
    for joint in arm.servos.joints:
        found[joint.name] = joint.id
        if joint.shadow_id is not None:
            found[f"{joint.name}_shadow"] = joint.shadow_id
    return found
