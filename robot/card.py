"""The contract of an exported policy: a card of JSON that the ONNX file carries inside itself.

Both the exporter and the onboard loader read it, so it stands here, where both may import it.
Neither torch nor the onnx package is needed: an ONNX file is one protobuf message, and the few
lines of protobuf below find the card in it before any other parser sees the file.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from demoloop.robot.errors import RobotError
from demoloop.robot.marked import Marks
from demoloop.robot.signature import split
from demoloop.robot.spec import RobotSpec

CARD_KEY = "demoloop.card"  # the key of the card in the ONNX file's metadata
CARD_SCHEMA = 1
UNSEALED = "0" * 64  # what `sha256` holds while the file is hashed

_METADATA_FIELD = 14  # ModelProto.metadata_props, onnx.proto3
_SEAL_AT_THE_END = re.compile(rb',"sha256":"([0-9a-f]{64})"}\Z')
_MAX_CARD_BYTES = 4 << 20
_MAX_FIELDS = 1_000_000  # of one message: a policy has some thousands
_BLOCK = 8  # px, side of a block of one colour in the probe's images

Buffer = bytes | memoryview


class CardError(RobotError):
    """A policy file has no card, a card that cannot be, or was changed after it was sealed."""


class ParityProbe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the policy answered on the machine that exported it, for an input made from a seed."""

    seed: int
    expected: tuple[tuple[float, ...], ...]  # (horizon, action_dim) [unit of each joint]
    tolerance: tuple[float, ...]  # (action_dim,) [unit of each joint], largest absolute error


class PolicyCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a robot must know about a policy before it lets it move a joint."""

    schema: int = CARD_SCHEMA
    policy: str  # name of the architecture
    spec: RobotSpec  # of the robot whose demonstrations it learned
    spec_fingerprint: str
    proprioception_names: tuple[str, ...]  # (P,) of `spec.proprioception_names`, in input order
    proprioception_low: tuple[float, ...]  # (P,) least value seen in training
    proprioception_high: tuple[float, ...]  # (P,) greatest value seen in training
    horizon: int  # steps of 1 / spec.control_hz
    action_kind: Literal["absolute joint position targets"] = "absolute joint position targets"
    tasks: tuple[str, ...]
    marks: Marks | None = None  # what a person must point at; None: nothing
    dataset_view: str  # hash of the episodes and edits it was trained on
    code_version: str
    train_config: dict[str, str | int | float | bool]
    parity: ParityProbe
    sha256: str = UNSEALED  # stays the last field: the seal is found at the end of the JSON

    def __post_init__(self) -> None:
        if self.spec_fingerprint != self.spec.fingerprint():
            raise CardError(
                f"the policy card's fingerprint {self.spec_fingerprint} is not that of its spec "
                f"{self.spec.name!r}, {self.spec.fingerprint()}; export the policy again"
            )
        unknown = set(self.proprioception_names) - set(self.spec.proprioception_names)
        if unknown or not self.proprioception_names:
            raise CardError(
                f"the policy card names proprioception {sorted(unknown)}; "
                f"{self.spec.name} has {', '.join(self.spec.proprioception_names)}"
            )
        if self.marks is not None and self.marks.camera not in self.spec.camera_names:
            raise CardError(
                f"the policy card has marks in the picture of {self.marks.camera!r}; "
                f"{self.spec.name} has {', '.join(self.spec.camera_names) or 'no camera'}"
            )
        num_inputs, action_dim = len(self.proprioception_names), self.spec.action_dim
        _check_numbers("proprioception_low", self.proprioception_low, num_inputs)
        _check_numbers("proprioception_high", self.proprioception_high, num_inputs)
        _check_numbers("parity.tolerance", self.parity.tolerance, action_dim)
        if self.horizon < 1 or len(self.parity.expected) != self.horizon:
            raise CardError(
                f"the policy card's parity probe has {len(self.parity.expected)} steps and its "
                f"horizon is {self.horizon}; both must be the same and at least 1"
            )
        for step, actions in enumerate(self.parity.expected):
            _check_numbers(f"parity.expected[{step}]", actions, action_dim)
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise CardError(f"the policy card's sha256 is {self.sha256!r}, not 64 hex digits")

    def to_json(self) -> str:
        """Returns the text to store under `CARD_KEY` in the ONNX file's metadata."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | Buffer) -> PolicyCard:
        """Reads what `to_json` wrote; raises CardError that says which field is wrong."""
        try:
            schema = msgspec.json.decode(text, type=_AnySchema).schema
            if schema != CARD_SCHEMA:
                raise CardError(
                    f"the policy card has schema {schema}, this demoloop reads {CARD_SCHEMA}; "
                    "export the policy again, or install the demoloop that wrote it"
                )
            return msgspec.json.decode(text, type=cls)
        except CardError:
            raise
        except (msgspec.MsgspecError, RecursionError, UnicodeError, RobotError) as error:
            raise CardError(f"the policy card cannot be read: {error}") from error


class _AnySchema(msgspec.Struct):
    schema: int


