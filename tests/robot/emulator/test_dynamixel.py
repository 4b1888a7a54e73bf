"""Laws of the emulated X-series Dynamixel: its bytes, its memory, its motion, its protections."""

from __future__ import annotations

import pytest

from demoloop.robot.emulator.dynamixel import DynamixelChain, crc16, frame
from demoloop.robot.emulator.dynamixel_servo import DynamixelServo

PING, READ, WRITE, REG_WRITE, ACTION, RESET, REBOOT, STATUS = 1, 2, 3, 4, 5, 6, 8, 0x55
SYNC_READ, SYNC_WRITE, FAST_SYNC_READ, BULK_READ, BULK_WRITE = 0x82, 0x83, 0x8A, 0x92, 0x93
MODE, TORQUE, LEVEL, HW_ERROR, WATCHDOG, GOAL_CURRENT = 11, 64, 68, 70, 98, 102
ACCELERATION, SPEED, GOAL, CURRENT, POSITION, TEMPERATURE = 108, 112, 116, 126, 132, 146
RANGE_ERROR, LIMIT_ERROR, ACCESS_ERROR, ALERT = 4, 6, 7, 0x80


def word(value: int, size: int = 2) -> bytes:
    return value.to_bytes(size, "little", signed=value < 0)


class Line:
    """A client that knows nothing but bytes, and whose time passes when it says so."""

    def __init__(self, *ids: int, model: str = "xl330-m288") -> None:
        self.chain = DynamixelChain(DynamixelServo(i, model) for i in ids)
        self.now = 0.0

    def say(self, servo_id: int, instruction: int, parameters: bytes = b"") -> bytes:
        return self.chain.handle(frame(servo_id, instruction, parameters), self.now)

    def read(self, servo_id: int, address: int, size: int = 1) -> int:
        answer = self.say(servo_id, READ, word(address) + word(size))
        return int.from_bytes(answer[9:-2], "little", signed=size > 1)

    def write(self, servo_id: int, address: int, value: int, size: int = 1) -> int:
        """Returns the error byte."""
        return self.say(servo_id, WRITE, word(address) + word(value, size))[8]

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.chain.advance(self.now)

    def servo(self, servo_id: int) -> DynamixelServo:
        return self.chain.servos[self.chain.places(servo_id)[0]]


@pytest.fixture
def line() -> Line:
    return Line(1, 2, 3)


def test_ping_is_the_example_of_the_manual() -> None:
    # e-manual, protocol 2.0, Ping: the packet to id 1, and the answer of an XM430-W210 there.
    assert frame(1, PING) == bytes.fromhex("fffffd00 01 0300 01 194e")
    assert frame(1, STATUS, bytes.fromhex("00 0604 26")) == bytes.fromhex(
        "fffffd00 01 0700 55 00 0604 26 655d"
    )


def test_ping_says_model_and_firmware(line: Line) -> None:
    assert line.say(1, PING) == frame(1, STATUS, b"\x00" + word(1200) + b"\x30")


def test_broadcast_ping_is_answered_by_all_in_the_order_of_their_ids(line: Line) -> None:
    answer = line.say(0xFE, PING)
    assert [answer[i + 4] for i in (0, 14, 28)] == [1, 2, 3]


def test_what_looks_like_a_header_is_stuffed_both_ways(line: Line) -> None:
    header = b"\xff\xff\xfd\x00"
    assert (
        line.say(1, WRITE, word(GOAL) + header)[8] == LIMIT_ERROR
    )  # understood whole: beyond 4095
    line.write(1, MODE, 4)
    assert line.say(1, WRITE, word(GOAL) + header)[8] == 0
    answer = line.say(1, READ, word(GOAL) + word(4))
    assert answer[5:7] == word(9) and answer[9:14] == b"\xff\xff\xfd\xfd\x00"


def test_a_wrong_crc_is_answered_with_its_error(line: Line) -> None:
    packet = bytearray(frame(1, PING))
    packet[-1] ^= 1
    assert line.chain.handle(bytes(packet), 0.0) == frame(1, STATUS, b"\x03")


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_packet_may_come_in_pieces(line: Line, cut: int) -> None:
    packet = frame(1, READ, word(0) + word(2))
    assert line.chain.handle(packet[:cut], 0.0) == b""
    assert line.chain.handle(packet[cut:], 0.001) == frame(1, STATUS, b"\x00" + word(1200))


def test_sync_read_is_answered_in_the_order_of_the_question(line: Line) -> None:
    answer = line.say(0xFE, SYNC_READ, word(0) + word(2) + bytes([3, 1, 9]))
    assert answer == b"".join(frame(i, STATUS, b"\x00" + word(1200)) for i in (3, 1))


