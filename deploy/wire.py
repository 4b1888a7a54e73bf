"""The messages between a robot and a policy server, and nothing about sockets.

Those between a robot and a computer that drives it have the same form (`robot_wire`).

A message is a list of parts: a fixed header, a msgpack body of a known type, and one raw frame
for each array the body lists. Little-endian throughout. Bytes from outside become values only
here, and whatever they are, `decode` returns a sound message or raises WireError.

A later minor version may add fields with defaults (unknown ones are ignored), flags that are safe
to ignore, codes of faults, and what both sides agreed on in Hello and Welcome: codecs, frames,
message types. Another major version is another protocol and is refused.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from demoloop.deploy.errors import WireError
from demoloop.robot import RobotSpec
from demoloop.robot.marked import MAX_MARKS

MAGIC, MAJOR, MINOR = b"DMLP", 1, 0
MAX_BODY_BYTES = 64 << 10
MAX_FRAMES = 16
MAX_FRAME_BYTES = 16 << 20  # also what sockets accept for one part: 4 MP of RGB fit

# magic, major, type, flags (none yet, ignored), session, seq, ack_seq, t_mono_ns
_HEADER = struct.Struct("<4sBBHIQQQ")

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Sentence = Annotated[str, Meta(max_length=1000)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, Meta(ge=-1e12, le=1e12)]  # a bound also keeps NaN out
Array: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]
Part: TypeAlias = bytes | memoryview


class Frame(msgspec.Struct, frozen=True):
    """How one raw part is to be read."""

    name: Name
    dtype: Literal["u1", "f4"]
    shape: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=8192)], ...], Meta(min_length=1, max_length=3)
    ]
    codec: Literal["raw"] = "raw"


Frames = Annotated[tuple[Frame, ...], Meta(max_length=MAX_FRAMES)]


class MarksBody(msgspec.Struct, frozen=True):
    """What there is to point at, in whose picture."""

    names: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=MAX_MARKS)]
    camera: Name


class Hello(msgspec.Struct, frozen=True):
    """Robot to server: what I am. Asks for a new session.

    The header's t_mono_ns names the greeting: one that comes twice begins no second session.
    """

    spec: RobotSpec
    fingerprint: Name
    minor: Count = MINOR


class Welcome(msgspec.Struct, frozen=True):
    """Server to robot: the policy fits you; the header holds your session.

    The header's t_mono_ns is that of the Hello it answers, so that a welcome that comes late or
    twice begins nothing anew.
    """

    policy: Sentence
    fingerprint: Name
    up_to: Count  # observations with a seq up to this one may be sent
    minor: Count = MINOR
    marks: MarksBody | None = None  # what a person must point at; only then marks are sent


class ObservationBody(msgspec.Struct, frozen=True):
    """Robot to server: one look. Frames are `proprioception` and `image.<camera>`.

    Where the server welcomed with marks there is also `goal`, (num_marks, 2) from 0 to 1.
    The header's t_mono_ns is the observation's time on the robot's clock.
    """

    frames: Frames
    image_times: Annotated[dict[Name, Seconds], Meta(max_length=MAX_FRAMES)]


class ChunkBody(msgspec.Struct, frozen=True):
    """Server to robot: the answer to observation `ack_seq`; t_mono_ns is that observation's."""

    frames: Frames
    inference_ms: Annotated[float, Meta(ge=0, le=1e9)]
    up_to: Count = 0  # as in Welcome, so that no Credit need follow


class Heartbeat(msgspec.Struct, frozen=True):
    """Both ways. A robot's seq is the last observation it sent."""

    progress: Count = 0  # turns of the server's inference loop: one that stands still hangs
    up_to: Count = 0  # as in Welcome, repeated in case a Credit was lost
    still_ms: Annotated[float, Meta(ge=0, le=1e9)] = 0.0  # since `progress` last moved


class Credit(msgspec.Struct, frozen=True):
    """Server to robot. A limit and not an increment, so a repeated one does no harm."""

    up_to: Count


FaultCode = Literal[
    "bad_message",
    "spec_mismatch",
    "unknown_session",
    "busy",
    "bad_observation",
    "not_trusted",
    "unreachable",  # from a relay: the server cannot be reached, and why
]


class Fault(msgspec.Struct, frozen=True):
    """Server to robot: what was wrong, in one sentence; never a traceback.

    The header's session is the one the robot named, so that a fault that comes late is not taken
    for one of the present session.
    """

    code: Name  # a FaultCode, or one that a later version has
    text: Sentence


class Bye(msgspec.Struct, frozen=True):
    """Both ways: the session is over."""


Body: TypeAlias = Hello | Welcome | ObservationBody | ChunkBody | Heartbeat | Credit | Fault | Bye

_DTYPES: Mapping[np.dtype[Any], Literal["u1", "f4"]] = {
    np.dtype(np.uint8): "u1",
    np.dtype(np.float32): "f4",
}


