"""One Dynamixel of the X series: its table, its profile and loop, its protections.

The e-manual is followed. Guesses, since no servo was at hand: overload is 90 % of the drive for two
seconds; refused torque is an access error; a goal written while the torque is off is kept.
"""

from __future__ import annotations

from math import inf, pi
from typing import ClassVar

from demoloop.robot.emulator.dynamixel_table import (
    BAUDS,
    FULL_PWM,
    INDIRECT_ADDRESS,
    MODELS,
    table_of,
)
from demoloop.robot.emulator.motor import TICKS_PER_TURN, Drive, FreeShaft, Motor, Patience, Shaft
from demoloop.robot.emulator.profile import Profile
from demoloop.robot.emulator.table import Memory

RANGE_ERROR, LIMIT_ERROR, ACCESS_ERROR = 4, 6, 7
_RAD_PER_TICK = 2 * pi / TICKS_PER_TURN
_SPEED_UNIT = 0.229 * 2 * pi / 60  # rad/s
_ACCELERATION_UNIT = 214.577 * 2 * pi / 3600  # rad/s^2
_ALARM_BITS = {"voltage": 0, "overheat": 2, "encoder": 3, "overcurrent": 4, "overload": 5}
_GOALS = ("goal_pwm", "goal_current", "goal_velocity", "goal_position")
_CURRENT, _VELOCITY, _POSITION, _MANY_TURNS, _POSITION_BY_CURRENT, _PWM = 0, 1, 3, 4, 5, 16
_BITTEN = 0xFF
_TABLE_SIZE = 700


