"""New servos get their ids, one at a time: they all leave the factory with the same one.

Two servos of one id answer at once and cannot be told apart, nor told anything, any more. So only
one may be on the line, and that is looked up before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from demoloop.robot.arms import ArmModel
from demoloop.robot.arms.servo_map import BusKind, ServoJoint
from demoloop.robot.bus.framing import IDENTITY
from demoloop.robot.bus.interface import Bus
from demoloop.robot.bus.registers import MODELS
from demoloop.robot.calibration.servos import slots
from demoloop.robot.errors import RobotError

_SCAN_S, _SCAN_BITS = 0.004, 400  # a servo that is there has answered by then, and been heard
_WAIT_S = 0.1
_SETTLE_S = 0.5  # after a new id or baud rate: an EEPROM takes some ms to be written
_MIDDLE_S, _MIDDLE_TICKS = 8.0, 12
_ALL_IDS = range(253)
# Bits per second -> code of the register `baud`; the rates at which new servos come are first.
_BAUDS: dict[BusKind, dict[int, int]] = {
    "feetech": {1_000_000: 0, 500_000: 1, 250_000: 2, 115_200: 4},
    "dynamixel": {57_600: 1, 1_000_000: 3, 115_200: 2, 2_000_000: 4},
}
_MIDDLE, _MIDDLE_SPEED = 2048, 1000  # ticks; ticks/s, a quarter turn in a second


@dataclass(frozen=True)
class Found:
    """The one servo that is plugged in."""

    id: int
    baud: int
    model: int  # its number


class IdSetting:
    """Gives the servos of one arm their ids and baud rate."""

    def __init__(self, arm: ArmModel, make_bus: Callable[[int], Bus]) -> None:
        """Stores.

        Args:
            arm: Whose servos they become.
            make_bus: Returns the line at a baud rate, not open yet.
        """
        self._arm, self._make_bus = arm, make_bus
        self._bauds = _BAUDS[arm.servos.bus]
        self._table = MODELS[arm.servos.joints[0].model].table  # one layout for all of a bus
        self.ids = slots(arm)

    def find(self, ids: Iterable[int] = _ALL_IDS) -> Found:
        """Returns the one servo there is, whatever its id and baud rate.

        Looks at the arm's and the factory's baud rate first, and at others when nobody is there.

        Raises:
            RobotError: There is none, or more than one.
        """
        wanted = list(ids)
        usual = {self._arm.servos.baud, next(iter(self._bauds))}
        rates = [*usual, *(baud for baud in self._bauds if baud not in usual)]
        found: list[Found] = []
        for baud in rates:
            if found and baud not in usual:
                break
            found += self._scan(baud, wanted)
        if not found:
            raise RobotError(
                "no servo answers at any baud rate; plug in exactly one, and switch its power on"
            )
        if len(found) > 1:
            there = ", ".join(f"{it.id} at {it.baud} baud" for it in found)
            raise RobotError(f"{len(found)} servos answer ({there}); plug in exactly one at a time")
        return found[0]

    def give(self, name: str, found: Found) -> str:
        """Gives the one servo there is the id of `name`, and returns what was done.

        Raises:
            RobotError: It is another model, or did not take what was written.
        """
        wanted, baud = self.ids[name], self._arm.servos.baud
        model = MODELS[self._joint(wanted).model]
        if found.model != model.number:
            raise RobotError(
                f"this servo says it is model {found.model}; {name} of {self._arm.spec.name} takes "
                f"{model.name} ({model.number})"
            )
        with self._opened(found.baud) as bus:
            self._write(bus, found.id, "torque_enable", 0)
            self._write(bus, found.id, "lock", 0)
            if found.id != wanted:
                self._write(bus, found.id, "id", wanted)
                self._await(bus, wanted, found.id)
            if found.baud != baud:
                self._write(bus, wanted, "baud", self._bauds[baud])
        with self._opened(baud) as bus:
            self._await(bus, wanted)
            self._write(bus, wanted, "lock", 1)
            self._check(bus, wanted, baud)
        if (found.id, found.baud) == (wanted, baud):
            return f"{name}: is servo {wanted} already"
        return f"{name}: servo {found.id} at {found.baud} baud is servo {wanted} at {baud} now"

    def to_middle(self, name: str) -> None:
        """Turns the servo of `name`, its horn free, to the middle of its turn, and lets go.

        Raises:
            RobotError: It did not get there.
        """
        servo_id = self.ids[name]
        speed = round(_MIDDLE_SPEED / self._table["goal_velocity"].per_count)
        with self._opened(self._arm.servos.baud) as bus:
            try:
                self._write(bus, servo_id, "goal_velocity", speed)
                self._write(bus, servo_id, "goal_position", _MIDDLE)
                self._write(bus, servo_id, "torque_enable", 1)
                until = bus.now() + _MIDDLE_S
                while abs(self._read(bus, servo_id, "present_position") - _MIDDLE) > _MIDDLE_TICKS:
                    if bus.now() > until:
                        raise RobotError(
                            f"{name} does not get to its middle; is its horn free, and is it alone?"
                        )
            finally:
                self._write(bus, servo_id, "torque_enable", 0)

    def _scan(self, baud: int, ids: Iterable[int]) -> list[Found]:
        """Everybody who answers at this rate."""
        found = []
        scan_s = _SCAN_S + _SCAN_BITS / baud
        with self._opened(baud) as bus:
            for servo_id in ids:
                was_noisy = bus.is_noisy()
                replies = bus.read((servo_id,), 0, IDENTITY, bus.now() + scan_s)
                if replies.garbled or bus.is_noisy() > was_noisy:
                    raise _twins(servo_id)
                if replies.missing:
                    continue
                # Two servos of one kind have the same identity, but hardly the same position.
                place = self._table["present_position"]
                for _ in range(3):
                    replies = bus.read((servo_id,), place.address, place.size, bus.now() + _WAIT_S)
                    if replies.missing:
                        raise _twins(servo_id)
                identity = bus.identify(servo_id, bus.now() + _WAIT_S)
                if identity is None:
                    raise _twins(servo_id)
                found.append(Found(servo_id, baud, identity.model))
        return found

    @contextmanager
    def _opened(self, baud: int) -> Iterator[Bus]:
        bus = self._make_bus(baud)
        bus.open()
        try:
            yield bus
        finally:
            bus.close()

    def _joint(self, servo_id: int) -> ServoJoint:
        return next(it for it in self._arm.servos.joints if servo_id in (it.id, it.shadow_id))

    def _write(self, bus: Bus, servo_id: int, name: str, value: int) -> None:
        """Writes; whether it was taken is looked up by whoever needs it, perhaps under a new id."""
        if name not in self._table.registers:
            return  # only Feetech's servos lock what is to last
        register = self._table[name]
        bus.write(servo_id, register.address, register.encode(value), bus.now() + _WAIT_S)

    def _read(self, bus: Bus, servo_id: int, name: str) -> int:
        register = self._table[name]
        deadline = bus.now() + _WAIT_S
        replies = bus.read((servo_id,), register.address, register.size, deadline)
        if servo_id not in replies.values:
            raise RobotError(f"servo {servo_id} fell silent; check its cable and its power")
        return register.decode(replies.values[servo_id], register.address)

    def _await(self, bus: Bus, servo_id: int, before: int | None = None) -> None:
        """Returns when the servo answers to its new id, and nobody to the one before."""
        until = bus.now() + _SETTLE_S
        while bus.identify(servo_id, bus.now() + _WAIT_S) is None:
            if bus.now() > until:
                raise RobotError(
                    f"the servo did not take the id {servo_id}; switch its power off and on, and "
                    "begin with it again"
                )
        if before is not None and bus.identify(before, bus.now() + _WAIT_S) is not None:
            raise _twins(before)

    def _check(self, bus: Bus, servo_id: int, baud: int) -> None:
        """Reads everything back."""
        expected = {"id": servo_id, "baud": self._bauds[baud], "lock": 1}
        for name, value in expected.items():
            if name not in self._table.registers:
                continue
            if (now := self._read(bus, servo_id, name)) != value:
                raise RobotError(
                    f"servo {servo_id} says its {name} is {now} where {value} was written; switch "
                    "its power off and on, and begin with it again"
                )


def _twins(servo_id: int) -> RobotError:
    return RobotError(
        f"what answers as servo {servo_id} is garbled: two servos share that id, or a cable is "
        "bad; plug in exactly one servo"
    )
