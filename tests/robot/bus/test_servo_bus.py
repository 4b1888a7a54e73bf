"""Laws of the bus, spoken to emulated servos in memory, on a clock that only waiting moves."""

from __future__ import annotations

from typing import Any

import pytest
from tests.robot.bus.line import MemoryLink

from demoloop.robot.bus.dynamixel import DynamixelFraming
from demoloop.robot.bus.feetech import FeetechFraming
from demoloop.robot.bus.interface import Identity
from demoloop.robot.bus.servo_bus import ServoBus
from demoloop.robot.emulator.dynamixel import DynamixelChain
from demoloop.robot.emulator.dynamixel_servo import DynamixelServo
from demoloop.robot.emulator.faults import Corrupt, Dead, Drop, DuplicateId, Echo, Late, Mute, Noise
from demoloop.robot.emulator.feetech import FeetechChain
from demoloop.robot.emulator.feetech_servo import FeetechServo
from demoloop.robot.errors import Disconnected

IDS = (1, 2, 3, 4, 5, 6)


def feetech() -> tuple[MemoryLink, ServoBus, int]:
    link = MemoryLink(FeetechChain([FeetechServo(i) for i in IDS]))
    return link, ServoBus(link, FeetechFraming()), 56  # where it is


def dynamixel() -> tuple[MemoryLink, ServoBus, int]:
    link = MemoryLink(DynamixelChain([DynamixelServo(i) for i in IDS]))
    return link, ServoBus(link, DynamixelFraming()), 132


BOTH = pytest.mark.parametrize("make", [feetech, dynamixel])


def held(link: MemoryLink, servo_id: int) -> bytes:
    (servo,) = [servo for servo in link.chain.servos if servo.id == servo_id]
    return bytes(servo.memory.bytes)


@BOTH
def test_all_servos_are_read_in_one_request(make: Any) -> None:
    link, bus, where = make()
    replies = bus.read(IDS, where, 2, link.time + 0.1)
    assert replies.values == {i: held(link, i)[where : where + 2] for i in IDS}
    assert len(link.sent) == 1 and replies.missing == ()


@BOTH
def test_a_dead_servo_costs_its_own_value_and_little_time(make: Any) -> None:
    link, bus, where = make()
    link.wire.inject(Dead(id=3))
    replies = bus.read(IDS, where, 2, link.time + 0.5)
    assert replies.missing == (3,) and replies.values.keys() == {1, 2, 4, 5, 6}
    assert link.time < 0.03


@BOTH
def test_the_deadline_holds_when_nobody_answers(make: Any) -> None:
    link, bus, where = make()
    link.wire.inject(Dead())
    assert bus.read(IDS, where, 2, link.time + 0.005).missing == IDS
    assert link.time <= 0.005 + 1e-9


@BOTH
def test_a_late_reply_is_never_the_answer_to_the_next_question(make: Any) -> None:
    # Peers return it: asked for the temperature they give the voltage that came late.
    link, bus, where = make()
    link.wire.inject(Late(least_s=0.12, most_s=0.12))
    assert bus.read((1,), where, 1, link.time + 0.001).missing == (1,)
    link.wire.clear()
    link.time = 0.1199  # the late one arrives while the next is waited for
    for address in (62, 63, 3, 5):
        replies = bus.read((1,), address, 1, link.time + 0.05)
        assert replies.values == {1: held(link, 1)[address : address + 1]}


@BOTH
def test_no_length_is_asked_for_that_is_still_owed(make: Any) -> None:
    link, bus, where = make()
    link.wire.inject(Late(least_s=0.2, most_s=0.2))
    for _ in range(5):
        bus.read((1,), where, 4, link.time + 0.001)
    assert len(set(link.sent)) == len(link.sent)  # each asks for another length
    link.wire.clear()
    link.time = 0.2
    assert bus.read((1,), where, 4, link.time + 0.1).values == {1: held(link, 1)[where : where + 4]}