def probe_input(card: PolicyCard) -> tuple[dict[str, NDArray[np.uint8]], NDArray[np.float32]]:
    """Makes the parity probe's input: images {camera: (H, W, 3) uint8} and proprioception (P,).

    Images are blocks of random colours, since a convolution averages white noise away.
    Proprioception is uniform inside the range seen in training. Only the raw bits of PCG64 are
    used: NumPy promises those for ever, the streams of `Generator`'s distributions it does not.
    """
    bits = np.random.PCG64(card.parity.seed)
    images = {}
    for camera in card.spec.cameras:
        rows, columns = -(-camera.height // _BLOCK), -(-camera.width // _BLOCK)
        raw = np.atleast_1d(bits.random_raw(rows * columns * 3)) >> np.uint64(56)
        blocks = raw.astype(np.uint8).reshape(rows, columns, 3)
        image = blocks.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)
        images[camera.name] = np.ascontiguousarray(image[: camera.height, : camera.width])
    low, high = np.array(card.proprioception_low), np.array(card.proprioception_high)
    share = np.atleast_1d(bits.random_raw(len(low))) / 2.0**64
    return images, (low + share * (high - low)).astype(np.float32)


def probe_goal(card: PolicyCard) -> NDArray[np.float32] | None:
    """Makes the marks (num_marks, 2) of the parity probe, where the policy takes any."""
    if card.marks is None:
        return None
    raw = np.random.PCG64(card.parity.seed + 1).random_raw(2 * len(card.marks.names))
    return (np.reshape(raw, (-1, 2)) / 2.0**64).astype(np.float32)


def read_card(data: Buffer) -> PolicyCard:
    """Returns the card inside the bytes of an ONNX file, without checking its seal."""
    start, end = _find_card(memoryview(data))
    return PolicyCard.from_json(memoryview(data)[start:end])


def verify_seal(data: Buffer) -> PolicyCard:
    """Returns the card of a file that is as `seal` left it; raises CardError when it is not.

    This finds accidents and edits: a cut download, a changed weight, a changed limit. It does
    not find an attacker, who can compute a SHA-256 too; that takes a signature, which stands behind
    what is sealed (signature.py).
    """
    sealed, _ = split(memoryview(data))
    card = read_card(sealed)
    at = _seal_position(sealed)
    if card.sha256 == UNSEALED:
        raise CardError("the policy file was never sealed; export it again to its end")
    if card.sha256 != _digest(sealed, at):
        raise CardError(
            "the policy file was changed after its export (its sha256 is not the one on its "
            "card); copy it again, or export it again"
        )
    return card


def seal(path: Path) -> PolicyCard:
    """Writes the SHA-256 of the file, taken with 64 zeros in its place, into the file's card.

    Raises:
        CardError: There is no card, or it is sealed already: sealing twice would bless an edit.
    """
    data = memoryview(path.read_bytes())
    if read_card(data).sha256 != UNSEALED:
        raise CardError(f"{path} is sealed already; export again to change it")
    at = _seal_position(data)
    digest = _digest(data, at)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(digest.encode())
    return verify_seal(path.read_bytes())


def _check_numbers(name: str, values: tuple[float, ...], count: int) -> None:
    if len(values) != count or not all(map(math.isfinite, values)):
        raise CardError(f"the policy card's {name} must be {count} finite numbers, got {values}")


def _digest(data: memoryview, at: int) -> str:
    digest = hashlib.sha256(data[:at])
    digest.update(UNSEALED.encode())
    digest.update(data[at + len(UNSEALED) :])
    return digest.hexdigest()


def _seal_position(data: memoryview) -> int:
    start, end = _find_card(data)
    found = _SEAL_AT_THE_END.search(data[start:end])
    if found is None:
        raise CardError("the policy card does not end with its sha256; export the policy again")
    return start + found.start(1)


def _find_card(data: memoryview) -> tuple[int, int]:
    """Returns where the card's JSON starts and ends in the bytes of an ONNX file."""
    found = []
    for number, start, end in fields(data, 0, len(data)):
        if number == _METADATA_FIELD and end is not None:
            # StringStringEntryProto: 1 is the key, 2 the value.
            entry = {field: (a, b) for field, a, b in fields(data, start, end) if b is not None}
            a, b = entry.get(1, (0, 0))
            if data[a:b] == CARD_KEY.encode():
                found.append(entry.get(2, (0, 0)))
    if len(found) != 1:
        count = "no policy card" if not found else f"{len(found)} policy cards"
        raise CardError(f"the ONNX file carries {count}; `demoloop export` writes one")
    start, end = found[0]
    if end - start > _MAX_CARD_BYTES:
        raise CardError(f"the policy card has {end - start} bytes, at most {_MAX_CARD_BYTES}")
    return start, end


def fields(data: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int | None]]:
    """Yields each field of a protobuf message.

    (number, start, end) of a length-delimited one, (number, value, None) of a varint; the fixed
    32 and 64 bits are passed over. Raises CardError when it is not protobuf, or cut short.
    """
    at, count = start, 0
    while at < end:
        count += 1
        if count > _MAX_FIELDS:
            raise CardError(f"not a policy: more than {_MAX_FIELDS} fields in one message")
        tag, at = _varint(data, at, end)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at, end)
            yield tag >> 3, value, None
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        elif wire == 2:
            length, at = _varint(data, at, end)
            if at + length <= end:
                yield tag >> 3, at, at + length
            at += length
        if wire in (3, 4, 6, 7) or at > end:
            raise CardError(f"not an ONNX file, or cut short at byte {at} of {end}; copy it again")


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        value, at = value | (byte & 0x7F) << shift, at + 1
        if byte < 0x80:
            return value, at
    raise CardError(f"not an ONNX file, or cut short at byte {at}; copy it again")
