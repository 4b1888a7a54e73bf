"""One STS3215: its table, its position loop, its protections.

The maker's memory table is followed. Guesses, since no servo was at hand: the units of the
protection times; that an alarm which tripped ends when the torque is switched off; that an EEPROM
value written while locked works until the power goes; that the goal stays while the torque is off.
"""

from __future__ import annotations

from math import inf, pi
from typing import ClassVar

from demoloop.robot.emulator.feetech_table import BAUDS, TABLE
from demoloop.robot.emulator.motor import (
    STS3215,
    TICKS_PER_TURN,
    Drive,
    FreeShaft,
    Motor,
    Patience,
    Shaft,
)
from demoloop.robot.emulator.profile import Profile
from demoloop.robot.emulator.table import Memory, from_sign_magnitude, to_sign_magnitude

RAD_PER_TICK = 2 * pi / TICKS_PER_TURN
ALARM_BITS = {"voltage": 0, "encoder": 1, "overheat": 2, "overcurrent": 3, "overload": 5}
_DUTY_PER_RAD_AND_P = 0.166
_MAX_SPEED = 3400  # ticks/s
_CURRENT_UNIT = 0.0065  # A
_TABLE_SIZE = 128
_MAKE_MIDDLE = 128


class FeetechServo:
    """One STS3215: its table, its firmware's position loop, its protections."""

    bauds: ClassVar[tuple[int, ...]] = BAUDS

    def __init__(
        self,
        servo_id: int,
        shaft: Shaft | None = None,
        *,
        volts: float = STS3215.nominal_volts,
        baud: int = BAUDS[0],
        return_delay: int = 250,
    ) -> None:
        """Stands as delivered, of the 7.4 V or the 12 V kind; the return delay is in 2 us."""
        self.motor = Motor(STS3215, shaft or FreeShaft(), volts)
        self.memory = Memory(TABLE, _TABLE_SIZE)
        self.memory["id"] = servo_id
        self.memory["baud"] = BAUDS.index(baud)
        self.memory["return_delay"] = return_delay
        self.memory["max_volts"] = 80 if volts < 9 else 140
        self._kept = bytes(self.memory.bytes)  # what the EEPROM holds
        self.restart()

    @property
    def id(self) -> int:
        """The id it listens to."""
        return self.memory["id"]

    @property
    def baud(self) -> int:
        """Bits per second it listens at."""
        return BAUDS[min(self.memory["baud"], len(BAUDS) - 1)]

    @property
    def shadowed_id(self) -> int:
        """None: these have no second id."""
        return 255

    @property
    def has_torque(self) -> bool:
        """Whether the motor is on, whatever the register says."""
        return self._limit() > 0

    def restart(self) -> None:
        """Is switched off and on; keeps what was written to the EEPROM while unlocked."""
        for address in TABLE.addresses("eeprom"):
            self.memory.bytes[address] = self._kept[address]
        for register in TABLE.registers.values():
            if register.kind == "sram":
                self.memory.reload(register.name)
        self.memory["torque_limit"] = self.memory["max_torque"]
        self._tripped: set[str] = set()
        self._is_let_go = False  # since the last tick the torque was switched off
        self._overload, self._overcurrent = Patience(), Patience()
        self._waiting: tuple[int, bytes] | None = None
        self._profile = Profile(self.motor.shaft.position)
        self._limit_now = 0.0
        self.stay()

    def trip(self, alarm: str) -> None:
        """Raises an alarm until the torque is switched off."""
        self._tripped.add(alarm)

    @property
    def alarms(self) -> frozenset[str]:
        """What it complains of now."""
        memory, motor = self.memory, self.motor
        found = set(self._tripped)
        volts = round(10 * motor.sense("volts"))
        if not memory["min_volts"] <= volts <= memory["max_volts"]:
            found.add("voltage")
        if motor.sense("temperature") > memory["max_temperature"]:
            found.add("overheat")
        return frozenset(found)

    def error_byte(self) -> int:
        """The alarms as an answer carries them."""
        return sum(1 << ALARM_BITS[alarm] for alarm in self.alarms)

    def tick(self, dt: float) -> None:
        """Moves the set-point, drives the motor, watches over it."""
        memory, motor = self.memory, self.motor
        if self._is_let_go:
            self._tripped.clear()
            self._is_let_go = False
        limit = self._limit()
        if limit > 0 and self._limit_now <= 0:
            self._profile.jump(motor.shaft.position)
        self._limit_now = limit
        target, duty = self._aim(dt)
        gain = _DUTY_PER_RAD_AND_P * memory["p"]
        motor.tick(Drive(target, gain, duty, limit, motor.sense("volts")), dt)
        if motor.sense("temperature") > memory["max_temperature"]:
            self._tripped.add("overheat")
        is_overloaded = abs(motor.duty) * 100 > memory["overload_torque"]
        if self._overload.is_over(is_overloaded, dt, memory["protection_time"] / 100):
            self._tripped.add("overload")
        is_too_much = abs(motor.sense("current")) > memory["protection_current"] * _CURRENT_UNIT
        if self._overcurrent.is_over(is_too_much, dt, memory["over_current_time"] / 100):
            self._tripped.add("overcurrent")

    def _limit(self) -> float:
        """Share of the full torque that it may use now."""
        memory = self.memory
        if memory["torque_enable"] != 1:
            return 0.0
        alarms = self.alarms
        if any(memory["unload_condition"] >> ALARM_BITS[a] & 1 for a in alarms - {"overload"}):
            return 0.0
        limit = min(memory["torque_limit"], 1000) / 1000
        return min(limit, memory["protective_torque"] / 100) if "overload" in alarms else limit

    def _aim(self, dt: float) -> tuple[float | None, float]:
        """Returns the set-point [rad], or None and a duty."""
        memory, mode = self.memory, self.memory["mode"]
        speed = from_sign_magnitude(memory["goal_velocity"], 15)
        if mode == 2:
            return None, from_sign_magnitude(memory["goal_time"], 10) / 1000
        rad_per_s2 = memory["acceleration"] * 100 * RAD_PER_TICK or inf
        if mode == 1:
            most = min(abs(speed), _MAX_SPEED) * RAD_PER_TICK
            ahead = self._profile.position + (most if speed >= 0 else -most)
            self._profile.advance(ahead, dt, most, rad_per_s2)
            return self._profile.position, 0.0
        most = min(abs(speed) or _MAX_SPEED, _MAX_SPEED) * RAD_PER_TICK
        self._profile.advance(self._goal(), dt, most, rad_per_s2)
        return self._profile.position, 0.0

    def _goal(self) -> float:
        """Where the goal is on the shaft [rad]."""
        memory = self.memory
        goal = from_sign_magnitude(memory["goal_position"], 15)
        low, high = memory["min_position"], memory["max_position"]
        if low or high:
            goal = max(low, min(high, goal))
        turns = 0
        if not self._counts_turns():
            # It knows one turn: the way it goes is the one that does not pass 0.
            turns = (self._ticks() - self._present()) // TICKS_PER_TURN
        offset = from_sign_magnitude(memory["homing_offset"], 11)
        return (goal + offset + turns * TICKS_PER_TURN) * RAD_PER_TICK

    def _counts_turns(self) -> bool:
        return bool(self.memory["phase"] >> 4 & 1)

    def _ticks(self) -> int:
        """The shaft in ticks over many turns, the homing offset taken off."""
        actual = round(self.motor.shaft.position / RAD_PER_TICK)
        return actual - from_sign_magnitude(self.memory["homing_offset"], 11)

    def _present(self) -> int:
        return self._ticks() if self._counts_turns() else self._ticks() % TICKS_PER_TURN

    def _sense(self) -> None:
        """Writes what it measures into its table."""
        memory, motor = self.memory, self.motor
        velocity = round(motor.shaft.velocity / RAD_PER_TICK)
        memory["present_position"] = to_sign_magnitude(self._present(), 15)
        memory["present_velocity"] = to_sign_magnitude(velocity, 15)
        memory["present_load"] = to_sign_magnitude(round(1000 * motor.duty), 10)
        current = round(motor.sense("current") / _CURRENT_UNIT)
        memory["present_current"] = to_sign_magnitude(current, 15)
        memory["present_volts"] = max(0, min(255, round(10 * motor.sense("volts"))))
        memory["present_temperature"] = max(0, min(255, round(motor.sense("temperature"))))
        memory["status"] = self.error_byte()
        memory["moving"] = int(abs(velocity) > memory["moving_threshold"])
        memory["pending"] = int(self._waiting is not None)

    @property
    def present_tick(self) -> int:
        """What its position register shows, with its sign."""
        return self._present()

    def stay(self) -> None:
        """Takes where it is as its goal."""
        self.memory["goal_position"] = to_sign_magnitude(self._present(), 15)
        self._profile.jump(self.motor.shaft.position)

    def read(self, address: int, size: int) -> bytes:
        """Measures and returns bytes of the table; zeros where there is none."""
        self._sense()
        return bytes(self.memory.bytes[address : address + size]).ljust(size, b"\0")

    def write(self, address: int, data: bytes) -> None:
        """Writes what may be written; what only the servo writes stays."""
        is_unlocked = self.memory["lock"] == 0
        kept = bytearray(self._kept)
        had_torque = self.memory["torque_enable"]
        for i, value in enumerate(data, start=address):
            kind = TABLE.kinds.get(i, "sensor")
            if kind == "sensor":
                continue
            self.memory.bytes[i] = value
            if kind == "eeprom" and is_unlocked:
                kept[i] = value
        self._kept = bytes(kept)
        if self.memory["torque_enable"] == _MAKE_MIDDLE:
            self._make_middle(had_torque)
        # The answer to this very write still carries the alarms; LeRobot's users met that.
        is_torque = address <= TABLE.registers["torque_enable"].address < address + len(data)
        self._is_let_go |= is_torque and self.memory["torque_enable"] == 0
        if self.memory["mode"] == 3 and address <= TABLE.registers["goal_position"].address:
            self._step_by_goal(address, len(data))

    def _make_middle(self, torque: int) -> None:
        """Chooses the homing offset so that the shaft stands at tick 2048."""
        actual = round(self.motor.shaft.position / RAD_PER_TICK)
        offset = (actual - 2048 + 2048) % TICKS_PER_TURN - 2048
        self.memory["homing_offset"] = to_sign_magnitude(offset, 11)
        kept = bytearray(self._kept)  # the servo itself saves it, locked or not
        kept[31:33] = self.memory.bytes[31:33]
        self._kept = bytes(kept)
        self.memory["torque_enable"] = torque

    def _step_by_goal(self, address: int, size: int) -> None:
        """In mode 3 a written goal is a distance from where it stands."""
        register = TABLE.registers["goal_position"]
        if address + size >= register.address + register.size:
            steps = from_sign_magnitude(self.memory["goal_position"], 15)
            goal = self._present() + steps
            self.memory["goal_position"] = to_sign_magnitude(goal, 15)

    def put_off(self, address: int, data: bytes) -> None:
        """Keeps a write until `act`."""
        self._waiting = (address, data)

    def act(self) -> None:
        """Does the write that was put off."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self.write(*waiting)
