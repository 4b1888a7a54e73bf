"""The control table of the STS3215, as the maker's memory table and SDKs give it."""

from __future__ import annotations

from demoloop.robot.emulator.table import Register, Table

MODEL_NUMBER = 777
# 5, 6 and 7 differ between the maker's SDK and others; these are the SDK's.
BAUDS = (1_000_000, 500_000, 250_000, 128_000, 115_200, 76_800, 57_600, 38_400)

TABLE = Table(
    [
        Register("firmware_major", 0, 1, "sensor", 3),
        Register("firmware_minor", 1, 1, "sensor", 10),
        Register("model", 3, 2, "sensor", MODEL_NUMBER),
        Register("id", 5, 1, "eeprom", 1),
        Register("baud", 6, 1, "eeprom", 0),
        Register("return_delay", 7, 1, "eeprom", 250),  # 2 us
        Register("response_level", 8, 1, "eeprom", 1),  # 0: only PING and READ are answered
        Register("min_position", 9, 2, "eeprom", 0),
        Register("max_position", 11, 2, "eeprom", 4095),  # both 0: many turns
        Register("max_temperature", 13, 1, "eeprom", 70),
        Register("max_volts", 14, 1, "eeprom", 80),  # 0.1 V
        Register("min_volts", 15, 1, "eeprom", 40),
        Register("max_torque", 16, 2, "eeprom", 1000),  # 0.1 %
        Register("phase", 18, 1, "eeprom", 12),  # bit 4: positions over several turns
        Register("unload_condition", 19, 1, "eeprom", 44),  # alarms that release the shaft
        Register("led_alarm", 20, 1, "eeprom", 47),
        Register("p", 21, 1, "eeprom", 32),
        Register("d", 22, 1, "eeprom", 32),
        Register("i", 23, 1, "eeprom", 0),
        Register("min_start_force", 24, 2, "eeprom", 16),
        Register("dead_zone_cw", 26, 1, "eeprom", 1),
        Register("dead_zone_ccw", 27, 1, "eeprom", 1),
        Register("protection_current", 28, 2, "eeprom", 500),  # 6.5 mA
        Register("angular_resolution", 30, 1, "eeprom", 1),
        Register("homing_offset", 31, 2, "eeprom", 0),  # sign bit 11
        Register("mode", 33, 1, "eeprom", 0),  # 0 position, 1 velocity, 2 PWM, 3 steps
        Register("protective_torque", 34, 1, "eeprom", 20),  # %
        Register("protection_time", 35, 1, "eeprom", 200),  # 10 ms
        Register("overload_torque", 36, 1, "eeprom", 80),  # %
        Register("velocity_p", 37, 1, "eeprom", 10),
        Register("over_current_time", 38, 1, "eeprom", 200),  # 10 ms
        Register("velocity_i", 39, 1, "eeprom", 10),
        Register("torque_enable", 40, 1, "sram"),  # 128: here is tick 2048
        Register("acceleration", 41, 1, "sram"),  # 100 ticks/s^2; 0: at once
        Register("goal_position", 42, 2, "sram"),  # sign bit 15
        Register("goal_time", 44, 2, "sram"),  # in mode 2 the duty, sign bit 10
        Register("goal_velocity", 46, 2, "sram"),  # ticks/s, sign bit 15; 0: as quick as it can
        Register("torque_limit", 48, 2, "sram", 1000),  # 0.1 %, taken from max_torque at start
        Register("lock", 55, 1, "sram", 1),
        Register("present_position", 56, 2, "sensor"),  # sign bit 15
        Register("present_velocity", 58, 2, "sensor"),  # sign bit 15
        Register("present_load", 60, 2, "sensor"),  # 0.1 % of the duty, sign bit 10
        Register("present_volts", 62, 1, "sensor"),
        Register("present_temperature", 63, 1, "sensor"),
        Register("pending", 64, 1, "sensor"),  # a REG_WRITE waits for its ACTION
        Register("status", 65, 1, "sensor"),
        Register("moving", 66, 1, "sensor"),
        Register("present_current", 69, 2, "sensor"),  # 6.5 mA, sign bit 15
        Register("moving_threshold", 80, 1, "sram", 1),
        Register("max_acceleration", 85, 1, "sram", 254),
        Register("acceleration_multiplier", 86, 1, "sram", 1),
    ]
)
