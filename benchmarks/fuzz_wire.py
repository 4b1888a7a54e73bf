"""A million spoilt messages: `python benchmarks/fuzz_wire.py [options]`.

- server: a real server takes them from its channel, as ZeroMQ hands parts over;
- client: a real client does, in a session and with a question outstanding;
- packets: a real server's and a real client's ends of a Unix socket take packets whose stamps,
  counts, sizes and shared memory are spoilt too.

Bars: no crash, no command, less than 20 MB more memory. A **command** is a chunk that the client
lets through though its message named another session, answered no outstanding question or not at
that question's time, or held a number that is not finite or is outside a joint's range; the judge
reads the bytes itself. A flipped bit within an otherwise sound chunk can pass: proof against that
is CURVE's, not a parser's. Such chunks are counted as `let through`.
"""

from __future__ import annotations

import array
import logging
import os
import random
import socket
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from fuzz_messages import HEADER, SPEC, look, of_a_robot, of_a_server, spoilt

from demoloop.deploy.channel import Gone, Letter
from demoloop.deploy.chunks import ActionChunk
from demoloop.deploy.client import Arrival, RemotePolicy
from demoloop.deploy.errors import DeployError, WireError
from demoloop.deploy.inference import answer
from demoloop.deploy.local import LocalConnection, LocalListener
from demoloop.deploy.ring import RingWriter
from demoloop.deploy.server import PolicyServer
from demoloop.deploy.wire import Hello, Message, Part, Welcome, decode, encode
from demoloop.robot import Observation, RobotSpec

MEMORY_BAR_MB = 20.0
_RING_BYTES = 8 << 10


@dataclass(frozen=True)
class Options:
    """Send spoilt messages to a server, a client, and through a Unix socket."""

    messages: int = 1_000_000
    """In all: two fifths to a server and a client each, the rest as packets."""
    seed: int = 0
    """Of what is spoilt."""


class _Still:
    """A policy that asks the joints to stay."""

    spec: RobotSpec = SPEC

    def predict(self, observation: Observation) -> ActionChunk:
        return ActionChunk(np.tile(observation.proprioception[:2].clip(0, 1), (6, 1)), 0.0)


class _Channel:
    """A channel without a network, either end; what is sent through it is kept while it is news."""

    endpoint = "unix:///fuzz"

    def __init__(self) -> None:
        self.arrived: list[Sequence[Part]] = []
        self.sent: list[Message] = []

    def is_hopeless(self) -> bool:
        return False

    def why_not(self) -> str:
        return ""

    def settle(self) -> None:
        pass

    def allows(self, user_id: str) -> bool:
        return True

    def send(self, message: Message, to: bytes = b"") -> bool:
        encode(message)
        self.sent.append(message)
        return True

    def send_parts(self, parts: Sequence[Part], to: bytes = b"") -> bool:
        return self.send(decode(parts), to)

    def wait(self, seconds: float) -> None:
        pass

    def dismiss(self, identity: bytes) -> None:
        pass

    def descriptors(self) -> tuple[int, ...]:
        return ()

    def close(self) -> None:
        pass


class _ServerChannel(_Channel):
    """A server's end."""

    def receive(self) -> Letter | None:
        return Letter(b"robot", "", self.arrived.pop()) if self.arrived else None


class _ClientChannel(_Channel):
    """A robot's end; each greeting is welcomed."""

    def receive(self) -> Sequence[Part] | None:
        if self.sent and isinstance(self.sent[-1].body, Hello):
            body = Welcome("policy", SPEC.fingerprint(), 1)
            return encode(Message(body, 7, time_ns=self.sent.pop().time_ns))
        return self.arrived.pop() if self.arrived else None


