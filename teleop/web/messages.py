"""What page and server say to each other, typed and bounded.

server -> page, text: `Hello`, `State`, `Gesture`, `Refusal`; binary: a `Header` and its JPEGs.
page -> server, text: `Input`, `Order`, `Agent`, `Task`, `Note`, `Drive`, `Mark`, `Aim`; binary: a
`PictureHeader` and one JPEG. A binary message is the length of its JSON header (4 bytes, little
endian), the header, then the JPEGs one after another.
"""

from __future__ import annotations

import struct
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from demoloop.teleop.errors import TeleopError
from demoloop.teleop.gamepad import GamepadState
from demoloop.teleop.keyboard import KeyboardState
from demoloop.teleop.look import Phase, Verdict
from demoloop.teleop.phone import PhoneState

MAX_MESSAGE = 1 << 20  # bytes: a picture of a webcam
_MAX_TEXT = 16 << 10
_LENGTH = struct.Struct("<I")

Name: TypeAlias = Annotated[str, Meta(max_length=40)]
Sentence: TypeAlias = Annotated[str, Meta(max_length=500)]
Count: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 53)]
Share: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]

Command = Literal[
    "start", "stop", "keep", "discard", "redo", "success", "failure", "finish", "estop", "reset",
    "home", "engage", "release", "take", "give_back",
]  # fmt: skip


# --- page -> server ------------------------------------------------------------------------------


class Input(msgspec.Struct, tag_field="type", tag="input", frozen=True):
    """What the devices of a page say now; on every change, and at least each 0.1 s."""

    seq: Count
    keyboard: KeyboardState | None = None
    gamepad: GamepadState | None = None
    phone: PhoneState | None = None


class Order(msgspec.Struct, tag_field="type", tag="command", frozen=True):
    """A word for the session."""

    name: Command


class Agent(msgspec.Struct, tag_field="type", tag="agent", frozen=True):
    """Another device."""

    name: Name


class Task(msgspec.Struct, tag_field="type", tag="task", frozen=True):
    """What is shown from the next episode on."""

    text: Sentence


class Note(msgspec.Struct, tag_field="type", tag="note", frozen=True):
    """Something to be kept with the recording."""

    text: Sentence


class Drive(msgspec.Struct, tag_field="type", tag="drive", frozen=True):
    """A page that watches wants to drive, since nobody does."""


class Mark(msgspec.Struct, tag_field="type", tag="mark", frozen=True):
    """A point that a person shows in a picture: 0..1 to the right, 0..1 down."""

    name: Literal["object", "place"]
    camera: Name
    x: Share
    y: Share


class Aim(msgspec.Struct, tag_field="type", tag="aim", frozen=True):
    """Which mark is set next by who points with a finger."""

    name: Literal["object", "place"]


Said: TypeAlias = Input | Order | Agent | Task | Note | Drive | Mark | Aim


class PictureHeader(msgspec.Struct, frozen=True):
    """Of a picture that the page's own camera took."""

    seq: Count
    time: float  # s, on the page's clock


# --- server -> page ------------------------------------------------------------------------------


class Joint(msgspec.Struct, frozen=True):
    """One joint of the robot."""

    name: str
    low: float
    high: float
    unit: str


class Code(msgspec.Struct, frozen=True):
    """The way in for another machine."""

    url: str  # with a token that works once
    picture: str  # path of the same as a QR code


class Hello(msgspec.Struct, tag_field="type", tag="hello", frozen=True):
    """The first message; once more when the role changes."""

    role: Literal["driver", "watcher"]
    verb: str
    robot: str
    agent: str
    agents: tuple[str, ...]
    cameras: tuple[str, ...]
    joints: tuple[Joint, ...]
    task: str
    can_retask: bool
    control_hz: float
    invite: Code | None  # None: nobody else can come


class ShownEpisode(msgspec.Struct, frozen=True):
    """One episode of this session."""

    number: int
    seconds: float
    steps: int
    verdict: Verdict
    thumbnail: str  # path, or empty


class State(msgspec.Struct, tag_field="type", tag="session", frozen=True):
    """How far the session has come; whenever something changes."""

    phase: Phase
    task: str
    notes: tuple[str, ...]
    agent: str
    kept: int
    wanted: int
    episodes: tuple[ShownEpisode, ...]
    drops: dict[str, int]
    disk_free: int | None  # bytes; None: nothing is recorded
    minutes_left: float | None
    problem: str
    armed: str
    has_driver: bool
    watchers: int


class Gesture(msgspec.Struct, tag_field="type", tag="gesture", frozen=True):
    """What the hand tracker sees."""

    name: str  # open_palm, fist, victory, thumb_up, thumb_down, pointing, none
    progress: float  # of the time it has to be held, 0..1
    landmarks: tuple[tuple[float, float], ...] | None  # 21 of 0..1
    score: float
    hint: str  # sentence, or empty
    at: tuple[float, float] | None  # where a finger points in the picture of the marks


class Marks(msgspec.Struct, tag_field="type", tag="marks", frozen=True):
    """What was pointed at: 0..1 to the right and down."""

    camera: str
    aim: str  # the mark that a finger sets next
    object: tuple[float, float] | None = None
    place: tuple[float, float] | None = None


class Refusal(msgspec.Struct, tag_field="type", tag="error", frozen=True):
    """Why the server hangs up."""

    sentence: str


class CameraHeader(msgspec.Struct, frozen=True):
    """One JPEG that follows."""

    name: str
    width: int
    height: int
    bytes: int


class Header(msgspec.Struct, frozen=True):
    """One instant, before its pictures."""

    seq: int  # of the last input of this page that has moved what is seen here
    time: float
    cameras: tuple[CameraHeader, ...]
    phase: Phase
    step: int
    seconds: float
    countdown: float | None
    target: tuple[float, ...] | None
    joints: tuple[float, ...]
    engaged: bool
    late: int
    who: Literal["person", "policy"]
    status: str


_said: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)
_picture_header = msgspec.json.Decoder(PictureHeader)


def parse(text: str) -> Said:
    """Returns what a page said; raises TeleopError for what no page of ours says."""
    if len(text) > _MAX_TEXT:
        raise TeleopError(f"a message of {len(text)} letters; expected at most {_MAX_TEXT}")
    try:
        return _said.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise TeleopError(f"not a message of the panel's page: {error}") from error


def parse_picture(data: bytes) -> tuple[PictureHeader, bytes]:
    """Returns the header and the JPEG of a page's camera; raises TeleopError."""
    length = _LENGTH.unpack_from(data)[0] if len(data) >= _LENGTH.size else 0
    if not 0 < length <= min(1024, len(data) - _LENGTH.size):
        raise TeleopError(f"a picture's header of {length} bytes in a message of {len(data)}")
    start = _LENGTH.size + length
    try:
        return _picture_header.decode(data[_LENGTH.size : start]), data[start:]
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise TeleopError(f"not a picture of the panel's page: {error}") from error


def pack(header: Header, jpegs: tuple[bytes, ...]) -> bytes:
    """Returns one binary message."""
    head = msgspec.json.encode(header)
    return b"".join([_LENGTH.pack(len(head)), head, *jpegs])