@BOTH
def test_an_echoing_adapter_changes_nothing(make: Any) -> None:
    link, bus, where = make()
    link.wire.inject(Echo())
    assert bus.read((1,), where, 2, link.time + 0.1).values == {1: held(link, 1)[where : where + 2]}
    assert bus.write(2, where - 16 if where == 56 else 64, b"\1", link.time + 0.1).missing == ()
    bus.sync_write(65, dict.fromkeys(IDS, b"\0"))
    assert bus.read(IDS, where, 4, link.time + 0.1).missing == ()


@BOTH
def test_a_lost_reply_is_asked_for_again(make: Any) -> None:
    link, bus, where = make()
    link.wire.inject(Drop(id=4, share=0.2))
    for _ in range(20):
        assert bus.read(IDS, where, 4, link.time + 0.1).missing == ()


@BOTH
def test_a_write_whose_acknowledgement_was_lost_is_read_back_and_not_guessed(make: Any) -> None:
    link, bus, where = make()
    torque = 40 if where == 56 else 64
    link.wire.inject(Mute(id=2))
    assert bus.write(2, torque, b"\1", link.time + 0.1).missing == (2,)
    link.wire.clear()
    link.wire.inject(Drop(id=2, share=0.5))
    for value in (b"\0", b"\1") * 10:
        if not bus.write(2, torque, value, link.time + 0.2).missing:
            assert held(link, 2)[torque : torque + 1] == value


def test_a_late_acknowledgement_confirms_no_later_write() -> None:
    link, bus, _ = feetech()
    link.wire.inject(Late(id=1, least_s=0.05, most_s=0.05))
    bus.write(1, 41, b"\7", link.time + 0.001)
    link.wire.clear()
    link.wire.inject(Drop(on="requests"))
    link.time = 0.0499  # the acknowledgement comes while the next is waited for
    assert bus.write(1, 41, b"\x08", link.time + 0.02).missing == (1,)
    assert held(link, 1)[41] == 7


def test_a_refused_write_is_not_confirmed() -> None:
    link, bus, _ = dynamixel()
    bus.write(1, 64, b"\1", link.time + 0.1)
    # What outlives the power cannot be written while torque is on: error 7, access.
    replies = bus.write(1, 9, b"\0", link.time + 0.1)
    assert replies.missing == (1,) and replies.errors[1] & 0x7F == 7


def test_error_bytes_come_with_the_values() -> None:
    link, bus, where = feetech()
    link.chain.servos[5].trip("overload")
    replies = bus.read(IDS, where, 2, link.time + 0.1)
    assert replies.errors == {1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 1 << 5}
    assert 6 in replies.values


@BOTH
def test_servos_say_who_they_are(make: Any) -> None:
    link, bus, where = make()
    expected = Identity(777, (3, 10)) if where == 56 else Identity(1200, (48,))
    assert bus.identify(4, link.time + 0.1) == expected
    assert bus.identify(9, link.time + 0.1) is None


def test_two_servos_of_one_id_look_garbled_and_not_missing() -> None:
    link, bus, where = feetech()
    link.chain.servos[1].motor.shaft.position = 1.0
    link.wire.inject(DuplicateId(id=2, twin=3))
    link.pass_time(0.01)
    garbled = [bus.read((3,), where, 2, link.time + 0.1).garbled for _ in range(20)]
    assert frozenset({3}) in garbled


def test_broken_bytes_make_the_bus_noisy_for_a_while() -> None:
    link, bus, where = feetech()
    bus.read(IDS, where, 2, link.time + 0.1)
    assert not bus.is_noisy()
    link.wire.inject(Corrupt(id=2))
    bus.read(IDS, where, 2, link.time + 0.02)
    assert bus.is_noisy()
    link.pass_time(1.1)
    assert not bus.is_noisy()
    link.wire.clear()
    link.wire.inject(Noise(id=2))
    bus.read(IDS, where, 2, link.time + 0.02)
    assert bus.is_noisy()


@BOTH
def test_a_line_that_is_gone_is_said_so(make: Any) -> None:
    link, bus, where = make()
    link.is_there = False
    with pytest.raises(Disconnected):
        bus.read(IDS, where, 2, link.time + 0.1)
