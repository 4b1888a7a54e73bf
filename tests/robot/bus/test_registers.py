"""Laws of numbers in servos."""

from __future__ import annotations

import pytest

from demoloop.robot.bus.registers import MODELS, Register
from demoloop.robot.emulator.dynamixel_table import MODELS as EMULATED
from demoloop.robot.emulator.dynamixel_table import table_of
from demoloop.robot.emulator.feetech_table import TABLE as STS

MAGNITUDE = Register(60, 2, 1e-3, sign_bit=10)
COMPLEMENT = Register(128, 4, is_signed=True)


@pytest.mark.parametrize("register", [MAGNITUDE, COMPLEMENT])
@pytest.mark.parametrize("counts", [-1023, -1, 0, 5, 1023])
def test_counts_come_back_with_their_sign(register: Register, counts: int) -> None:
    data = b"\xaa" + register.encode(counts) + b"\xaa"
    assert register.decode(data, register.address - 1) == counts


def test_minus_five_is_as_the_data_sheets_say() -> None:
    assert MAGNITUDE.encode(-5) == bytes((5, 4))
    assert COMPLEMENT.encode(-5) == bytes((0xFB, 0xFF, 0xFF, 0xFF))


def test_what_does_not_fit_is_refused() -> None:
    for register, counts in ((MAGNITUDE, 1024), (COMPLEMENT, 1 << 31), (Register(40, 1), 256)):
        with pytest.raises(OverflowError):
            register.encode(counts)


# Both tables were typed from the makers' documents by different hands.
NAMES = {
    "present_voltage": "present_volts",
    "min_voltage": "min_volts",
    "max_voltage": "max_volts",
    "p_gain": "p",
    "d_gain": "d",
    "i_gain": "i",
    "operating_mode": "mode",
    "alarms": "status",
    "torque_limit": "torque_limit",
}
X_NAMES = {
    "alarms": "hardware_error",
    "watchdog": "bus_watchdog",
    "torque_limit": "goal_pwm",
    "present_load": "present_pwm",
    "acceleration": "profile_acceleration",
    "goal_velocity": "profile_velocity",
    "min_voltage": "min_volts",
    "max_voltage": "max_volts",
    "present_voltage": "present_volts",
    "max_temperature": "temperature_limit",
    "response_level": "status_level",
}


@pytest.mark.parametrize("model", MODELS)
def test_registers_are_where_the_emulators_table_has_them(model: str) -> None:
    is_feetech = MODELS[model].bus == "feetech"
    names = NAMES if is_feetech else X_NAMES
    theirs = (STS if is_feetech else table_of(EMULATED[model])).registers
    for name, register in MODELS[model].table.registers.items():
        other = theirs.get(names.get(name, name)) or theirs.get(name)
        assert other is not None, name
        assert (register.address, register.size) == (other.address, other.size), name