def fuzz_server(count: int, luck: random.Random) -> Counter[str]:
    """Lets a server take spoilt messages of a robot it knows."""
    tally: Counter[str] = Counter()
    channel, now = _ServerChannel(), 0.0
    server = PolicyServer(_Still(), channel.endpoint, listen=lambda *_: channel, clock=lambda: now)
    session, seq = 0, 1
    with server:
        for number in range(count):
            now += 0.001
            if number % 50 == 0 and server.num_robots == 0:  # it said goodbye, spoilt or not
                greeting = Message(Hello(SPEC, SPEC.fingerprint()), time_ns=number + 1)
                channel.arrived.append(encode(greeting))
                server.turn(None)
            for message in channel.sent:
                if isinstance(message.body, Welcome):
                    session, seq = message.session, 1
                seq = max(seq, getattr(message.body, "up_to", 0))
                tally["answers"] += type(message.body).__name__ == "ChunkBody"
            channel.sent.clear()
            channel.arrived.append(spoilt(of_a_robot(session, seq), luck))
            question = server.turn(None)
            if question is not None:
                server.turn(answer(_Still(), question))
    return tally


def is_command(parts: Sequence[bytes], session: int, asked: dict[int, int]) -> bool:
    """Says whether a chunk in these bytes must not have been let through."""
    _, _, _, _, theirs, _, ack_seq, time_ns = HEADER.unpack(parts[0])
    if theirs != session or asked.get(ack_seq) != time_ns:
        return True
    actions = np.frombuffer(parts[-1], "<f4").reshape(-1, SPEC.action_dim)
    slack = 1e-3
    is_sound = np.isfinite(actions).all() and (actions >= SPEC.low - slack).all()
    return not (is_sound and (actions <= SPEC.high + slack).all())


def fuzz_client(count: int, luck: random.Random) -> Counter[str]:
    """Lets a client take spoilt messages while a question of its is outstanding."""
    tally: Counter[str] = Counter()
    now, asked_at = 100.0, 1.0
    channel = _ClientChannel()
    policy = RemotePolicy(
        channel.endpoint, SPEC, dial=lambda *_: channel, clock=lambda: now, timeout_s=1e9
    )
    policy.connect()
    asked: dict[int, int] = {}  # seq -> time in the header
    question = Message(Hello(SPEC, SPEC.fingerprint()))
    for _ in range(count):
        now += 0.001
        if policy.session == 0:
            now += 1.0
            policy.collect()  # says Hello,
            policy.collect()  # and is welcomed
            asked.clear()
        asked_at += 0.02
        if policy.credit and policy.send(look(asked_at)):
            question = channel.sent[-1]
            asked = {question.seq: question.time_ns}
        channel.sent.clear()
        parts = spoilt(of_a_server(policy.session, question), luck)
        session = policy.session
        channel.arrived.append(parts)
        try:
            arrivals: list[Arrival] = policy.collect()
        except DeployError:
            tally["refused by the server's word"] += 1
            continue
        for arrival in arrivals:
            tally["let through"] += 1
            actions = arrival.chunk.actions
            is_out = not ((actions >= SPEC.low) & (actions <= SPEC.high)).all()  # also nan
            tally["COMMANDS"] += is_out or is_command(parts, session, asked)
    return tally


def packet(parts: Sequence[bytes], ring: RingWriter, luck: random.Random) -> list[bytes]:
    """Returns a message as a packet, mostly with something wrong in its head."""
    long = [part for part in parts if len(part) >= _RING_BYTES]
    stamp = ring.write(long) if long and ring.has_room([len(p) for p in long]) else 0
    sizes, count = [len(part) for part in parts], len(parts)
    how = luck.random()
    if how < 0.15:
        stamp = luck.choice([0, 1, stamp + 1, stamp - 2, luck.getrandbits(64)]) % (1 << 64)
    elif how < 0.3 and sizes:
        sizes[luck.randrange(count)] = luck.choice([0, 1, _RING_BYTES, 1 << 20, (1 << 32) - 1])
    elif how < 0.4:
        count = luck.choice([0, 1, 18, 19, 255, (1 << 32) - 1])
    head = struct.pack(f"<QI{len(sizes)}I", stamp, count, *sizes)
    if how > 0.95:
        head = head[: luck.randrange(len(head))]
    return [head, *(part for part in parts if len(part) < _RING_BYTES)]


class _Rings:
    """Shared memory to send along: sound, unsealed, or no memory at all."""

    def __init__(self) -> None:
        self.sound = RingWriter([20_000, 20_000])
        self.unsealed = os.memfd_create("unsealed")
        os.ftruncate(self.unsealed, 1 << 16)
        self.none = os.open("/dev/null", os.O_RDONLY)

    def rights(self, luck: random.Random) -> list[tuple[int, int, array.array[int]]]:
        how = luck.random()
        if how < 0.7:
            return []
        which = self.sound.descriptor if how < 0.9 else self.unsealed if how < 0.95 else self.none
        copies = array.array("i", [which] * (3 if how > 0.98 else 1))
        return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, copies)]


