"""What a cycle reads, and what it does not believe."""

from __future__ import annotations

from math import isnan
from typing import Any

import pytest
from tests.robot.bus.line import MemoryLink

from demoloop.robot.bus.dynamixel import DynamixelFraming
from demoloop.robot.bus.feetech import FeetechFraming
from demoloop.robot.bus.interface import Replies
from demoloop.robot.bus.registers import MODELS
from demoloop.robot.bus.servo_bus import ServoBus
from demoloop.robot.bus.states import StateReader
from demoloop.robot.emulator.dynamixel import DynamixelChain
from demoloop.robot.emulator.dynamixel_servo import DynamixelServo
from demoloop.robot.emulator.faults import BrownOut, Corrupt, Drop, Echo, Late, Noise, Truncate
from demoloop.robot.emulator.feetech import FeetechChain
from demoloop.robot.emulator.feetech_servo import FeetechServo

IDS = (1, 2, 3)
CYCLE_S = 0.01


def feetech() -> tuple[MemoryLink, ServoBus, StateReader]:
    link = MemoryLink(FeetechChain([FeetechServo(i) for i in IDS]))
    bus = ServoBus(link, FeetechFraming())
    return link, bus, StateReader(bus, dict.fromkeys(IDS, MODELS["sts3215"]))


def dynamixel() -> tuple[MemoryLink, ServoBus, StateReader]:
    kinds = dict(zip(IDS, ("xl430-w250", "xl330-m288", "xm430-w350"), strict=True))
    link = MemoryLink(DynamixelChain([DynamixelServo(i, kind) for i, kind in kinds.items()]))
    bus = ServoBus(link, DynamixelFraming())
    return link, bus, StateReader(bus, {i: MODELS[kind] for i, kind in kinds.items()})


BOTH = pytest.mark.parametrize("make", [feetech, dynamixel])


def read(link: MemoryLink, reader: StateReader) -> tuple[int, ...]:
    """One cycle, of servos that answer at once."""
    for servo in link.chain.servos:
        servo.memory["return_delay"] = 0
    link.truth.clear()
    start = link.time
    missing = reader.read(start + 0.008)
    link.time = max(link.time, start + CYCLE_S)
    return missing


@BOTH
def test_one_cycle_says_all_of_every_servo(make: Any) -> None:
    link, _, reader = make()
    assert read(link, reader) == ()
    for state in reader.states.values():
        assert state.position == 2048 and state.velocity == 0 and state.load == 0
        assert 4 < state.voltage < 13 and state.temperature == 25 and state.alarms == ()
    read(link, reader)
    assert {state.torque for state in reader.states.values()} == {0}


def test_a_servo_without_a_sensor_of_current_says_nan() -> None:
    link, _, reader = dynamixel()
    read(link, reader)
    assert isnan(reader.states[1].current) and reader.states[2].current == 0


@BOTH
def test_a_usual_cycle_is_one_exchange(make: Any) -> None:
    link, _, reader = make()
    read(link, reader)
    before = len(link.sent)
    read(link, reader)
    assert len(link.sent) == before + 1


@BOTH
def test_an_alarm_is_seen_in_the_cycle_in_which_it_is_raised(make: Any) -> None:
    link, _, reader = make()
    for _ in range(3):
        read(link, reader)
    link.chain.servos[1].trip("overload")
    link.chain.servos[1].tick(0.0)
    read(link, reader)
    assert "overload" in reader.states[2].alarms and reader.states[1].alarms == ()


@BOTH
def test_a_servo_that_lost_its_torque_is_seen_within_two_tenths(make: Any) -> None:
    link, bus, reader = make()
    where = 40 if make is feetech else 64
    for i in IDS:
        bus.write(i, where, b"\1", link.time + 0.1)
    reader.note_torque(dict.fromkeys(IDS, True))
    for _ in range(20):
        read(link, reader)
    assert reader.states[2].torque == 1
    link.wire.inject(BrownOut(id=2))
    for _ in range(20):
        read(link, reader)
    assert reader.states[2].torque == 0 and reader.states[1].torque == 1


class _Lying:
    """A bus whose replies pass every check of the line and are wrong, as one in 256 may be."""

    def __init__(self, bus: ServoBus) -> None:
        self.bus = bus
        self.lies: dict[int, bytes] = {}  # how many reads from now -> what stands at the position
        self.num_reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bus, name)

    def read(self, ids: tuple[int, ...], address: int, length: int, deadline: float) -> Replies:
        replies = self.bus.read(ids, address, length, deadline)
        lie = self.lies.pop(self.num_reads, None)
        self.num_reads += 1
        if lie is None:
            return replies
        at = 56 - address
        data = replies.values[2][:at] + lie + replies.values[2][at + 2 :]
        return Replies({**replies.values, 2: data}, replies.errors, replies.missing)


@pytest.mark.parametrize("first", [0, 7])  # the very first reading has none before it
def test_a_wrong_value_that_passed_the_checksum_is_not_delivered(first: int) -> None:
    link, bus, reader = feetech()
    lying = _Lying(bus)
    reader._bus = lying  # type: ignore[assignment]
    lying.lies[first] = (3000).to_bytes(2, "little")
    for _ in range(20):
        assert read(link, reader) == ()
        assert reader.states[2].position == 2048
    assert not lying.lies


def test_on_a_noisy_line_not_even_a_plausible_lie_is_delivered() -> None:
    link, bus, reader = feetech()
    for _ in range(3):
        read(link, reader)
    lying = _Lying(bus)
    reader._bus = lying  # type: ignore[assignment]
    lying.lies[0] = (2060).to_bytes(2, "little")  # a joint can be one degree further
    link.wire.inject(Noise(id=1))
    bus.read((1,), 56, 2, link.time + 0.01)
    link.wire.clear()
    assert bus.is_noisy()
    assert read(link, reader) == () and not lying.lies
    assert reader.states[2].position == 2048


def test_a_joint_that_really_leapt_is_believed_at_once() -> None:
    link, _, reader = feetech()
    read(link, reader)
    link.chain.servos[1].motor.shaft.position += 1.0  # a person let it snap
    link.pass_time(0.004)
    assert read(link, reader) == ()
    assert reader.states[2].position == 2048 + round(4096 / 6.283185307)


@BOTH
def test_nothing_wrong_is_delivered_on_a_line_where_all_goes_wrong(make: Any) -> None:
    # benchmarks/bus.py does this 10^5 times.
    link, _, reader = make()
    share = 0.04
    for fault in (Drop, Corrupt, Truncate, Noise, Late, Echo):
        link.wire.inject(fault(share=share))
    num_read = 0
    for cycle in range(400):
        link.chain.servos[cycle % 3].motor.shaft.position += 0.05
        missing = read(link, reader)
        for servo_id in set(IDS) - set(missing):
            num_read += 1
            table = reader._models[servo_id].table
            truths = {
                tuple(table[name].value(memory, 0) for name in ("present_position", "present_load"))
                for memory in link.truth[servo_id]
            }
            state = reader.states[servo_id]
            assert (state.position, state.load) in truths
    assert num_read > 400
