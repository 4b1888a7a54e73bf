"""Laws of the line: bytes take their time, and what is told to go wrong goes wrong, as often."""

from __future__ import annotations

import msgspec
import pytest

from demoloop.robot.emulator import dynamixel
from demoloop.robot.emulator.dynamixel_servo import DynamixelServo
from demoloop.robot.emulator.faults import (
    AnyFault,
    BaudMismatch,
    BrownOut,
    Corrupt,
    Dead,
    Drop,
    DuplicateId,
    Echo,
    Late,
    Mute,
    Noise,
    OverCurrent,
    Overload,
    OverTemperature,
    Stall,
    Truncate,
    UnderVoltage,
    WrongModel,
)
from demoloop.robot.emulator.feetech import FeetechChain, frame
from demoloop.robot.emulator.feetech_servo import FeetechServo
from demoloop.robot.emulator.wire import Wire

PING, READ, WRITE, SYNC_READ = 1, 2, 3, 0x82
TORQUE, GOAL, POSITION, LOAD = 40, 42, 56, 60
BYTE_S = 1e-5


class Line:
    """A client on an own clock that says something and hears what comes within a time."""

    def __init__(self, *ids: int, seed: int = 0) -> None:
        self.chain = FeetechChain(FeetechServo(i) for i in ids)
        for servo in self.chain.servos:
            servo.memory["return_delay"] = 0
        self.wire = Wire(self.chain, seed=seed)
        self.now = 0.0

    def say(self, servo_id: int, instruction: int, *parameters: int, within: float = 0.01) -> bytes:
        self.wire.send(frame(servo_id, instruction, bytes(parameters)), self.now)
        return self.hear(within)

    def hear(self, within: float) -> bytes:
        self.now += within
        self.chain.advance(self.now)
        return self.wire.receive(self.now)


@pytest.fixture
def line() -> Line:
    return Line(1, 2, 3)


def test_bytes_take_ten_bits_each_there_and_back(line: Line) -> None:
    line.wire.send(frame(1, PING), 0.0)
    arrival = line.wire.next_arrival() or 0.0
    assert arrival == pytest.approx((6 + 6) * BYTE_S)
    assert line.wire.receive(arrival - 1e-6) == b""
    assert line.wire.receive(arrival) == frame(1, 0)


def test_answers_follow_each_other_on_the_line(line: Line) -> None:
    line.wire.send(frame(0xFE, SYNC_READ, bytes([POSITION, 2, 1, 2, 3])), 0.0)
    times = []
    while (arrival := line.wire.next_arrival()) is not None:
        times.append(arrival)
        line.wire.receive(arrival)
    assert times == pytest.approx([(11 + 8 * n) * BYTE_S for n in (1, 2, 3)])


def test_a_request_waits_until_the_line_is_free(line: Line) -> None:
    for _ in range(3):
        line.wire.send(frame(1, PING), 0.0)
    line.hear(30 * BYTE_S)
    assert line.hear(6.5 * BYTE_S) == frame(1, 0)


def test_a_late_process_does_not_make_a_client_wait_for_what_it_gave_up() -> None:
    """Three questions found at once: the first two would have been answered long since."""
    line = Line(1, 2, 3)
    wire = Wire(line.chain, is_live=True)
    wire.send(frame(1, PING) + frame(2, PING) + frame(3, PING), 1.0)
    assert wire.receive(1.0) == frame(1, 0) + frame(2, 0)
    assert wire.receive(1.0 + 12 * BYTE_S + 1e-9) == frame(3, 0)
    wire.send(frame(1, PING), 2.0)
    wire.send(frame(2, PING), 2.0)
    assert wire.receive(2.0) == frame(1, 0)


def test_a_slower_line_takes_longer() -> None:
    servo = FeetechServo(1, baud=115_200)
    servo.memory["return_delay"] = 0
    wire = Wire(FeetechChain([servo]), baud=115_200)
    wire.send(frame(1, PING), 0.0)
    assert wire.next_arrival() == pytest.approx(12 * 10 / 115_200)


def test_at_a_rate_without_a_name_nobody_hears(line: Line) -> None:
    line.wire.send(frame(1, PING), 0.0, baud=0)
    assert line.wire.next_arrival() is None


def answers(line: Line, num: int = 400) -> list[bytes]:
    return [line.say(1 + i % 3, PING) for i in range(num)]


@pytest.mark.parametrize(
    "fault", [Drop(share=0.1), Corrupt(share=0.1), Truncate(share=0.1), Noise(share=0.1)]
)
def test_so_many_answers_are_broken_as_were_asked_for(line: Line, fault: AnyFault) -> None:
    line.wire.inject(fault)
    broken = sum(a != frame(1 + i % 3, 0) for i, a in enumerate(answers(line)))
    assert 20 <= broken <= 65  # 40 of 400; 3.5 standard deviations to each side


@pytest.mark.parametrize("kind", [Drop, Corrupt, Truncate])
def test_a_broken_request_is_not_answered(
    line: Line, kind: type[Drop] | type[Corrupt] | type[Truncate]
) -> None:
    line.wire.inject(kind(on="requests"))
    assert line.say(1, PING) == b""


def test_a_fault_of_one_servo_leaves_the_others_alone(line: Line) -> None:
    line.wire.inject(Drop(id=2))
    assert [line.say(i, PING) for i in (1, 2, 3)] == [frame(1, 0), b"", frame(3, 0)]