@dataclass(frozen=True)
class Message:
    """One message, checked."""

    body: msgspec.Struct  # one that the line's vocabulary knows
    session: int = 0  # u32, drawn by the server for each Hello; 0 before there is one
    seq: int = 0  # u64, counts a session's observations (robot) or chunks (server) from 1
    ack_seq: int = 0  # u64
    time_ns: int = 0  # u64
    arrays: Mapping[str, Array] = field(default_factory=dict)


def frames_of(arrays: Mapping[str, Array]) -> tuple[Frame, ...]:
    """Returns how `arrays` are described in a body."""
    return tuple(Frame(name, _DTYPES[array.dtype], array.shape) for name, array in arrays.items())


class Vocabulary:
    """The bodies that are known on one line; what belongs to another is no message there.

    Args:
        bodies: In the order of the type byte, which counts from 1.
    """

    def __init__(self, *bodies: type[msgspec.Struct]) -> None:
        self._bodies = bodies
        self._decoders = tuple(msgspec.msgpack.Decoder(body) for body in bodies)

    def encode(self, message: Message) -> list[Part]:
        """Returns the parts of a message; arrays are not copied when they are contiguous."""
        kind = self._bodies.index(type(message.body)) + 1
        header = _HEADER.pack(
            *(MAGIC, MAJOR, kind, 0, message.session),
            *(message.seq, message.ack_seq, message.time_ns),
        )
        frames = [
            np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data.cast("B")
            for array in message.arrays.values()
        ]
        return [header, msgspec.msgpack.encode(message.body), *frames]

    def decode(self, parts: Sequence[Part]) -> Message:
        """Returns the message; raises WireError, and nothing else, for anything that is none."""
        if not 2 <= len(parts) <= 2 + MAX_FRAMES or len(parts[0]) != _HEADER.size:
            raise WireError(
                f"not a demoloop message: {len(parts)} parts of which the first has no header of "
                f"{_HEADER.size} bytes"
            )
        magic, major, kind, _, session, seq, ack_seq, time_ns = _HEADER.unpack(parts[0])
        if magic != MAGIC:
            raise WireError(f"not a demoloop message: it starts with {magic!r}, not {MAGIC!r}")
        if major != MAJOR:
            raise WireError(
                f"the other side speaks version {major} of the protocol, this is {MAJOR}; "
                "install the same demoloop on both sides"
            )
        if not 1 <= kind <= len(self._bodies):
            raise WireError(f"unknown message type {kind}")
        if len(parts[1]) > MAX_BODY_BYTES:
            raise WireError(f"a message body of {len(parts[1])} bytes, at most {MAX_BODY_BYTES}")
        try:
            body = self._decoders[kind - 1].decode(parts[1])
        except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError) as error:
            name = self._bodies[kind - 1].__name__
            raise WireError(f"a {name} that cannot be read: {error}") from error
        spec = getattr(body, "spec", None)
        if isinstance(spec, RobotSpec):
            _check_spec(spec)
        frames: tuple[Frame, ...] = getattr(body, "frames", ())
        return Message(body, session, seq, ack_seq, time_ns, _arrays(frames, parts[2:]))


def _arrays(frames: tuple[Frame, ...], parts: Sequence[Part]) -> dict[str, Array]:
    if len(frames) != len(parts):
        raise WireError(f"the message lists {len(frames)} frames and has {len(parts)}")
    arrays: dict[str, Array] = {}
    for frame, part in zip(frames, parts, strict=True):
        dtype = np.dtype("<" + frame.dtype)
        num_bytes = math.prod(frame.shape) * dtype.itemsize
        if num_bytes != len(part) or num_bytes > MAX_FRAME_BYTES or frame.name in arrays:
            raise WireError(
                f"frame {frame.name!r} of shape {frame.shape} must come once with {num_bytes} "
                f"bytes, at most {MAX_FRAME_BYTES}; got {len(part)}"
            )
        array = np.frombuffer(part, dtype).reshape(frame.shape)
        if frame.dtype == "f4" and not np.isfinite(array).all():
            raise WireError(f"frame {frame.name!r} holds numbers that are not finite")
        arrays[frame.name] = array
    return arrays


def _check_spec(spec: RobotSpec) -> None:
    numbers = [spec.control_hz]
    for joint in spec.joints:
        numbers += [joint.low, joint.high, joint.max_velocity, joint.max_acceleration]
    if not all(map(math.isfinite, numbers)):
        raise WireError("the robot's spec holds numbers that are not finite")


_POLICY_LINE = Vocabulary(
    *(Hello, Welcome, ObservationBody, ChunkBody, Heartbeat, Credit, Fault, Bye),
)
encode, decode = _POLICY_LINE.encode, _POLICY_LINE.decode
