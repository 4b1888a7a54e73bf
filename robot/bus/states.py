"""What all servos of a bus do, once a cycle; a reading that cannot be is looked at again.

A checksum of 8 bits lets one broken reply in 256 pass. So a reading that no motor could bring about
since the last one, the first of all, and on a line on which broken bytes came within the last
second every one, is not believed before another agrees: of three the middle one counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from statistics import median

from demoloop.robot.bus.interface import Bus
from demoloop.robot.bus.registers import ServoModel, Table, Window

STATUS_EVERY_S = 0.1
_ALERT = 0x80  # in the error byte of a Dynamixel: its alarms tell more
_BARKED = 255  # the bus watchdog of a Dynamixel, once it has stopped the servo
_NUM_LOOKS = 4  # at most, to find two that agree
# How far two looks at one servo may differ: (at once, for each second between them).
_MAY_DIFFER: Mapping[str, tuple[float, float]] = {
    "present_position": (40, 6000),  # ticks: a free STS3215 turns at 3400 a second
    "present_velocity": (600, 60_000),  # ticks/s
    "present_load": (0.3, 10),  # share
    "present_voltage": (0.6, 10),  # V
    "present_temperature": (1, 3),  # degrees Celsius
    "present_current": (0.5, 20),  # A
    "alarms": (0, 0),
    "torque_enable": (0, 0),
    "watchdog": (0, 0),
}


@dataclass(frozen=True)
class ServoState:
    """One servo at one instant; NaN where it has no such sensor, or has not said yet."""

    time: float  # s, when the reply was there
    position: int  # ticks
    velocity: float  # ticks/s
    load: float  # share of the PWM, -1 .. 1
    current: float  # A
    voltage: float  # V
    temperature: float  # degrees Celsius
    torque: float = nan  # 1 on, 0 off
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Look:
    """One reply as numbers, by the names of the registers."""

    time: float
    data: bytes
    numbers: dict[str, float]

    def agrees(self, other: _Look) -> bool:
        """Whether a servo can have been like this and like that."""
        apart = abs(self.time - other.time)
        return all(
            abs(value - other.numbers[name]) <= at_once + per_s * apart
            for name, value in self.numbers.items()
            if name in other.numbers
            for at_once, per_s in (_MAY_DIFFER[name],)
        )

    def distance(self, numbers: Mapping[str, float]) -> float:
        """How far it is from `numbers`, each counted by how much it may differ."""
        return sum(
            abs(value - numbers[name]) / (_MAY_DIFFER[name][0] + 1e-3)
            for name, value in self.numbers.items()
        )


class StateReader:
    """Reads the states of servos of one family, in one exchange a cycle."""

    def __init__(self, bus: Bus, models: Mapping[int, ServoModel]) -> None:
        """Stores.

        Args:
            bus: Where they are.
            models: Id -> which servo it is.
        """
        self._bus = bus
        self._models = models
        self._ids = tuple(models)
        self._table: Table = next(iter(models.values())).table
        self._known: dict[int, _Look] = {}  # the newest believed, of each register
        self._doubted: dict[int, _Look] = {}  # what the last cycle could not believe
        self._status_at = -1e9
        self.states: dict[int, ServoState] = {}  # the newest of each

    def forget(self) -> None:
        """Nothing read so far counts any more: another arm may be there."""
        self._known.clear()
        self._doubted.clear()
        self.states.clear()
        self._status_at = -1e9

    def read(self, deadline: float) -> tuple[int, ...]:
        """Takes a new state of each servo; returns the ids of those that have none.

        Raises:
            Disconnected: The line is gone.
        """
        table = self._table
        has_all = table.status.holds(table["present_position"])
        is_status_due = self._bus.now() - self._status_at >= STATUS_EVERY_S
        window = table.status if is_status_due and has_all else table.moving
        missing, errors = self._look(self._ids, window, deadline)
        unknown = missing if window == table.status else ()
        if not has_all:
            alarmed = tuple(i for i, error in errors.items() if error & _ALERT)
            asked = self._ids if is_status_due else alarmed
            unknown = self._look(asked, table.status, deadline)[0] if asked else ()
        if is_status_due and not unknown:
            self._status_at = self._bus.now()
        for servo_id in self._ids:
            if servo_id not in missing:
                self.states[servo_id] = self._state(servo_id)
        return missing

    def note_torque(self, is_on: Mapping[int, bool]) -> None:
        """Takes over what was just read back from the torque registers."""
        for servo_id, value in is_on.items():
            if (known := self._known.get(servo_id)) is not None:
                known.numbers["torque_enable"] = float(value)
            if (state := self.states.get(servo_id)) is not None:
                self.states[servo_id] = replace(state, torque=float(value))

    def _look(
        self, ids: Sequence[int], window: Window, deadline: float
    ) -> tuple[tuple[int, ...], dict[int, int]]:
        """Reads a window until each reply can be believed; returns who has none, and errors."""
        looks: dict[int, list[_Look]] = {servo_id: [] for servo_id in ids}
        errors: dict[int, int] = {}
        wanted = tuple(ids)
        for _ in range(_NUM_LOOKS):
            replies = self._bus.read(wanted, window.start, window.length, deadline)
            now = self._bus.now()
            for servo_id, data in replies.values.items():
                looks[servo_id].append(_Look(now, data, self._numbers(servo_id, data, window)))
                errors[servo_id] = replies.errors[servo_id]
            wanted = tuple(i for i in wanted if not self._settle(i, looks[i]))
            if not wanted or self._bus.now() >= deadline:
                break
        for servo_id in wanted:
            if looks[servo_id]:
                self._doubted[servo_id] = looks[servo_id][-1]
        return wanted, errors

    def _settle(self, servo_id: int, looks: list[_Look]) -> bool:
        """Takes over what the looks at one servo agree on; False when they do not."""
        if not looks:
            return False
        newest, before = looks[-1], self._known.get(servo_id)
        if len(looks) == 1:
            if self._bus.is_noisy():
                return False
            # What the last cycle could not believe, and this one sees again, has happened.
            others = before, self._doubted.get(servo_id)
            is_believed = any(other is not None and newest.agrees(other) for other in others)
        elif len(looks) == 2:
            is_same = newest.data == looks[0].data
            is_believed = is_same or (not self._bus.is_noisy() and newest.agrees(looks[0]))
        else:
            names = newest.numbers
            middle = {name: median(look.numbers[name] for look in looks) for name in names}
            newest = min(reversed(looks), key=lambda look: look.distance(middle))
            is_believed = any(newest.agrees(look) for look in looks if look is not newest)
        if is_believed:
            numbers = {**(before.numbers if before else {}), **newest.numbers}
            self._known[servo_id] = _Look(newest.time, newest.data, numbers)
            self._doubted.pop(servo_id, None)
        return is_believed

    def _numbers(self, servo_id: int, data: bytes, window: Window) -> dict[str, float]:
        table = self._models[servo_id].table
        return {
            name: register.value(data, window.start)
            for name in _MAY_DIFFER
            if (register := table.registers.get(name)) is not None and window.holds(register)
        }

    def _state(self, servo_id: int) -> ServoState:
        look = self._known[servo_id]
        numbers, bits = look.numbers, int(look.numbers.get("alarms", 0))
        named = self._models[servo_id].table.alarms.items()
        alarms = tuple(name for bit, name in named if bits >> bit & 1)
        if numbers.get("watchdog") == _BARKED:
            alarms += ("watchdog",)
        return ServoState(
            time=look.time,
            position=int(numbers["present_position"]),
            velocity=numbers["present_velocity"],
            load=numbers["present_load"],
            current=numbers.get("present_current", nan),
            voltage=numbers["present_voltage"],
            temperature=numbers["present_temperature"],
            torque=numbers.get("torque_enable", nan),
            alarms=alarms,
        )
