"""Messages that are nearly right, for `fuzz_wire.py`: every type, spoilt in every way."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

import numpy as np

from demoloop.deploy.chunks import ActionChunk
from demoloop.deploy.translate import chunk_message, observation_message
from demoloop.deploy.wire import (
    Body,
    Bye,
    Credit,
    Fault,
    Heartbeat,
    Hello,
    Message,
    Welcome,
    encode,
)
from demoloop.robot import CameraSpec, JointSpec, Observation, RobotSpec

# As the protocol says, on purpose not imported: the judge must not read with the reader's eyes.
HEADER = struct.Struct("<4sBBHIQQQ")  # magic, major, type, flags, session, seq, ack_seq, t_mono_ns
SPEC = RobotSpec(
    "tiny",
    (JointSpec("pan", -1.0, 1.0, 2.0, 10.0), JointSpec("gripper", 0.0, 1.0, 3.0, 20.0, "opening")),
    (CameraSpec("front", 4, 6),),
    50.0,
)
# Lengths and nestings beyond what is there, numbers that are none, and text that is no text.
BOMBS = (
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\x91" * 2000,
    b"\x81\xa1a" * 500,
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xa4\xff\xfe\xfd\xfc",
    b"\xc1",
)
FLOATS = struct.pack("<4f", float("nan"), float("inf"), -float("inf"), 1e30)


def look(time: float = 1.0) -> Observation:
    """What the robot sees."""
    pixels = np.full((4, 6, 3), 7, np.uint8)
    return Observation(time, np.full(4, 0.5, np.float32), {"front": pixels}, {"front": time})


def of_a_robot(session: int, seq: int) -> list[list[bytes]]:
    """One sound message of each type that a robot sends."""
    bodies: list[Body] = [Hello(SPEC, SPEC.fingerprint()), Heartbeat(), Bye()]
    messages = [Message(body, session, seq, time_ns=5) for body in bodies]
    return [_bytes(m) for m in (*messages, observation_message(look(), session, seq))]


def of_a_server(session: int, question: Message) -> list[list[bytes]]:
    """One sound message of each type that a server sends; the chunk answers `question`."""
    bodies: list[Body] = [
        Welcome("policy", SPEC.fingerprint(), 1),
        Heartbeat(5, question.seq),
        Credit(question.seq),
        Fault("bad_observation", "no"),
        Fault("spec_mismatch", "no"),
        Bye(),
    ]
    chunk = ActionChunk(np.full((6, 2), 0.5, np.float32), 1.0)
    answer = _bytes(chunk_message(chunk, 1.0, question, 1, question.seq + 3))
    messages = [_bytes(Message(body, session, 1, time_ns=5)) for body in bodies]
    return [*messages, answer, answer, answer, answer]


def spoilt(sound: Sequence[Sequence[bytes]], luck: random.Random) -> list[bytes]:
    """Returns a sound message with something wrong, or noise; now and then a sound one."""
    parts = [bytearray(part) for part in luck.choice(sound)]
    how = luck.random()
    if how < 0.45:
        _flip(parts, luck)
    elif how < 0.52:
        _field(parts[0], luck)
    elif how < 0.60:
        _float(parts[-1], luck)
    elif how < 0.68:
        _cut(parts, luck)
    elif how < 0.76:
        _shuffle(parts, luck)
    elif how < 0.84:
        parts[1][luck.randrange(len(parts[1]) + 1) :] = luck.choice(BOMBS)
    elif how < 0.90:
        parts[0][5] = luck.randrange(256)  # the type of another message
    elif how < 0.98:
        noise = [bytearray(luck.randbytes(luck.randint(0, 80))) for _ in range(luck.randint(0, 20))]
        parts = noise if how < 0.95 else [parts[0], *noise]
    return [bytes(part) for part in parts]


def _flip(parts: list[bytearray], luck: random.Random) -> None:
    for _ in range(luck.randint(1, 8)):
        part = luck.choice(parts)
        if part:
            part[luck.randrange(len(part))] ^= 1 << luck.randrange(8)


def _field(header: bytearray, luck: random.Random) -> None:
    start, size = luck.choice([(8, 4), (12, 8), (20, 8), (28, 8)])
    value = luck.choice(
        [0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), luck.getrandbits(8 * size)]
    )
    header[start : start + size] = value.to_bytes(size, "little")


def _float(part: bytearray, luck: random.Random) -> None:
    at = luck.randrange(len(part) // 4 + 1) * 4
    which = 4 * luck.randrange(4)
    part[at : at + 4] = FLOATS[which : which + 4]


def _cut(parts: list[bytearray], luck: random.Random) -> None:
    part = luck.choice(parts)
    if luck.random() < 0.5:
        del part[luck.randrange(len(part) + 1) :]
    else:
        part += luck.randbytes(luck.randint(1, 300))


def _shuffle(parts: list[bytearray], luck: random.Random) -> None:
    how = luck.randrange(3)
    if how == 0:
        del parts[luck.randrange(len(parts))]
    elif how == 1:
        parts.insert(luck.randrange(len(parts)), bytearray(luck.choice(parts)))
    else:
        luck.shuffle(parts)


def _bytes(message: Message) -> list[bytes]:
    return [bytes(part) for part in encode(message)]