def test_fast_sync_read_is_one_packet_for_all(line: Line) -> None:
    answer = line.say(0xFE, FAST_SYNC_READ, word(0) + word(2) + bytes([3, 1]))
    assert answer[:8] == b"\xff\xff\xfd\x00\xfe" + word(13) + bytes([STATUS])
    assert answer[8:12] == bytes([0, 3]) + word(1200)
    assert answer[14:18] == bytes([0, 1]) + word(1200)
    assert answer[12:14] == word(crc16(answer[:12]))
    assert answer[18:] == word(crc16(answer[:18]))


def test_fast_sync_read_breaks_off_where_a_servo_is_missing(line: Line) -> None:
    answer = line.say(0xFE, FAST_SYNC_READ, word(0) + word(2) + bytes([3, 9, 1]))
    assert answer[5:7] == word(19) and len(answer) == 14


def test_sync_and_bulk_write_reach_all_and_are_never_answered(line: Line) -> None:
    assert line.say(0xFE, SYNC_WRITE, word(65) + word(1) + bytes([1, 1, 2, 1])) == b""
    assert line.say(0xFE, BULK_WRITE, b"\x03" + word(65) + word(1) + b"\x01") == b""
    answer = line.say(0xFE, BULK_READ, b"".join(bytes([i]) + word(65) + word(1) for i in (1, 2, 3)))
    assert answer == b"".join(frame(i, STATUS, b"\x00\x01") for i in (1, 2, 3))


def test_a_registered_write_waits_for_its_action(line: Line) -> None:
    line.say(1, REG_WRITE, word(TORQUE) + b"\x01")
    assert line.read(1, TORQUE) == 0
    line.say(0xFE, ACTION)
    assert line.read(1, TORQUE) == 1


def test_status_level_says_what_is_answered(line: Line) -> None:
    line.write(1, LEVEL, 1)
    assert line.say(1, WRITE, word(65) + b"\x01") == b""
    assert line.read(1, 65) == 1
    line.say(1, WRITE, word(LEVEL) + b"\x00")
    assert line.say(1, READ, word(65) + word(1)) == b""
    assert line.say(1, PING) != b""


def test_eeprom_wants_the_torque_off(line: Line) -> None:
    line.write(1, TORQUE, 1)
    assert line.write(1, MODE, 5) == ACCESS_ERROR
    line.write(1, TORQUE, 0)
    assert line.write(1, MODE, 5) == 0


@pytest.mark.parametrize(
    ("address", "value", "size", "error"),
    [
        *((TEMPERATURE, 9, 1, ACCESS_ERROR), (7, 253, 1, RANGE_ERROR), (MODE, 2, 1, RANGE_ERROR)),
        *((GOAL, 4096, 4, LIMIT_ERROR), (GOAL, -1, 4, LIMIT_ERROR)),
        (GOAL_CURRENT, 1751, 2, LIMIT_ERROR),
    ],
)
def test_a_wrong_write_is_refused_and_changes_nothing(
    line: Line, address: int, value: int, size: int, error: int
) -> None:
    before = line.read(1, address, size)
    assert line.write(1, address, value, size) == error
    assert line.read(1, address, size) == before


def test_a_servo_without_current_sensor_has_no_current_mode() -> None:
    line = Line(1, model="xl430-w250")
    assert line.write(1, MODE, 5) == RANGE_ERROR
    assert line.write(1, GOAL_CURRENT, 100, 2) == ACCESS_ERROR


@pytest.mark.parametrize(("model", "data"), [("xl330-m288", 224), ("xl330-m288-fw52", 208)])
def test_indirect_window_shows_scattered_registers_side_by_side(model: str, data: int) -> None:
    line = Line(1, model=model)
    addresses = [*range(POSITION, POSITION + 4), TEMPERATURE, HW_ERROR]
    assert line.say(1, WRITE, word(168) + b"".join(word(a) for a in addresses))[8] == 0
    assert line.read(1, data, 4) == 2048
    assert line.read(1, data + 4) == 25


def test_indirect_window_can_be_written_through(line: Line) -> None:
    line.write(1, 168, 65, 2)
    assert line.write(1, 224, 1) == 0
    assert line.read(1, 65) == 1


