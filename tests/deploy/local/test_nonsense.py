"""Whatever a process on the same computer sends, it is refused in a sentence."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.deploy.local.peers import (
    descriptors,
    look,
    next_letter,
    pixels_of,
)

from demoloop.deploy import DeployError
from demoloop.deploy.channel import Letter
from demoloop.deploy.errors import WireError
from demoloop.deploy.local import LocalConnection, LocalListener
from demoloop.deploy.local_line import Line
from demoloop.deploy.ring import RingWriter
from demoloop.deploy.wire import Heartbeat, Message, encode


def sealed(size: int, seals: int = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW) -> int:
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.truncate(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def packet(stamp: int, sizes: list[int], inline: bytes = b"") -> bytes:
    return struct.pack(f"<QI{len(sizes)}I", stamp, len(sizes), *sizes) + inline


HEADER_AND_BODY = b"".join(bytes(part) for part in encode(look(1))[:2])
LONG = [36, len(HEADER_AND_BODY) - 36, 12288]
NONSENSE = {
    "no packet": (b"abc", None),
    "count": (struct.pack("<QI", 0, 2**32 - 1), None),
    "more parts than there are": (packet(0, [36] * 5), None),
    "sizes beyond the packet": (packet(0, [36, 100]), None),
    "no memory": (packet(2, LONG, HEADER_AND_BODY), None),
    "size beyond a slot": (packet(2, [*LONG[:2], 2**32 - 1], HEADER_AND_BODY), 8 << 20),
    "sizes that add up beyond a slot": (packet(2, [5 << 20] * 18), 8 << 20),
    "odd memory": (packet(2, LONG, HEADER_AND_BODY), 5000),
    "no memory at all": (packet(2, LONG, HEADER_AND_BODY), 0),
    "endless memory": (packet(2, LONG, HEADER_AND_BODY), 1 << 40),
    "endless packet": (b"\0" * 160_000, None),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_in_a_sentence_and_the_others_are_served(
    listener: LocalListener, raw: socket.socket, endpoint: str, name: str
) -> None:
    said, size = NONSENSE[name]
    memory = [] if size is None else [sealed(size)]
    socket.send_fds(raw, [said], memory)
    for descriptor in memory:
        os.close(descriptor)
    robot = LocalConnection(endpoint)
    robot.send(look(9))
    assert pixels_of(next_letter(listener)) == {9}
    refusal = raw.recv(1 << 16)
    assert b"bad_message" in refusal
    assert raw.recv(1 << 16) == b""
    robot.close()


def test_memory_that_could_be_resized_or_is_none_is_refused(
    listener: LocalListener, tmp_path: Path, endpoint: str
) -> None:
    file = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    os.truncate(file, 1 << 20)
    ends = os.pipe()
    half = sealed(1 << 20, fcntl.F_SEAL_GROW)
    full = sealed(1 << 20)
    for given in ([file], [ends[0]], [half], [full, full]):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
            peer.connect(endpoint.removeprefix("unix://"))
            before = descriptors()
            socket.send_fds(peer, [packet(2, LONG, HEADER_AND_BODY)], given)
            assert next_letter_at_once(listener) is None
            peer.settimeout(10.0)
            assert b"bad_message" in peer.recv(1 << 16)
            assert descriptors() == before
    for descriptor in (file, *ends, half, full):
        os.close(descriptor)


def next_letter_at_once(listener: LocalListener) -> Letter | None:
    for _ in range(3):  # the connection, then what it says
        listener.wait(0.05)
        letter = listener.receive()
        if letter is not None:
            return letter
    return None


def test_memory_that_its_owner_changes_and_forgets_stays_readable(
    listener: LocalListener, raw: socket.socket
) -> None:
    memory = sealed(2 * mmap.PAGESIZE * 4)
    with mmap.mmap(memory, 0) as view:
        view[:8] = struct.pack("<Q", 4)
        socket.send_fds(raw, [packet(4, LONG, HEADER_AND_BODY)], [memory])
        with pytest.raises(OSError, match="not permitted"):
            os.truncate(memory, 0)
    os.close(memory)
    assert pixels_of(next_letter(listener)) == {0}
    raw.send(packet(8, LONG, HEADER_AND_BODY))  # of a stamp that is not there
    raw.send(packet(4, LONG, HEADER_AND_BODY))
    assert pixels_of(next_letter(listener)) == {0}
    assert next_letter_at_once(listener) is None


def test_mutated_packets_are_refused_or_read(pair: tuple[Line, Line]) -> None:
    rng = np.random.default_rng(1)
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line = Line(there)
    memory = sealed(2 * mmap.PAGESIZE * 4)
    socket.send_fds(here, [packet(0, LONG, HEADER_AND_BODY)], [memory])
    whole = np.frombuffer(packet(0, LONG, HEADER_AND_BODY), np.uint8)
    num_read = num_refused = 0
    line.receive()
    for _ in range(3000):
        spoilt = whole.copy()
        at = rng.integers(0, 24, rng.integers(0, 4))
        spoilt[at] = rng.integers(0, 256, len(at))
        here.send(spoilt[: rng.integers(1, len(whole) + 1) if at.size else None].tobytes())
        try:
            num_read += line.receive() is not None
        except WireError:
            num_refused += 1
    assert num_read > 100
    assert num_refused > 100
    os.close(memory)
    here.close()
    line.close()


def test_who_connects_a_thousand_times_keeps_nobody_out(
    listener: LocalListener, endpoint: str
) -> None:
    robot = LocalConnection(endpoint)
    robot.send(look(1))
    assert pixels_of(next_letter(listener)) == {1}
    path = endpoint.removeprefix("unix://")
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            idle = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            idle.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                idle.connect(path)
            listener.wait(0.0)
            listener.receive()
        robot.send(look(2))
        assert pixels_of(next_letter(listener)) == {2}
        assert len(descriptors()) < 400
    robot.close()


def test_no_memory_is_one_sentence() -> None:
    limit = "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))"
    code = f"""
{limit}
from demoloop.deploy.ring import RingWriter
from demoloop.deploy import DeployError
try:
    RingWriter([4 << 20])
except DeployError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "no 8.4 MB of shared memory for the frames: File too large; free memory" in done.stdout


def test_frames_beyond_the_greatest_message_are_refused_before_any_memory_is_taken() -> None:
    with pytest.raises(DeployError, match="at most 64 go through shared memory; use smaller"):
        RingWriter([16 << 20] * 5)


def test_send_to_who_does_not_read_is_refused_and_never_waits(pair: tuple[Line, Line]) -> None:
    num_sent = 0
    while pair[0].send(Message(Heartbeat())):
        num_sent += 1
    assert 1 < num_sent < 10_000
    assert pair[1].receive() is not None
