"""Laws of the emulated STS3215: its bytes, its memory, its motion and its protections."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from demoloop.robot.emulator.feetech import FeetechChain, frame
from demoloop.robot.emulator.feetech_servo import FeetechServo
from demoloop.robot.emulator.motor import FreeShaft

PING, READ, WRITE, REG_WRITE, ACTION, SYNC_READ, SYNC_WRITE = 1, 2, 3, 4, 5, 0x82, 0x83
ID, BAUD, LEVEL, OFFSET, LOCK, TORQUE, GOAL = 5, 6, 8, 31, 55, 40, 42
SPEED, LIMIT, POSITION, LOAD, VOLTS, TEMPERATURE, STATUS = 46, 48, 56, 60, 62, 63, 65
TURN = 4096


class Line:
    """A client that knows nothing but bytes, and whose time passes when it says so."""

    def __init__(self, *ids: int) -> None:
        self.chain = FeetechChain(FeetechServo(i) for i in ids)
        self.now = 0.0

    def say(self, servo_id: int, instruction: int, *parameters: int) -> bytes:
        return self.chain.handle(frame(servo_id, instruction, bytes(parameters)), self.now)

    def read(self, servo_id: int, address: int, size: int = 1) -> int:
        answer = self.say(servo_id, READ, address, size)
        return int.from_bytes(answer[5:-1], "little")

    def write(self, servo_id: int, address: int, *data: int) -> bytes:
        return self.say(servo_id, WRITE, address, *data)

    def goto(self, servo_id: int, ticks: int) -> None:
        self.write(servo_id, GOAL, ticks & 0xFF, ticks >> 8)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.chain.advance(self.now)

    def servo(self, servo_id: int) -> FeetechServo:
        return self.chain.servos[self.chain.places(servo_id)[0]]


@pytest.fixture
def line() -> Line:
    return Line(1, 2, 3)


def test_ping_is_answered_as_the_maker_writes_it(line: Line) -> None:
    # FF FF, id 1, length 2, no error, checksum ~(1 + 2 + 0): the example in the protocol manual.
    assert line.say(1, PING) == bytes.fromhex("ff ff 01 02 00 fc")


def test_nobody_answers_for_an_id_that_is_not_there(line: Line) -> None:
    assert line.say(9, PING) == b""


def test_broadcast_ping_is_answered_by_all_in_the_order_of_their_ids(line: Line) -> None:
    assert line.say(0xFE, PING) == b"".join(frame(i, 0) for i in (1, 2, 3))


def test_model_number_is_that_of_an_sts3215(line: Line) -> None:
    assert line.read(1, 3, 2) == 777


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_packet_may_come_in_pieces(line: Line, cut: int) -> None:
    packet = frame(1, READ, bytes([3, 2]))
    assert line.chain.handle(packet[:cut], 0.0) == b""
    assert line.chain.handle(packet[cut:], 0.001) == frame(1, 0, (777).to_bytes(2, "little"))


def test_a_packet_with_a_long_hole_is_given_up(line: Line) -> None:
    packet = frame(1, PING)
    line.chain.handle(packet[:3], 0.0)
    assert line.chain.handle(packet[3:], 1.0) == b""


def test_a_wrong_checksum_is_not_answered(line: Line) -> None:
    packet = frame(1, PING)
    assert line.chain.handle(packet[:-1] + b"\x00", 0.0) == b""


def test_rubbish_before_a_packet_is_skipped(line: Line) -> None:
    assert line.chain.handle(b"\x00\xff\x7f" + frame(1, PING), 0.0) == frame(1, 0)


def test_sync_read_is_answered_in_the_order_of_the_question(line: Line) -> None:
    answer = line.say(0xFE, SYNC_READ, 3, 2, 3, 1, 9)
    assert answer == b"".join(frame(i, 0, b"\x09\x03") for i in (3, 1))


def test_sync_write_reaches_all_and_is_never_answered(line: Line) -> None:
    assert line.say(0xFE, SYNC_WRITE, LIMIT, 2, 1, 0x2C, 0x01, 2, 0x90, 0x01) == b""
    assert [line.read(i, LIMIT, 2) for i in (1, 2, 3)] == [300, 400, 1000]


def test_a_registered_write_waits_for_its_action(line: Line) -> None:
    line.say(1, REG_WRITE, TORQUE, 1)
    assert line.read(1, TORQUE) == 0
    line.say(0xFE, ACTION)
    assert line.read(1, TORQUE) == 1


def test_response_level_0_answers_only_ping_and_read(line: Line) -> None:
    assert line.write(1, TORQUE, 0) != b""
    line.write(1, LEVEL, 0)
    assert line.write(1, TORQUE, 0) == b""
    assert line.say(1, PING) != b""
    assert line.read(1, LEVEL) == 0


def test_what_only_the_servo_writes_cannot_be_written(line: Line) -> None:
    line.write(1, TEMPERATURE, 99)
    assert line.read(1, TEMPERATURE) == 25


def test_a_new_id_counts_at_once_and_is_confirmed_by_the_old_one(line: Line) -> None:
    assert line.write(3, ID, 7)[2] == 3
    assert line.say(7, PING) == frame(7, 0)
    assert line.say(3, PING) == b""


@pytest.mark.parametrize(("lock", "after"), [(0, 16), (1, 32)])
def test_eeprom_outlives_a_power_cycle_only_when_written_unlocked(
    line: Line, lock: int, after: int
) -> None:
    line.write(1, LOCK, lock)
    line.write(1, 21, 16)
    assert line.read(1, 21) == 16
    line.servo(1).restart()
    assert line.read(1, 21) == after


def test_a_power_cycle_forgets_torque_and_its_limit(line: Line) -> None:
    line.write(1, TORQUE, 1)
    line.write(1, LIMIT, 0x2C, 0x01)
    line.servo(1).restart()
    assert (line.read(1, TORQUE), line.read(1, LIMIT, 2)) == (0, 1000)


def test_it_goes_where_the_goal_is(line: Line) -> None:
    line.write(1, TORQUE, 1)
    line.goto(1, 3000)
    line.wait(1.0)
    assert abs(line.read(1, POSITION, 2) - 3000) <= 1


def test_without_torque_it_stays(line: Line) -> None:
    line.goto(1, 3000)
    line.wait(1.0)
    assert line.read(1, POSITION, 2) == 2048


def test_torque_on_goes_to_a_stale_goal_at_full_speed(line: Line) -> None:
    line.goto(1, 3000)
    line.write(1, TORQUE, 1)
    line.wait(0.1)
    assert 2048 + 250 < line.read(1, POSITION, 2) < 2048 + 340  # 3400 ticks/s, and some lag


def test_goal_velocity_bounds_the_speed(line: Line) -> None:
    line.write(1, TORQUE, 1)
    line.write(1, SPEED, 0xF4, 0x01)  # 500 ticks/s
    line.goto(1, 4000)
    line.wait(1.0)
    assert line.read(1, POSITION, 2) - 2048 == pytest.approx(500, abs=15)


def test_acceleration_makes_the_start_soft(line: Line) -> None:
    line.write(1, TORQUE, 1)
    line.write(1, 41, 10)  # 1000 ticks/s^2: half a tick t^2 after a start from rest
    line.goto(1, 4000)
    line.wait(0.5)
    assert line.read(1, POSITION, 2) - 2048 == pytest.approx(125, abs=15)
    line.wait(5.0)
    assert abs(line.read(1, POSITION, 2) - 4000) <= 1


@pytest.mark.parametrize("offset", [-2047, -5, 0, 5, 2047])
def test_homing_offset_is_a_sign_and_a_magnitude(line: Line, offset: int) -> None:
    line.write(1, OFFSET, abs(offset) & 0xFF, abs(offset) >> 8 | (8 if offset < 0 else 0))
    assert line.read(1, POSITION, 2) == (2048 - offset) % TURN


def test_a_position_below_zero_has_a_sign_bit_when_it_counts_turns(line: Line) -> None:
    line.write(1, 18, 1 << 4)
    shaft = line.servo(1).motor.shaft
    assert isinstance(shaft, FreeShaft)
    shaft.position = -0.01
    assert line.read(1, POSITION, 2) == 0x8000 | 7


def test_128_makes_here_the_middle_and_is_kept(line: Line) -> None:
    shaft = line.servo(1).motor.shaft
    assert isinstance(shaft, FreeShaft)
    shaft.position = 0.5
    line.write(1, TORQUE, 128)
    assert (line.read(1, POSITION, 2), line.read(1, TORQUE)) == (2048, 0)
    line.servo(1).restart()
    assert line.read(1, POSITION, 2) == 2048


def stall(line: Line, limit: int = 1000) -> None:
    line.write(1, TORQUE, 1)
    line.write(1, LIMIT, limit & 0xFF, limit >> 8)
    line.servo(1).motor.shaft.block(True)
    line.goto(1, 3000)


def test_a_stalled_servo_protects_itself_after_two_seconds(line: Line) -> None:
    stall(line)
    line.wait(1.9)
    assert line.read(1, STATUS) == 0
    assert line.read(1, LOAD, 2) == 970
    line.wait(0.5)
    assert line.say(1, PING)[4] == 1 << 5
    assert line.read(1, LOAD, 2) == pytest.approx(194)  # 20 % of what the bridge lets through


def test_overload_ends_when_the_torque_is_switched_off(line: Line) -> None:
    stall(line)
    line.wait(3.0)
    assert line.write(1, TORQUE, 0)[4] == 1 << 5  # the answer to it still complains
    line.wait(0.01)
    assert line.say(1, PING)[4] == 0


def test_an_alarm_that_comes_while_the_torque_is_off_stays(line: Line) -> None:
    line.servo(1).trip("overload")
    line.wait(0.1)
    assert line.say(1, PING)[4] == 1 << 5


def test_a_gripper_that_squeezes_gets_hot_until_it_lets_go(line: Line) -> None:
    stall(line, limit=800)  # below the overload protection
    line.wait(20.0)
    warm = line.read(1, TEMPERATURE)
    assert 35 < warm < 60
    line.wait(60.0)
    assert line.say(1, PING)[4] & 1 << 2
    assert not line.servo(1).has_torque
    assert line.read(1, TORQUE) == 1  # the register does not tell


@pytest.mark.parametrize(
    ("pretended", "bit"),
    [({"volts": 3.9}, 0), ({"volts": 8.2}, 0), ({"temperature": 71.0}, 2), ({"current": 3.3}, 3)],
)
def test_every_alarm_has_its_bit_in_every_answer(
    line: Line, pretended: dict[str, float], bit: int
) -> None:
    line.servo(1).motor.pretended |= pretended
    line.wait(2.5)
    assert line.say(1, PING)[4] == 1 << bit
    assert line.read(1, STATUS) == 1 << bit


@pytest.mark.parametrize(
    "change",
    [lambda line: line.chain.cut_power(2), lambda line: line.write(2, BAUD, 4)],
    ids=["without power", "at another baud rate"],
)
def test_a_servo_that_cannot_hear_is_silent(line: Line, change: Callable[[Line], None]) -> None:
    change(line)
    packet = frame(0xFE, SYNC_READ, bytes([POSITION, 2, 1, 2, 3]))
    assert [answer.ids for answer in line.chain.answers(packet, 0.0, 1_000_000)] == [(1,), (3,)]


def test_power_that_comes_back_finds_the_torque_off(line: Line) -> None:
    line.write(2, TORQUE, 1)
    line.chain.cut_power(2)
    line.wait(0.1)
    assert not line.servo(2).has_torque
    line.chain.give_power(2)
    assert line.read(2, TORQUE) == 0


def test_return_delay_is_in_steps_of_two_microseconds(line: Line) -> None:
    delays = [answer.delay for answer in line.chain.answers(frame(1, PING), 0.0)]
    line.write(1, 7, 0)
    delays += [answer.delay for answer in line.chain.answers(frame(1, PING), 0.0)]
    assert delays == pytest.approx([500e-6, 0.0])