def test_it_goes_where_the_goal_is_within_its_profile(line: Line) -> None:
    line.write(1, TORQUE, 1)
    line.write(1, SPEED, 21, 4)  # 21 * 0.229 rpm: 328 ticks/s
    line.write(1, ACCELERATION, 40, 4)
    line.write(1, GOAL, 3048, 4)
    line.wait(1.0)
    assert 2048 + 280 < line.read(1, POSITION, 4) < 2048 + 329
    line.wait(3.0)
    assert abs(line.read(1, POSITION, 4) - 3048) <= 1


def test_a_profile_by_time_arrives_in_time(line: Line) -> None:
    line.write(1, 10, 1 << 2)
    line.write(1, TORQUE, 1)
    line.write(1, SPEED, 2000, 4)  # ms
    line.write(1, GOAL, 3048, 4)
    line.wait(1.0)
    assert line.read(1, POSITION, 4) == pytest.approx(2548, abs=20)


def test_reverse_mode_counts_the_other_way(line: Line) -> None:
    line.write(1, 10, 1)
    line.write(1, TORQUE, 1)
    before = line.servo(1).motor.shaft.position
    here = line.read(1, POSITION, 4)
    line.write(1, GOAL, here + 100, 4)
    line.wait(0.5)
    assert line.read(1, POSITION, 4) == pytest.approx(here + 100, abs=1)
    assert line.servo(1).motor.shaft.position < before


def test_goal_current_bounds_the_squeeze(line: Line) -> None:
    line.write(1, MODE, 5)
    line.write(1, TORQUE, 1)
    line.write(1, GOAL_CURRENT, 200, 2)
    line.servo(1).motor.shaft.block(True)
    line.write(1, GOAL, 3000, 4)
    line.wait(1.0)
    assert line.read(1, CURRENT, 2) == pytest.approx(200, abs=10)


def test_a_stalled_servo_lets_go_and_wants_a_reboot(line: Line) -> None:
    line.write(1, TORQUE, 1)
    line.servo(1).motor.shaft.block(True)
    line.write(1, GOAL, 3000, 4)
    line.wait(2.5)
    assert line.say(1, PING)[8] == ALERT
    assert (line.read(1, HW_ERROR), line.read(1, TORQUE)) == (1 << 5, 0)
    assert line.write(1, TORQUE, 1) == ACCESS_ERROR | ALERT
    line.say(1, REBOOT)
    assert line.write(1, TORQUE, 1) == 0


@pytest.mark.parametrize(
    ("pretended", "bit"), [({"volts": 3.0}, 0), ({"volts": 7.5}, 0), ({"temperature": 71.0}, 2)]
)
def test_every_alarm_is_an_alert_and_a_bit(
    line: Line, pretended: dict[str, float], bit: int
) -> None:
    line.servo(1).motor.pretended |= pretended
    line.wait(0.01)
    assert line.say(1, PING)[8] == ALERT
    assert line.read(1, HW_ERROR) == 1 << bit


def test_the_watchdog_stops_a_servo_nobody_speaks_to(line: Line) -> None:
    line.write(1, TORQUE, 1)
    line.write(1, SPEED, 21, 4)
    line.write(1, WATCHDOG, 5)  # 100 ms
    line.write(1, GOAL, 4000, 4)
    line.wait(2.0)
    assert line.read(1, POSITION, 4) - 2048 < 0.12 * 328
    assert line.read(1, WATCHDOG) == 0xFF
    assert line.write(1, GOAL, 2048, 4) == ACCESS_ERROR
    line.write(1, WATCHDOG, 0)
    assert line.write(1, GOAL, 2048, 4) == 0


def test_the_watchdog_lies_still_while_somebody_speaks(line: Line) -> None:
    line.write(1, WATCHDOG, 5)
    for _ in range(20):
        line.wait(0.05)
        line.say(1, PING)
    assert line.read(1, WATCHDOG) == 5


@pytest.mark.parametrize(("keep", "expected"), [(0xFF, (1, 1)), (1, (3, 1)), (2, (3, 3))])
def test_a_factory_reset_keeps_what_it_is_told_to(
    line: Line, keep: int, expected: tuple[int, int]
) -> None:
    line.say(3, RESET, bytes([keep]))
    servo = line.chain.servos[2]
    assert (servo.id, servo.memory["baud"]) == expected


def test_a_servo_that_cannot_hear_is_silent(line: Line) -> None:
    line.chain.cut_power(2)
    packet = frame(0xFE, SYNC_READ, word(POSITION) + word(4) + bytes([1, 2, 3]))
    heard = line.chain.answers(packet, 0.0, 1_000_000)
    assert [answer.ids for answer in heard] == [(1,), (3,)]
    assert line.chain.answers(packet, 0.0, 57_600) == []