def test_the_same_seed_breaks_the_same_things() -> None:
    def run(seed: int) -> list[bytes]:
        line = Line(1, 2, 3, seed=seed)
        for fault in (Drop(share=0.2), Corrupt(share=0.2), Noise(share=0.2), Late(share=0.2)):
            line.wire.inject(fault)
        return answers(line)

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_a_late_answer_comes_when_something_else_was_asked(line: Line) -> None:
    line.wire.inject(Late(least_s=0.015, most_s=0.015))
    assert line.say(1, PING) == b""
    line.wire.clear()
    assert line.say(2, PING) == frame(2, 0) + frame(1, 0)


def test_an_echo_comes_before_the_answer(line: Line) -> None:
    line.wire.inject(Echo())
    assert line.say(1, PING) == frame(1, PING) + frame(1, 0)


def test_pulling_the_plug_loses_what_is_under_way(line: Line) -> None:
    line.wire.send(frame(1, PING), 0.0)
    line.wire.cut()
    assert line.hear(1.0) == b""


@pytest.mark.parametrize("fault", [Dead(id=2), Mute(id=2), BaudMismatch(id=2)])
def test_one_silent_servo_does_not_silence_the_others(line: Line, fault: AnyFault) -> None:
    line.wire.inject(fault)
    assert [line.say(i, PING) for i in (1, 2, 3)] == [frame(1, 0), b"", frame(3, 0)]
    line.wire.clear()
    assert line.say(2, PING) == frame(2, 0)


@pytest.mark.parametrize("fault", [Dead(), Mute(), BaudMismatch()])
def test_a_fault_without_id_befalls_all(line: Line, fault: AnyFault) -> None:
    line.wire.inject(fault)
    assert line.say(0xFE, PING) == b""


def test_a_mute_servo_obeys_and_a_dead_one_does_not(line: Line) -> None:
    line.wire.inject(Mute(id=1))
    line.wire.inject(Dead(id=2))
    for i in (1, 2):
        line.say(i, WRITE, TORQUE, 1)
    assert [servo.has_torque for servo in line.chain.servos] == [True, False, False]


def test_two_servos_with_one_id_garble_each_other(line: Line) -> None:
    line.wire.inject(DuplicateId(id=2, twin=1))
    heard = [line.say(1, READ, POSITION, 15) for _ in range(50)]
    good = frame(1, 0, line.chain.servos[0].read(POSITION, 15))
    assert any(answer != good for answer in heard)
    assert line.say(2, PING) == b""
    line.wire.clear()
    assert line.say(2, PING) == frame(2, 0)


def test_a_wrong_model_says_so(line: Line) -> None:
    line.wire.inject(WrongModel(id=1, model=1284))
    assert line.say(1, READ, 3, 2)[5:7] == (1284).to_bytes(2, "little")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        *((Overload(id=1), 1 << 5), (OverTemperature(id=1), 1 << 2), (OverCurrent(id=1), 1 << 3)),
        *((UnderVoltage(id=1), 1), (UnderVoltage(id=1, volts=9.0), 1)),
    ],
)
def test_an_alarm_is_in_the_next_answer(line: Line, fault: AnyFault, error: int) -> None:
    line.wire.inject(fault)
    assert line.say(1, PING)[4] == error
    assert line.say(2, PING)[4] == 0


def test_a_brown_out_switches_the_torque_off_and_says_nothing(line: Line) -> None:
    line.say(1, WRITE, TORQUE, 1)
    line.wire.inject(BrownOut())
    assert line.say(1, READ, TORQUE, 1) == frame(1, 0, b"\x00")


def test_a_stalled_shaft_stays_and_pulls_with_all_it_has(line: Line) -> None:
    line.wire.inject(Stall(id=1))
    line.say(1, WRITE, TORQUE, 1)
    line.say(1, WRITE, GOAL, *(3000).to_bytes(2, "little"))
    line.hear(1.0)
    position, _, load = (
        int.from_bytes(line.chain.servos[0].read(POSITION, 6)[i : i + 2], "little")
        for i in (0, 2, 4)
    )
    assert (position, load) == (2048, 970)


def test_a_shadow_obeys_its_leader_and_never_answers() -> None:
    servos = [DynamixelServo(i, "xm540-w270") for i in (2, 3)]
    servos[1].memory["secondary_id"] = 2
    chain = dynamixel.DynamixelChain(servos)
    answer = chain.handle(dynamixel.frame(2, WRITE, bytes([64, 0, 1])), 0.0)
    assert answer == dynamixel.frame(2, 0x55, b"\x00")
    assert all(servo.has_torque for servo in servos)


@pytest.mark.parametrize("fault", [Drop(id=9), Dead(id=9), BaudMismatch(baud=12345)])
def test_a_fault_of_nobody_is_refused(line: Line, fault: AnyFault) -> None:
    with pytest.raises(ValueError, match=r"9|12345"):
        line.wire.inject(fault)


def test_every_fault_can_be_said_in_json() -> None:
    for fault in (Drop(id=3, share=0.5), UnderVoltage(volts=4.0), DuplicateId(id=2, twin=1)):
        assert msgspec.json.decode(msgspec.json.encode(fault), type=AnyFault) == fault


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "drop", "share": 2}',
        '{"kind": "drop", "often": 1}',
        '{"kind": "fire"}',
        '{"kind": "dead", "id": 300}',
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=AnyFault)
