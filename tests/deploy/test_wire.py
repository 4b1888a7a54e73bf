"""What crosses the wire arrives as it left, and nothing else becomes a message."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from demoloop.deploy import ActionChunk, WireError
from demoloop.deploy.translate import chunk_message, chunk_of, observation_message, observation_of
from demoloop.deploy.wire import (
    MAX_BODY_BYTES,
    Bye,
    Credit,
    Fault,
    Heartbeat,
    Hello,
    Message,
    ObservationBody,
    Part,
    Welcome,
    decode,
    encode,
    frames_of,
)
from demoloop.robot import Observation, RobotSpec


@pytest.fixture
def messages(spec: RobotSpec, observe: Callable[..., Observation]) -> list[Message]:
    """One of each type."""
    question = observation_message(observe(time=12.25), session=7, seq=3)
    chunk = ActionChunk(np.full((6, 3), 0.5, np.float32), 12.25)
    return [
        Message(Hello(spec, spec.fingerprint())),
        Message(Welcome("policy.onnx", spec.fingerprint(), 1), session=2**32 - 1),
        question,
        chunk_message(chunk, 1.5, question, seq=2),
        Message(Heartbeat(progress=2**40, up_to=3), 7, 2**64 - 1, 2**64 - 1, 2**64 - 1),
        Message(Credit(4), 7),
        Message(Fault("spec_mismatch", "joint lift: high 1.5, the robot has 1.4"), 7),
        Message(Bye(), 7),
    ]


def wired(message: Message) -> list[bytes]:
    """The parts as a socket hands them over."""
    return [bytes(part) for part in encode(message)]


@pytest.mark.parametrize("index", range(8))
def test_message_survives_the_wire(messages: list[Message], index: int) -> None:
    message = messages[index]
    arrived = decode(wired(message))
    assert replace(arrived, arrays={}) == replace(message, arrays={})
    assert arrived.arrays.keys() == message.arrays.keys()
    for name, array in message.arrays.items():
        assert arrived.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrived.arrays[name], array)


def test_observation_survives_the_wire(
    spec: RobotSpec, observe: Callable[..., Observation]
) -> None:
    rng = np.random.default_rng(0)
    seen = replace(
        observe(time=123456.789012345),
        images={
            c.name: rng.integers(0, 256, (c.height, c.width, 3), np.uint8) for c in spec.cameras
        },
    )
    arrived = observation_of(decode(wired(observation_message(seen, 1, 1))), spec)
    assert arrived.time == pytest.approx(seen.time, abs=1e-9)
    assert arrived.image_times == seen.image_times
    np.testing.assert_array_equal(arrived.proprioception, seen.proprioception)
    for name, image in seen.images.items():
        np.testing.assert_array_equal(arrived.images[name], image)


def test_array_that_is_not_contiguous_survives_the_wire(
    observe: Callable[..., Observation],
) -> None:
    image = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)[::-1, ::-1]
    seen = replace(observe(), images={"wrist": image})
    arrived = decode(wired(observation_message(seen, 1, 1)))
    np.testing.assert_array_equal(arrived.arrays["image.wrist"], image)


def test_mutated_messages_give_a_sound_message_or_a_wire_error(messages: list[Message]) -> None:
    rng = random.Random(0)
    originals = [wired(message) for message in messages]
    num_refused = 0
    for _ in range(60_000):
        parts = mutate(rng.choice(originals), rng)
        try:
            message = decode(parts)
        except WireError as error:
            assert str(error)
            num_refused += 1
            continue
        # Sound: every array is as its frame says, and finite; it can be encoded again.
        for array in message.arrays.values():
            assert array.dtype == np.uint8 or np.isfinite(array).all()
        encode(message)
    assert 10_000 < num_refused < 59_000


def mutate(parts: list[bytes], rng: random.Random) -> list[bytes]:
    """Changes bytes, lengths and the order of parts in one to three places."""
    parts = list(parts)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(parts)) if parts else 0
        kind = rng.randrange(6)
        if kind == 0 or not parts:
            parts.insert(at, rng.randbytes(rng.choice([0, 1, 36, 200])))
        elif kind == 1:
            del parts[at]
        elif kind == 2:
            parts[at] = parts[at][: rng.randrange(len(parts[at]) + 1)]
        elif kind == 3:
            rng.shuffle(parts)
        elif parts[at]:
            data = bytearray(parts[at])
            for _ in range(rng.choice([1, 1, 4])):
                data[rng.randrange(len(data))] = rng.choice([rng.randrange(256), 0, 0xFF, 0xC1])
            parts[at] = bytes(data)
    return parts


@pytest.mark.parametrize(
    "body",
    [
        b"\x91" * MAX_BODY_BYTES,  # nested lists
        b"\xdd\xff\xff\xff\xff",  # a list of 4 billion
        b"\xdf\xff\xff\xff\xff",  # a map of 4 billion
        b"\xdb\xff\xff\xff\xff",  # a string of 4 GB
        b"\x80" * (MAX_BODY_BYTES + 1),
        b"",
    ],
    ids=["nested", "list", "map", "string", "long", "empty"],
)
@pytest.mark.parametrize("index", range(8))
def test_msgpack_bomb_is_refused(messages: list[Message], index: int, body: bytes) -> None:
    header = wired(messages[index])[0]
    with pytest.raises(WireError):
        decode([header, body])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_number_that_is_not_finite_is_refused(
    observe: Callable[..., Observation], bad: float
) -> None:
    seen = observe(positions=(0.1, bad, 0.3))
    with pytest.raises(WireError, match="'proprioception' holds numbers that are not finite"):
        decode(wired(observation_message(seen, 1, 1)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_image_time_that_is_not_finite_is_refused(
    observe: Callable[..., Observation], bad: float
) -> None:
    seen = replace(observe(), image_times={"front": bad, "wrist": 0.0})
    with pytest.raises(WireError, match="ObservationBody that cannot be read"):
        decode(wired(observation_message(seen, 1, 1)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_spec_that_is_not_finite_is_refused(spec: RobotSpec, bad: float) -> None:
    with pytest.raises(WireError, match="spec holds numbers that are not finite"):
        decode(wired(Message(Hello(replace(spec, control_hz=bad), "0"))))


@pytest.mark.parametrize("shape", [(8192, 8192, 3), (2,), (1, 1, 2), (3, 1)])
def test_frame_that_has_not_the_bytes_of_its_shape_is_refused(shape: tuple[int, ...]) -> None:
    frame = msgspec.structs.replace(frames_of({"x": np.zeros(1, np.uint8)})[0], shape=shape)
    header, body, _ = wired(
        Message(ObservationBody((frame,), {}), arrays={"x": np.zeros(1, np.uint8)})
    )
    with pytest.raises(WireError, match="must come once with"):
        decode([header, body, b"\0"])


def test_frame_that_comes_twice_is_refused() -> None:
    frame = frames_of({"x": np.zeros(1, np.uint8)})[0]
    header, body = wired(Message(ObservationBody((frame, frame), {})))
    with pytest.raises(WireError, match=r"'x' .* must come once"):
        decode([header, body, b"\0", b"\1"])


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, b"HTTP", "starts with b'HTTP'"),
        (4, b"\x02", "version 2 of the protocol.*install the same demoloop"),
        (5, b"\x63", "unknown message type 99"),
    ],
)
def test_foreign_header_is_named(
    messages: list[Message], position: int, value: bytes, message: str
) -> None:
    header, *rest = wired(messages[0])
    header = header[:position] + value + header[position + len(value) :]
    with pytest.raises(WireError, match=message):
        decode([header, *rest])


def test_later_minor_version_is_understood(messages: list[Message]) -> None:
    """Flags, unknown fields and unknown codes of faults are what a later version may add."""
    header, body = wired(messages[6])
    header = header[:6] + struct.pack("<H", 0x8001) + header[8:]
    fields = msgspec.msgpack.decode(body) | {"code": "too_hot", "celsius": 71}
    arrived = decode([header, msgspec.msgpack.encode(fields)])
    assert isinstance(arrived.body, Fault)
    assert arrived.body.code == "too_hot"


def test_observation_of_another_robot_is_refused(
    spec: RobotSpec, observe: Callable[..., Observation]
) -> None:
    seen = replace(observe(), images={"top": np.zeros((9, 20, 3), np.uint8)})
    with pytest.raises(WireError, match="tiny sends frames"):
        observation_of(decode(wired(observation_message(seen, 1, 1))), spec)


def test_chunk_beyond_a_joints_limits_is_refused(
    spec: RobotSpec, observe: Callable[..., Observation]
) -> None:
    question = observation_message(observe(), 1, 1)
    actions = np.zeros((6, 3), np.float32)
    actions[4, 1] = 1.6
    answer = decode(wired(chunk_message(ActionChunk(actions, 0.0), 1.0, question, 1)))
    with pytest.raises(WireError, match=r"step 4 of a chunk moves lift to 1\.6000, outside"):
        chunk_of(answer, spec, 0.0)


def test_large_frames_are_not_copied_while_encoding() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    parts: list[Part] = encode(
        Message(ObservationBody(frames_of({"image.x": image}), {}), arrays={"image.x": image})
    )
    assert np.shares_memory(np.frombuffer(parts[2], np.uint8), image)
