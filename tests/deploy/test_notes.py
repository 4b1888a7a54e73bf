"""Laws of notes and of the line they travel: bounded, never waiting, nothing trusted."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest

from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.errors import WireError
from demoloop.deploy.note_line import NoteLine
from demoloop.deploy.notes import (
    MARK,
    MAX_NOTE_BYTES,
    Event,
    FromGuard,
    FromIo,
    Note,
    Order,
    Over,
    Pulse,
    Reader,
    Ready,
    Refused,
    Reply,
    Say,
    Setup,
    pack,
)
from demoloop.deploy.vitals import Vitals
from demoloop.robot import RobotSpec

Pair = tuple[NoteLine[FromIo], NoteLine[FromGuard]]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The guard's end and the io process's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    guard: NoteLine[FromIo] = NoteLine(ours, Reader(FromIo))
    io: NoteLine[FromGuard] = NoteLine(theirs, Reader(FromGuard))
    yield guard, io
    guard.close()
    io.close()


@pytest.fixture
def notes(spec: RobotSpec) -> list[Note]:
    vitals = Vitals(RemotePolicy("tcp://127.0.0.1:5555", spec), 100.0, num_episodes=3)
    vitals.lateness.add(0.003)
    return [
        vitals.status("hold", "ann"),
        Order(1, "set", "ann", "replan_every", 4.0),
        Reply(1, False, "why not", "stopped", "running", "stopped by ann"),
        Setup("unix:///tmp/a.sock", "/tmp/x"),
        Pulse("ann", True),
        Ready("unix:///tmp/a.sock", ("one", "two")),
        Refused("the port is taken"),
        Say("a line", True),
        Event(
            1.5, 2.5, "transition", 7, {"to": "running", "number": 3, "share": 0.5, "none": None}
        ),
        Over(),
    ]


def test_every_note_survives_its_line(notes: list[Note]) -> None:
    reader: Reader[Note] = Reader(Note)
    assert [reader.read(pack(note)) for note in notes] == notes
    assert max(len(pack(note)) for note in notes) < MAX_NOTE_BYTES


def test_whatever_comes_is_a_note_or_a_wire_error(notes: list[Note]) -> None:
    reader: Reader[Note] = Reader(Note)
    rng = random.Random(0)
    num_refused = 0
    for _ in range(20_000):
        data = bytearray(pack(rng.choice(notes)))
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(data))
            if rng.random() < 0.5:
                data[place] = rng.randrange(256)
            else:
                del data[place : place + rng.randint(1, 9)]
                data = data or bytearray(b"x")
        try:
            reader.read(bytes(data))
        except WireError:
            num_refused += 1
    assert num_refused > 10_000


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e13])
def test_number_that_is_none_is_no_order(value: float) -> None:
    reader: Reader[Order] = Reader(Order)
    with pytest.raises(WireError, match="cannot be read"):
        reader.read(pack(Order(1, "set", "ann", "replan_every", value)))


def test_note_that_the_other_side_may_not_send_is_not_obeyed(pair: Pair) -> None:
    guard, io = pair
    io.send(Over())  # only the guard says that
    io.send(Pulse())
    assert guard.receive() == [Pulse()]
    assert guard.num_garbled == 1


def test_guard_never_waits_for_a_side_that_does_not_read(pair: Pair) -> None:
    """Every send returns; what was first stays first, and the rest is counted."""
    guard, io = pair
    num_notes = 20_000
    for count in range(num_notes):
        guard.send(Say(f"{count}"))
    assert not guard.offer(Over())
    said = []
    while batch := io.receive():
        said += [note.text for note in batch if isinstance(note, Say)]
        guard.flush()
    assert said == [str(count) for count in range(len(said))]
    assert len(said) + guard.num_lost == num_notes


def test_what_was_said_before_the_end_is_heard_though_nobody_read_our_notes(pair: Pair) -> None:
    guard, io = pair
    io.send(Pulse())  # unread, which makes the kernel speak of a reset
    guard.send(Say("last words"))
    guard.close()
    heard: list[object] = []
    while not io.is_gone:
        heard += io.receive()
    assert heard == [Say("last words")]


def test_end_of_a_process_is_heard_and_sending_to_it_does_no_harm(pair: Pair) -> None:
    guard, io = pair
    io.close()
    guard.send(Say("is anybody there"))
    guard.receive()
    assert guard.is_gone
    guard.send(Say("no"))


def test_reader_bounds_size_and_mark() -> None:
    reader: Reader[Say] = Reader(Say)
    with pytest.raises(WireError, match="at most"):
        reader.read(MARK + b"x" * MAX_NOTE_BYTES)
    with pytest.raises(WireError, match="does not start with"):
        reader.read(b"GET / HTTP/1.1")
