"""Shared memory between two processes of one user: whole frames or none, and nothing left over."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import logging
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from demoloop.deploy import DeployError
from demoloop.deploy.channel import Gone, Letter
from demoloop.deploy.errors import WireError
from demoloop.deploy.local import Line, LocalConnection, LocalListener
from demoloop.deploy.ring import RingReader, RingWriter
from demoloop.deploy.wire import Frame, Heartbeat, Message, ObservationBody, decode, encode

NOBODY = 65534
FRAME = Frame("image.front", "u1", (64, 64, 3))

Fork = Callable[[Callable[[], object]], int]
Eventually = Callable[[Callable[[], object]], None]


def look(value: int, seq: int = 1, frame: Frame = FRAME) -> Message:
    """An observation whose pixels all have one value."""
    pixels = np.full(frame.shape, value, np.uint8)
    body = ObservationBody((frame,), {"front": 0.0})
    return Message(body, session=1, seq=seq, arrays={frame.name: pixels})


def pixels_of(letter: Letter | None) -> set[int]:
    assert letter is not None
    return set(np.unique(decode(letter.parts).arrays[FRAME.name]).tolist())


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"unix://{tmp_path}/s.sock"


@pytest.fixture
def listener(endpoint: str) -> Iterator[LocalListener]:
    listening = LocalListener(endpoint)
    yield listening
    listening.close()


@pytest.fixture
def raw(listener: LocalListener) -> Iterator[socket.socket]:
    """A peer that sends what it likes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.connect(listener.endpoint.removeprefix("unix://"))
        peer.settimeout(10.0)
        yield peer


@pytest.fixture
def pair() -> Iterator[tuple[Line, Line]]:
    lines = [Line(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)]
    yield lines[0], lines[1]
    for line in lines:
        line.close()


@pytest.fixture
def fork() -> Iterator[Callable[[Callable[[], object]], int]]:
    """Runs a function in a child process that is killed at the latest with the test."""
    children: list[int] = []

    def start(run: Callable[[], object]) -> int:
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if run() else 1)
            finally:
                os._exit(2)  # never back into the tests
        children.append(child)
        return child

    yield start
    for child in children:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            end(child)


def end(child: int, number: int = signal.SIGKILL) -> int:
    """Kills a child, unless `number` is 0, and returns its exit code."""
    os.kill(child, number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def next_letter(listener: LocalListener) -> Letter | None:
    """What comes within a second, None when nothing does."""
    for _ in range(10):
        listener.wait(0.1)
        letter = listener.receive()
        if letter is not None:
            return letter
    return None


def descriptors() -> set[str]:
    return {
        target
        for name in os.listdir("/proc/self/fd")
        if (target := _target(name)).startswith(("socket", "/memfd"))
    }


def _target(name: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{name}")
    return ""


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
    """A process writes without asking, into two slots, and is killed while it does."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    frame = Frame("image.front", "u1", (240, 320, 3))

    def write_on() -> None:
        here.close()
        writing = Line(there)
        for count in itertools.count():  # a value per write, so that a mixture shows
            writing.send(look(count % 256, frame=frame))

    child = fork(write_on)
    there.close()
    line, num_whole = Line(here), 0
    while num_whole < 100:
        parts = line.receive()
        if parts is not None:
            assert len(np.unique(decode(parts).arrays[frame.name])) == 1
            num_whole += 1
    end(child)
    with pytest.raises(Gone):
        while True:  # what it had sent, and then the end
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


# Who is let in


def test_socket_and_its_folder_are_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "s.sock"
    listening = LocalListener(f"unix://{path}")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    listening.close()


def test_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(DeployError, match=r"open to other users \(mode 0755, .* chmod 700 it"):
        LocalListener(f"unix://{tmp_path}/s.sock")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_process_of_another_user_is_turned_away(
    listener: LocalListener, tmp_path: Path, caplog: pytest.LogCaptureFixture, fork: Fork
) -> None:
    # The locks on the door are taken off, so that only the question who it is remains.
    (tmp_path / "s.sock").chmod(0o666)
    tmp_path.chmod(0o711)

    def come_as_nobody() -> bool:
        os.chdir(tmp_path)
        os.setuid(NOBODY)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as foreign:
            foreign.connect("s.sock")
            return foreign.recv(100) == b""

    child = fork(come_as_nobody)
    with caplog.at_level(logging.WARNING):
        assert next_letter(listener) is None
    assert end(child, 0) == 0
    assert "user 65534" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_robot_sends_nothing_to_another_users_server(
    tmp_path: Path, endpoint: str, fork: Fork
) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    ready, tell = os.pipe()

    def listen_as_nobody() -> bool:
        os.chdir(tmp_path)
        os.setuid(NOBODY)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as foreign:
            foreign.bind("s.sock")
            foreign.listen()
            os.write(tell, b"!")
            connected, _ = foreign.accept()
            return connected.recv(100) == b""

    child = fork(listen_as_nobody)
    assert os.read(ready, 1) == b"!"
    with pytest.raises(DeployError, match="run by user 65534 and the robot by user 0; run both"):
        LocalConnection(endpoint).send(look(1))
    assert end(child, 0) == 0
    os.close(ready)
    os.close(tell)


@pytest.mark.parametrize(
    "endpoint", ["unix://", "unix://s.sock", "unix:///", "unix:///a/", "unix:///a\0b"]
)
def test_what_is_no_path_is_answered_with_one(endpoint: str) -> None:
    with pytest.raises(DeployError, match=r"write it like unix:///run/user/\d+/demoloop\.sock"):
        LocalConnection(endpoint)
    with pytest.raises(DeployError, match=r"write it like unix:///run/user/\d+/demoloop\.sock"):
        LocalListener(endpoint)


def test_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(DeployError, match="a file is there; choose another --bind"):
        LocalListener(f"unix://{tmp_path}/notes")
    assert (tmp_path / "notes").read_text() == "mine"


# What is not trusted


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
        here.send(spoilt[: rng.integers(1, len(whole) + 1)].tobytes() if at.size else spoilt)
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
