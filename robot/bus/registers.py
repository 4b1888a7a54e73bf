"""Control tables: where a servo keeps what, and what one count of it is.

After Feetech's memory table of the STS3215 and Robotis' e-manual of the X series, as their own kits
(feetech-servo-sdk, dynamixel-sdk) list them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from demoloop.robot.arms.servo_map import BusKind


@dataclass(frozen=True)
class Register:
    """One number in a servo, little-endian."""

    address: int
    size: int  # bytes
    per_count: float = 1.0  # what one count is, in the unit its name says
    is_signed: bool = False  # two's complement, unless it has a sign bit
    sign_bit: int | None = None  # Feetech: this bit says minus, those below are the magnitude

    def decode(self, window: bytes, start: int) -> int:
        """Returns the counts in `window`, which begins at address `start`."""
        at = self.address - start
        raw = int.from_bytes(window[at : at + self.size], "little", signed=self.is_signed)
        if self.sign_bit is None:
            return raw
        magnitude = raw & ((1 << self.sign_bit) - 1)
        return -magnitude if raw >> self.sign_bit & 1 else magnitude

    def value(self, window: bytes, start: int) -> float:
        """Returns what `window` says, in the register's unit."""
        return self.decode(window, start) * self.per_count

    def encode(self, counts: int) -> bytes:
        """Returns the bytes of `counts`; OverflowError when the register cannot hold them."""
        if self.sign_bit is not None:
            if abs(counts) >> self.sign_bit:
                raise OverflowError(f"register {self.address} cannot hold {counts}")
            counts = abs(counts) | (counts < 0) << self.sign_bit
        return counts.to_bytes(self.size, "little", signed=self.is_signed)


@dataclass(frozen=True)
class Window:
    """Bytes that are read together."""

    start: int
    length: int

    def holds(self, register: Register) -> bool:
        """Whether all of a register is in it."""
        return (
            self.start <= register.address
            and register.address + register.size <= self.start + self.length
        )


@dataclass(frozen=True)
class Table:
    """The registers of one family, by names that both families share where they can."""

    registers: Mapping[str, Register]
    moving: Window  # what changes from cycle to cycle
    status: Window  # whether torque is on, and why not
    alarms: Mapping[int, str]  # bit of the register `alarms` -> what it is
    position_modes: tuple[int, ...]  # operating modes in which it goes to a goal within one turn

    def __getitem__(self, name: str) -> Register:
        return self.registers[name]


_STS = Table(
    {
        "id": Register(5, 1),
        "baud": Register(6, 1),
        "return_delay": Register(7, 1, 2e-6),  # s
        "response_level": Register(8, 1),
        "min_position": Register(9, 2),
        "max_position": Register(11, 2),
        "max_temperature": Register(13, 1),  # degrees Celsius
        "max_voltage": Register(14, 1, 0.1),  # V
        "min_voltage": Register(15, 1, 0.1),
        "phase": Register(18, 1),
        "p_gain": Register(21, 1),
        "d_gain": Register(22, 1),
        "i_gain": Register(23, 1),
        "homing_offset": Register(31, 2, sign_bit=11),
        "operating_mode": Register(33, 1),
        "torque_enable": Register(40, 1),
        "acceleration": Register(41, 1, 100.0),  # ticks/s^2; 0: as quick as it can
        "goal_position": Register(42, 2, sign_bit=15),
        "goal_velocity": Register(46, 2, sign_bit=15),  # ticks/s, its limit; 0: none
        "torque_limit": Register(48, 2, 1e-3),  # share
        "lock": Register(55, 1),
        "present_position": Register(56, 2, sign_bit=15),
        "present_velocity": Register(58, 2, sign_bit=15),  # ticks/s
        "present_load": Register(60, 2, 1e-3, sign_bit=10),  # share of the PWM, not of the torque
        "present_voltage": Register(62, 1, 0.1),  # V
        "present_temperature": Register(63, 1),  # degrees Celsius
        "alarms": Register(65, 1),
        "present_current": Register(69, 2, 6.5e-3, sign_bit=15),  # A
    },
    moving=Window(56, 15),
    status=Window(40, 31),
    alarms={0: "voltage", 1: "encoder", 2: "overheat", 3: "overcurrent", 5: "overload"},
    position_modes=(0,),
)

_TICKS_PER_S = 0.229 * 4096 / 60  # one count of velocity is 0.229 rpm


def _x_series(ampere_per_count: float | None) -> Table:
    registers = {
        "id": Register(7, 1),
        "baud": Register(8, 1),
        "return_delay": Register(9, 1, 2e-6),  # s
        "operating_mode": Register(11, 1),
        "homing_offset": Register(20, 4, is_signed=True),
        "max_temperature": Register(31, 1),  # degrees Celsius
        "max_voltage": Register(32, 2, 0.1),  # V
        "min_voltage": Register(34, 2, 0.1),
        "max_position": Register(48, 4),
        "min_position": Register(52, 4),
        "torque_enable": Register(64, 1),
        "response_level": Register(68, 1),
        "alarms": Register(70, 1),
        "watchdog": Register(98, 1),  # 20 ms; 255 once it has barked
        "torque_limit": Register(100, 2, 1 / 885, is_signed=True),  # share: the goal PWM caps it
        "acceleration": Register(108, 4, 214.577 * 4096 / 3600),  # ticks/s^2, of the profile
        "goal_velocity": Register(112, 4, _TICKS_PER_S),  # of the profile; 0: none
        "goal_position": Register(116, 4, is_signed=True),
        "present_load": Register(124, 2, 1 / 885, is_signed=True),  # share of the PWM
        "present_velocity": Register(128, 4, _TICKS_PER_S, is_signed=True),
        "present_position": Register(132, 4, is_signed=True),
        "present_voltage": Register(144, 2, 0.1),  # V
        "present_temperature": Register(146, 1),  # degrees Celsius
    }
    if ampere_per_count is not None:
        registers["present_current"] = Register(126, 2, ampere_per_count, is_signed=True)
    return Table(
        registers,
        # Not through the indirect window: where it lies differs between models and firmwares, and
        # a servo that lost its power for a moment would answer from other registers unnoticed.
        moving=Window(124, 23),
        status=Window(64, 35),
        alarms={0: "voltage", 2: "overheat", 3: "encoder", 4: "overcurrent", 5: "overload"},
        position_modes=(3, 5),
    )


@dataclass(frozen=True)
class ServoModel:
    """One kind of servo."""

    name: str
    number: int  # by which it says what it is
    bus: BusKind
    table: Table


MODELS: Mapping[str, ServoModel] = {
    model.name: model
    for model in (
        ServoModel("sts3215", 777, "feetech", _STS),
        ServoModel("xl330-m077", 1190, "dynamixel", _x_series(1e-3)),
        ServoModel("xl330-m288", 1200, "dynamixel", _x_series(1e-3)),
        ServoModel("xl430-w250", 1060, "dynamixel", _x_series(None)),  # 126 is a load there
        ServoModel("xm430-w350", 1020, "dynamixel", _x_series(2.69e-3)),
        ServoModel("xm540-w270", 1120, "dynamixel", _x_series(2.69e-3)),
    )
}