class DynamixelServo:
    """A servo of one of `MODELS`."""

    bauds: ClassVar[tuple[int, ...]] = BAUDS

    def __init__(
        self,
        servo_id: int,
        model: str = "xl330-m288",
        shaft: Shaft | None = None,
        *,
        volts: float | None = None,
        baud: int = 1_000_000,
        return_delay: int = 250,
        secondary_id: int = 255,
    ) -> None:
        """Stands as delivered, except for what is given; the return delay is in 2 us.

        Raises:
            KeyError: There is no such model.
        """
        self.model = MODELS[model]
        self.motor = Motor(self.model.constants, shaft or FreeShaft(), volts or self.model.volts)
        self.table = table_of(self.model)
        self.memory = Memory(self.table, _TABLE_SIZE)
        self.memory["id"] = servo_id
        self.memory["baud"] = BAUDS.index(baud)
        self.memory["return_delay"] = return_delay
        self.memory["secondary_id"] = secondary_id
        self.restart()

    @property
    def id(self) -> int:
        """The id it listens to."""
        return self.memory["id"]

    @property
    def baud(self) -> int:
        """Bits per second it listens at."""
        return BAUDS[self.memory["baud"]]

    @property
    def shadowed_id(self) -> int:
        """An id it obeys too, without answering; 255 for none."""
        return self.memory["secondary_id"]

    @property
    def has_torque(self) -> bool:
        """Whether the motor is on."""
        return self.memory["torque_enable"] == 1

    @property
    def alert(self) -> int:
        """Bit 7 of every answer's error byte while a hardware error stands."""
        return 0x80 if self.memory["hardware_error"] else 0

    @property
    def alarms(self) -> frozenset[str]:
        """What it complains of."""
        error = self.memory["hardware_error"]
        return frozenset(name for name, bit in _ALARM_BITS.items() if error >> bit & 1)

    def restart(self) -> None:
        """Is switched off and on, or rebooted: the EEPROM stays."""
        for register in self.table.registers.values():
            if register.kind == "sram":
                self.memory.reload(register.name)
        for limit, goal in (("current_limit", "goal_current"), ("pwm_limit", "goal_pwm")):
            if goal in self.table.registers:
                self.memory[goal] = self.memory[limit]
        self.memory["hardware_error"] = 0
        self._overload = Patience()
        self._silence = 0.0  # s since it was last spoken to
        self._waiting: tuple[int, bytes] | None = None
        self._profile = Profile(self.motor.shaft.position)
        self._goal_before, self._span = inf, 0.0
        self._count_from_this_turn()
        self.stay()

    def trip(self, alarm: str) -> None:
        """Sets a hardware error, which lets go of the shaft where `shutdown` says so."""
        self.memory["hardware_error"] |= 1 << _ALARM_BITS[alarm]
        if self.memory["hardware_error"] & self.memory["shutdown"]:
            self.memory["torque_enable"] = 0

    def hear(self) -> None:
        """Somebody spoke to it: the watchdog lies down again."""
        self._silence = 0.0

    def tick(self, dt: float) -> None:
        """Moves the set-point, drives the motor, watches over it and over the line."""
        memory, motor = self.memory, self.motor
        self._silence += dt
        watchdog = memory["bus_watchdog"]
        if 0 < watchdog < _BITTEN and self._silence > watchdog * 0.020:
            memory["bus_watchdog"] = _BITTEN
            memory["goal_position"] = self._present()
            memory["goal_velocity"] = 0
            self._profile.jump(motor.shaft.position)
        volts = round(10 * motor.sense("volts"))
        if not memory["min_volts"] <= volts <= memory["max_volts"]:
            self.trip("voltage")
        if motor.sense("temperature") > memory["max_temperature"]:
            self.trip("overheat")
        target, duty, limit = self._aim(dt)
        gain = memory["position_p"] / 128 / FULL_PWM / _RAD_PER_TICK
        motor.tick(Drive(target, gain, duty, limit, motor.sense("volts")), dt)
        if self._overload.is_over(abs(motor.duty) > 0.9, dt, 2.0):
            self.trip("overload")

    def _aim(self, dt: float) -> tuple[float | None, float, float]:
        """Returns the set-point [rad] or None, the duty without one, and the share of torque."""
        memory, motor, mode = self.memory, self.motor, self.memory["operating_mode"]
        if not self.has_torque:
            return None, 0.0, 0.0
        is_bitten = memory["bus_watchdog"] == _BITTEN
        share = min(memory["pwm_limit"], abs(memory.signed("goal_pwm")) or FULL_PWM) / FULL_PWM
        full_current = motor.sense("volts") / self.model.constants.resistance
        if mode == _PWM:
            return None, 0.0 if is_bitten else memory.signed("goal_pwm") / FULL_PWM, 1.0
        if mode == _CURRENT:
            amperes = 0.0 if is_bitten else memory.signed("goal_current") * self.model.current_unit
            back = self.model.constants.torque_constant * motor.shaft.velocity
            return None, amperes / full_current + back / motor.sense("volts"), 1.0
        acceleration = memory["profile_acceleration"] * _ACCELERATION_UNIT or inf
        if mode == _VELOCITY:
            speed = memory.signed("goal_velocity") * _SPEED_UNIT * self._direction()
            self._profile.advance(self._profile.position + speed, dt, abs(speed), acceleration)
            return self._profile.position, 0.0, share
        self._profile.advance(self._goal(), dt, self._speed(), acceleration)
        if mode == _POSITION_BY_CURRENT:
            amperes = abs(memory.signed("goal_current")) * self.model.current_unit
            share = min(share, amperes / full_current)
        return self._profile.position, 0.0, share

    def _goal(self) -> float:
        """Where the goal is on the shaft [rad]."""
        ticks = self.memory.signed("goal_position") - self.memory.signed("homing_offset")
        return self._direction() * (ticks + self._turn * TICKS_PER_TURN) * _RAD_PER_TICK

    def _speed(self) -> float:
        """How quick the set-point may be [rad/s]."""
        memory, goal = self.memory, self._goal()
        wanted = memory["profile_velocity"]
        if memory["drive_mode"] >> 2 & 1 and wanted:  # it is a time, in ms
            if goal != self._goal_before:
                self._goal_before, self._span = goal, abs(goal - self._profile.position)
            return 1000 * self._span / wanted
        most = memory["velocity_limit"]
        return min(wanted or most, most) * _SPEED_UNIT

    def _direction(self) -> int:
        return -1 if self.memory["drive_mode"] & 1 else 1

    def _count_from_this_turn(self) -> None:
        """Counts positions from the start of the turn in which the shaft stands now."""
        ticks = round(self._direction() * self.motor.shaft.position / _RAD_PER_TICK)
        self._turn = ticks // TICKS_PER_TURN

    def _present(self) -> int:
        ticks = round(self._direction() * self.motor.shaft.position / _RAD_PER_TICK)
        return ticks - self._turn * TICKS_PER_TURN + self.memory.signed("homing_offset")

    def _sense(self) -> None:
        """Writes what it measures into its table."""
        memory, motor, direction = self.memory, self.motor, self._direction()
        velocity = round(direction * motor.shaft.velocity / _SPEED_UNIT)
        memory["present_position"] = self._present()
        memory["present_velocity"] = velocity
        memory["present_pwm"] = round(direction * motor.duty * FULL_PWM)
        unit = self.model.current_unit
        amperes = round(direction * motor.sense("current") / unit)
        load = round(1000 * direction * motor.duty)
        memory["present_current"] = amperes if self.model.current_limit else load
        memory["present_volts"] = max(0, round(10 * motor.sense("volts")))
        memory["present_temperature"] = max(0, round(motor.sense("temperature")))
        memory["moving"] = int(abs(velocity) > memory["moving_threshold"])
        memory["pending"] = int(self._waiting is not None)

    @property
    def present_tick(self) -> int:
        """What its position register shows, with its sign."""
        return self._present()

    def stay(self) -> None:
        """Takes where it is as its goal."""
        self.memory["goal_position"] = self._present()
        self._profile.jump(self.motor.shaft.position)

    def read(self, address: int, size: int) -> bytes:
        """Measures and returns bytes of the table, through the indirect window where asked."""
        self._sense()
        where = (self._through_window(address + i) for i in range(size))
        return bytes(self.memory.bytes[i] if i < _TABLE_SIZE else 0 for i in where)

    def _through_window(self, address: int) -> int:
        """Returns the address that one byte of the indirect data stands for."""
        place = address - self.model.indirect_data
        if 0 <= place < self.model.num_indirect:
            start = INDIRECT_ADDRESS + 2 * place
            return int.from_bytes(self.memory.bytes[start : start + 2], "little")
        return address

    def write(self, address: int, data: bytes) -> int:
        """Writes bytes of the table and returns 0, or the error that left it as it was."""
        memory, had_torque = self.memory, self.has_torque
        where = [self._through_window(address + i) for i in range(len(data))]
        kinds = {self.table.kinds.get(i, "sensor") for i in where}
        if "sensor" in kinds or ("eeprom" in kinds and had_torque):
            return ACCESS_ERROR
        before = bytes(memory.bytes)
        for i, value in zip(where, data, strict=True):
            memory.bytes[i] = value
        written = {self.table.names[i] for i in where}
        if error := self._objection(written, before[98]):
            memory.bytes[:] = before
            return error
        if self.has_torque and not had_torque:
            if memory["operating_mode"] == _POSITION:
                self._count_from_this_turn()
            self._profile.jump(self.motor.shaft.position)
        return 0

    def _objection(self, written: set[str], watchdog_before: int) -> int:
        """Returns the error of what was just written; 0 where there is none."""
        memory = self.memory
        modes = {_VELOCITY, _POSITION, _MANY_TURNS, _PWM}
        modes |= {_CURRENT, _POSITION_BY_CURRENT} if self.model.current_limit else set()
        if memory["id"] > 252 or memory["baud"] >= len(BAUDS) or memory["torque_enable"] > 1:
            return RANGE_ERROR
        if memory["operating_mode"] not in modes:
            return RANGE_ERROR
        if watchdog_before == _BITTEN and written & set(_GOALS):
            return ACCESS_ERROR
        if self.has_torque and memory["hardware_error"] & memory["shutdown"]:
            return ACCESS_ERROR
        goal = memory.signed("goal_position")
        if "goal_position" in written and memory["operating_mode"] == _POSITION:
            is_within = memory.signed("min_position") <= goal <= memory.signed("max_position")
            return 0 if is_within else LIMIT_ERROR
        pairs = {"goal_velocity": "velocity_limit", "goal_pwm": "pwm_limit"}
        pairs |= {"goal_current": "current_limit"} if self.model.current_limit else {}
        for name, limit in pairs.items():
            if name in written and abs(memory.signed(name)) > memory[limit]:
                return LIMIT_ERROR
        return 0

    def put_off(self, address: int, data: bytes) -> None:
        """Keeps a write until `act`."""
        self._waiting = (address, data)

    def act(self) -> int:
        """Does the write that was put off and returns its error."""
        waiting, self._waiting = self._waiting, None
        return self.write(*waiting) if waiting else 0

    def forget(self, keep: int) -> None:
        """Goes back to how it was delivered, except for id (1), or id and baud rate (2)."""
        kept = {"id": self.memory["id"], "baud": self.memory["baud"]}
        for name in self.table.registers:
            self.memory.reload(name)
        for name in ("id", "baud")[: min(keep, 2)]:
            self.memory[name] = kept[name]
        self.restart()