def fuzz_packets(count: int, luck: random.Random) -> Counter[str]:
    """Lets both ends of a Unix socket take spoilt packets; what they let through is decoded."""
    tally: Counter[str] = Counter()
    rings = _Rings()
    question = Message(Hello(SPEC, SPEC.fingerprint()), seq=1, time_ns=5)
    sound = [*of_a_robot(7, 1), *of_a_server(7, question)]
    sound.append([sound[3][0], sound[3][1], bytes(20_000), bytes(9_000)])
    with tempfile.TemporaryDirectory() as folder:
        listener = LocalListener(f"unix://{folder}/server.sock")
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        raw.bind(f"{folder}/client.sock")
        raw.listen(8)
        raw.setblocking(False)
        robot = LocalConnection(f"unix://{folder}/client.sock")
        to_server: socket.socket | None = None
        to_robot: socket.socket | None = None
        for number in range(count):
            spoil = spoilt(sound, luck)
            if number % 2:
                if to_server is None:
                    to_server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                    to_server.connect(f"{folder}/server.sock")
                    listener.wait(0.0)
                    listener.receive()
                to_server = _send(to_server, packet(spoil, rings.sound, luck), rings, luck)
                listener.wait(0.0)
                letter = listener.receive()
                _decode(None if letter is None else letter.parts, tally)
            else:
                if to_robot is None:
                    robot.close()
                    robot = LocalConnection(f"unix://{folder}/client.sock")
                    robot.send(Message(Hello(SPEC, SPEC.fingerprint())))
                    to_robot = raw.accept()[0]
                to_robot = _send(to_robot, packet(spoil, rings.sound, luck), rings, luck)
                try:
                    _decode(robot.receive(), tally)
                except (Gone, WireError):
                    tally["ended"] += 1
        listener.close()
        robot.close()
        raw.close()
    return tally


def _send(
    peer: socket.socket | None, parts: list[bytes], rings: _Rings, luck: random.Random
) -> socket.socket | None:
    assert peer is not None
    peer.setblocking(False)
    try:
        peer.sendmsg(parts, rings.rights(luck))
        while peer.recv(1 << 18):
            pass
    except BlockingIOError:
        return peer
    except OSError:
        pass
    peer.close()
    return None


def _decode(parts: Sequence[Part] | None, tally: Counter[str]) -> None:
    if parts is None:
        return
    tally["packets let through"] += 1
    try:
        decode(parts)
    except WireError:
        tally["of these no messages"] += 1


def resident_mb() -> float:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


PARTS: dict[str, Callable[[int, random.Random], Counter[str]]] = {
    "server": fuzz_server,
    "client": fuzz_client,
    "packets": fuzz_packets,
}


def main(options: Options) -> int:
    """Runs; exit code 1 on a command or too much memory. A crash is a traceback."""
    logging.disable()  # each packet that is refused is a line
    is_well = True
    shares = {"server": 0.4, "client": 0.4, "packets": 0.2}
    for name, fuzz in PARTS.items():
        count = round(options.messages * shares[name])
        fuzz(max(100, count // 50), random.Random(options.seed + 1))  # what is loaded only once
        before, start = resident_mb(), time.perf_counter()
        tally = fuzz(count, random.Random(options.seed))
        seconds, grown = time.perf_counter() - start, resident_mb() - before
        is_well = is_well and not tally["COMMANDS"] and grown < MEMORY_BAR_MB
        print(
            f"{name:8s} {count} messages, 0 crashes, {tally.pop('COMMANDS', 0)} commands, "
            f"{grown:+.1f} MB, {seconds / count * 1e6:.0f} us each; {dict(tally)}",
            flush=True,
        )
    print(f"bars: 0 crashes, 0 commands, < {MEMORY_BAR_MB:g} MB: " + ["MISSED", "reached"][is_well])
    return 0 if is_well else 1


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options, description=__doc__)))
