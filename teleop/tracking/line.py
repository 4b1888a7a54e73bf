"""What goes between the tracker's process and the one that asks it: whole messages on pipes."""

from __future__ import annotations

import struct
from typing import IO

import msgspec

from demoloop.teleop.hand_state import HandState

PICTURE = struct.Struct("<IQd")  # bytes of the JPEG, number, time [s, monotonic]
LENGTH = struct.Struct("<I")
MAX_PICTURE_BYTES = 4_000_000  # a JPEG of 1920x1080 has 0.5 MB
MAX_PIXELS = 1 << 23  # 3840x2160 and a little: a small JPEG may unfold to gigabytes


class Trouble(msgspec.Struct, frozen=True, tag="trouble"):
    """What is wrong with camera, picture or tracker, in a sentence; empty: it is over."""

    sentence: str
    is_last: bool = False  # nothing comes after it


Answer = HandState | Trouble
_DECODER = msgspec.msgpack.Decoder(Answer)
_ENCODER = msgspec.msgpack.Encoder()


def write_answer(stream: IO[bytes], answer: Answer) -> None:
    """Sends one answer."""
    data = _ENCODER.encode(answer)
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def read_answer(stream: IO[bytes]) -> Answer | None:
    """Returns the next answer; None at the end. Raises msgspec's errors on anything else."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    data = stream.read(length)
    return _DECODER.decode(data) if len(data) == length else None


def write_picture(stream: IO[bytes], jpeg: bytes, number: int, time: float) -> None:
    """Hands a picture over."""
    stream.write(PICTURE.pack(len(jpeg), number, time) + jpeg)
    stream.flush()


def read_picture(stream: IO[bytes]) -> tuple[bytes, int, float] | None:
    """Returns the next picture with its number and time; None at the end."""
    head = stream.read(PICTURE.size)
    if len(head) < PICTURE.size:
        return None
    length, number, time = PICTURE.unpack(head)
    jpeg = stream.read(length)
    return (jpeg, number, time) if len(jpeg) == length else None
