"""Frames in shared memory arrive whole or not at all, and nothing is left of who is killed."""

from __future__ import annotations

import itertools
import mmap
import os
import signal
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
from tests.deploy.local.peers import (
    FRAME,
    Eventually,
    Fork,
    descriptors,
    end,
    look,
    next_letter,
    pixels_of,
)

from demoloop.deploy import DeployError
from demoloop.deploy.channel import Gone
from demoloop.deploy.local import LocalConnection, LocalListener
from demoloop.deploy.local_line import Line
from demoloop.deploy.ring import RingReader, RingWriter
from demoloop.deploy.wire import Frame, Heartbeat, Message, ObservationBody, decode

# What arrives


def test_frames_of_any_size_arrive_as_they_were(pair: tuple[Line, Line]) -> None:
    rng = np.random.default_rng(0)
    for height, width in [(1, 1), (9, 20), (52, 52), (53, 53), (224, 224), (480, 640), (64, 64)]:
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        values = rng.normal(size=7).astype(np.float32)
        frames = Frame("image.a", "u1", image.shape), Frame("values", "f4", (7,))
        sent = Message(
            ObservationBody(frames, {"a": 1.0}), 3, 4, arrays={"image.a": image, "values": values}
        )
        assert pair[0].send(sent)
        parts = pair[1].receive()
        assert parts is not None
        got = decode(parts)
        assert (got.body, got.session, got.seq) == (sent.body, 3, 4)
        np.testing.assert_array_equal(got.arrays["image.a"], image)
        np.testing.assert_array_equal(got.arrays["values"], values)


def test_a_message_received_stays_as_it_was_whatever_is_written_later(
    pair: tuple[Line, Line],
) -> None:
    pair[0].send(look(1))
    parts = pair[1].receive()
    assert parts is not None
    first = decode(parts).arrays[FRAME.name]
    for value in range(2, 10):
        pair[0].send(look(value))
    assert set(np.unique(first)) == {1}


def test_message_whose_frames_were_overwritten_does_not_arrive(pair: tuple[Line, Line]) -> None:
    for value in range(5):
        assert pair[0].send(look(value, seq=value + 1))
    arrived = [parts for _ in range(5) if (parts := pair[1].receive()) is not None]
    seen = [(decode(p).seq, set(np.unique(decode(p).arrays[FRAME.name]))) for p in arrived]
    assert seen == [(4, {3}), (5, {4})]


def test_slot_that_its_writer_did_not_finish_is_never_read() -> None:
    writer = RingWriter([100])
    reader = RingReader(writer.descriptor)
    stamp = writer.write([b"a" * 100])
    with mmap.mmap(writer.descriptor, 0) as memory:
        slot = memory.find(b"a" * 100) - 64
        memory[slot : slot + 8] = struct.pack("<Q", stamp + 3)  # the next write, killed in it
        assert reader.read(stamp, [100]) is None
        assert reader.read(stamp + 3, [100]) is None
        memory[slot : slot + 8] = struct.pack("<Q", stamp)
        assert reader.read(stamp, [100]) == [b"a" * 100]
    reader.close()
    writer.close()


def test_no_frame_is_torn_however_quick_its_writer(fork: Fork) -> None:
    """A process writes without asking while this one reads, and is killed while it does."""
    num_bytes = 240 * 320 * 3
    writer = RingWriter([num_bytes])
    reader = RingReader(writer.descriptor)

    def write_on() -> None:
        values = [bytes([value]) * num_bytes for value in range(256)]
        for count in itertools.count():  # a value per write, so that a mixture shows
            writer.write([values[count % 256]])

    child = fork(write_on)
    with mmap.mmap(writer.descriptor, 0, prot=mmap.PROT_READ) as memory:
        num_whole = num_lost = 0
        while num_whole < 300 or num_lost < 300:
            stamp = max(struct.unpack_from("<Q", memory, at)[0] for at in (0, len(memory) // 2))
            parts = reader.read(stamp, [num_bytes])
            if parts is None:
                num_lost += 1
            else:
                num_whole += 1
                assert parts[0] == bytes(parts[0][:1]) * num_bytes
    end(child)
    reader.close()
    writer.close()


def test_connection_of_a_writer_killed_in_mid_frame_ends_after_what_it_had_sent(fork: Fork) -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def write_on() -> None:
        here.close()
        writing = Line(there)
        for count in itertools.count():
            writing.send(look(count % 256))

    child = fork(write_on)
    there.close()
    line = Line(here)
    while line.receive() is None:
        pass
    end(child)
    with pytest.raises(Gone):
        while True:
            line.receive()
    line.close()


# Who comes and goes


def test_a_killed_robot_leaves_neither_descriptors_nor_a_connection(
    listener: LocalListener, endpoint: str, eventually: Eventually, fork: Fork
) -> None:
    before = descriptors()

    def send_and_stay() -> None:
        robot = LocalConnection(endpoint)
        robot.send(look(5))
        signal.pause()

    child = fork(send_and_stay)
    letter = next_letter(listener)
    assert pixels_of(letter) == {5}
    end(child)

    def is_tidy() -> bool:
        listener.wait(0.0)
        listener.receive()
        return descriptors() == before

    eventually(is_tidy)
    assert letter is not None
    with pytest.raises(Gone):
        listener.send(Message(Heartbeat()), letter.identity)


def test_robot_is_told_that_the_server_has_gone_and_finds_the_next_one(
    endpoint: str, eventually: Eventually
) -> None:
    first = LocalListener(endpoint)
    robot = LocalConnection(endpoint)
    assert robot.send(look(1))
    assert pixels_of(next_letter(first)) == {1}
    first.close()
    with pytest.raises(Gone):
        robot.receive()
    assert not robot.send(look(2))
    second = LocalListener(endpoint)
    eventually(lambda: robot.send(look(3)))
    assert pixels_of(next_letter(second)) == {3}
    robot.close()
    second.close()


def test_name_that_a_killed_server_left_is_taken_by_the_next(endpoint: str, fork: Fork) -> None:
    def listen_and_die() -> None:
        listening = LocalListener(endpoint)
        os.kill(os.getpid(), signal.SIGKILL)
        listening.close()

    end(fork(listen_and_die), 0)
    path = Path(endpoint.removeprefix("unix://"))
    assert path.is_socket()
    LocalListener(endpoint).close()
    assert list(path.parent.iterdir()) == []


def test_second_server_is_refused_and_the_first_keeps_its_robots(
    listener: LocalListener, endpoint: str
) -> None:
    with pytest.raises(DeployError, match=r"s\.sock is in use already; stop the server there"):
        LocalListener(endpoint)
    robot = LocalConnection(endpoint)
    robot.send(look(4))
    assert pixels_of(next_letter(listener)) == {4}
    robot.close()
