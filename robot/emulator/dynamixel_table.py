"""Control tables of Dynamixel X-series servos, as the e-manual gives them."""

from __future__ import annotations

from dataclasses import dataclass

from demoloop.robot.emulator.motor import XL330, XL430, XM430, MotorConstants
from demoloop.robot.emulator.table import Register, Table

BAUDS = (9600, 57_600, 115_200, 1_000_000, 2_000_000, 3_000_000, 4_000_000, 4_500_000)
INDIRECT_ADDRESS = 168
FULL_PWM = 885


@dataclass(frozen=True)
class DynamixelModel:
    """What sets one model apart from its siblings."""

    number: int
    constants: MotorConstants
    volts: float  # V, of the usual supply
    volt_range: tuple[int, int]  # 0.1 V
    max_temperature: int
    current_limit: int  # 0: no current sensor, the present load stands in its place
    current_unit: float = 0.001  # A
    position_p: int = 800
    firmware: int = 48
    indirect_data: int = 224
    num_indirect: int = 28


MODELS = {
    "xl330-m077": DynamixelModel(1190, XL330, 5.0, (35, 70), 70, 1750, position_p=400),
    "xl330-m288": DynamixelModel(1200, XL330, 5.0, (35, 70), 70, 1750, position_p=400),
    # From firmware 52 on, the window of an XL330 is smaller and lies elsewhere.
    "xl330-m288-fw52": DynamixelModel(
        *(1200, XL330, 5.0, (35, 70), 70, 1750, 0.001, 400),
        firmware=52,
        indirect_data=208,
        num_indirect=20,
    ),
    "xl430-w250": DynamixelModel(1060, XL430, 12.0, (60, 140), 72, 0),
    "xm430-w350": DynamixelModel(1020, XM430, 12.0, (95, 160), 80, 1193, 0.00269),
    "xm540-w270": DynamixelModel(1120, XM430, 12.0, (100, 160), 80, 2047, 0.00269),
}


def table_of(model: DynamixelModel) -> Table:
    """Returns the control table of a model."""
    has_current = model.current_limit > 0
    registers = [
        Register("model", 0, 2, "sensor", model.number),
        Register("firmware", 6, 1, "sensor", model.firmware),
        Register("id", 7, 1, "eeprom", 1),
        Register("baud", 8, 1, "eeprom", 1),
        Register("return_delay", 9, 1, "eeprom", 250),  # 2 us
        Register("drive_mode", 10, 1, "eeprom"),  # bit 0 reverse, bit 2 profile by time
        Register("operating_mode", 11, 1, "eeprom", 3),
        Register("secondary_id", 12, 1, "eeprom", 255),
        Register("protocol", 13, 1, "eeprom", 2),
        Register("homing_offset", 20, 4, "eeprom"),
        Register("moving_threshold", 24, 4, "eeprom", 10),
        Register("max_temperature", 31, 1, "eeprom", model.max_temperature),
        Register("max_volts", 32, 2, "eeprom", model.volt_range[1]),
        Register("min_volts", 34, 2, "eeprom", model.volt_range[0]),
        Register("pwm_limit", 36, 2, "eeprom", FULL_PWM),
        Register("velocity_limit", 44, 4, "eeprom", 445),
        Register("max_position", 48, 4, "eeprom", 4095),
        Register("min_position", 52, 4, "eeprom", 0),
        Register("startup", 60, 1, "eeprom"),
        Register("shutdown", 63, 1, "eeprom", 0b110100),  # overload, electrical shock, heat
        Register("torque_enable", 64, 1, "sram"),
        Register("led", 65, 1, "sram"),
        Register("status_level", 68, 1, "sram", 2),  # 0 ping, 1 and read, 2 everything
        Register("pending", 69, 1, "sensor"),
        Register("hardware_error", 70, 1, "sensor"),
        Register("velocity_i", 76, 2, "sram", 1920),
        Register("velocity_p", 78, 2, "sram", 100),
        Register("position_d", 80, 2, "sram"),
        Register("position_i", 82, 2, "sram"),
        Register("position_p", 84, 2, "sram", model.position_p),
        Register("feedforward_2", 88, 2, "sram"),
        Register("feedforward_1", 90, 2, "sram"),
        Register("bus_watchdog", 98, 1, "sram"),  # 20 ms; -1: it has bitten
        Register("goal_pwm", 100, 2, "sram", FULL_PWM),
        Register("goal_velocity", 104, 4, "sram"),
        Register("profile_acceleration", 108, 4, "sram"),
        Register("profile_velocity", 112, 4, "sram"),
        Register("goal_position", 116, 4, "sram"),
        Register("realtime_tick", 120, 2, "sensor"),
        Register("moving", 122, 1, "sensor"),
        Register("moving_status", 123, 1, "sensor"),
        Register("present_pwm", 124, 2, "sensor"),
        Register("present_current", 126, 2, "sensor"),  # or load, 0.1 %
        Register("present_velocity", 128, 4, "sensor"),
        Register("present_position", 132, 4, "sensor"),
        Register("velocity_trajectory", 136, 4, "sensor"),
        Register("position_trajectory", 140, 4, "sensor"),
        Register("present_volts", 144, 2, "sensor"),
        Register("present_temperature", 146, 1, "sensor"),
        *(
            Register(f"indirect_{i}", INDIRECT_ADDRESS + 2 * i, 2, "sram", model.indirect_data + i)
            for i in range(model.num_indirect)
        ),
    ]
    if has_current:
        registers += [
            Register("current_limit", 38, 2, "eeprom", model.current_limit),
            Register("goal_current", 102, 2, "sram", model.current_limit),
        ]
    return Table(registers)
