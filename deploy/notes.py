"""The short messages of a run: between its guard and its io process, with operators and viewers.

One part each: a mark, then a msgpack body of a known type. All of them are bounded, and whatever
comes from outside, a `Reader` returns a sound value or raises WireError. Frames of the policy's
line never share a socket with them (`wire` is theirs).
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from demoloop.deploy.errors import WireError
from demoloop.deploy.metrics import Times
from demoloop.deploy.motion import State
from demoloop.deploy.wire import Count, Sentence

MARK = b"DMN1"
MAX_NOTE_BYTES = 16 << 10

Verb = Literal["status", "hold", "go", "stop", "reset", "set"]
Mode = Literal["go", "hold", "stopped"]
Text = Annotated[str, Meta(max_length=64)]
Line = Annotated[str, Meta(max_length=4000)]
Number = Annotated[float, Meta(ge=-1e12, le=1e12)]  # a bound also keeps NaN out
Detail: TypeAlias = str | int | float | bool | None


class Order(msgspec.Struct, frozen=True, tag=True):
    """Operator to guard: what to do. `set` names a setting and its value."""

    number: Count  # the operator's own, which comes back with the answer
    verb: Verb
    who: Text = ""
    name: Text = ""
    value: Number = 0.0


class Alive(msgspec.Struct, frozen=True, tag=True):
    """Operator to io: I am here. Answered with a Status, which is never sent unasked."""

    who: Text = ""


class Reply(msgspec.Struct, frozen=True, tag=True):
    """Guard to operator: the state that came of an order."""

    number: Count
    is_done: bool
    text: Sentence  # what was done, or why not
    mode: Mode
    state: State
    reason: Sentence = ""


class Status(msgspec.Struct, frozen=True, tag=True):
    """Guard to everybody: what the run is doing. Times are of the robot's monotonic clock [s]."""

    time: Number
    robot: Text
    policy: Sentence
    endpoint: Line
    is_connected: bool
    session: Count
    num_welcomes: Count
    credit: Count
    mode: Mode
    operator: Text
    state: State
    reason: Sentence
    since: Number
    fault: Sentence
    guard_hz: Number
    num_episodes: Count
    num_begun: Count
    num_over: Count
    num_successes: Count
    began_at: Number
    num_ticks: Count
    num_late: Count
    num_skipped: Count
    chunk_age_s: Number
    num_stale: Count
    num_dropped: Count
    entered: Annotated[dict[Text, Count], Meta(max_length=16)]
    lateness: Times
    round_trip: Times
    inference: Times


class Setup(msgspec.Struct, frozen=True, tag=True):
    """Guard to io, first of all: what is asked of it. None: not asked."""

    server: Line
    folder: Line  # private, where a relay may listen; the guard removes it
    keys: Line | None = None
    server_key: Line | None = None
    control: Line | None = None
    telemetry: Line | None = None
    metrics: Line | None = None
    log: Line | None = None


class Pulse(msgspec.Struct, frozen=True, tag=True):
    """Io to guard: I live, so orders would come; who operates, and whether pictures are wanted."""

    operator: Text = ""  # who was heard within the dead-man's time; empty: nobody
    is_watched: bool = False


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Io to guard: everything is bound."""

    server: Line  # where the guard finds the policy: a relay, or the server itself
    lines: Annotated[tuple[Line, ...], Meta(max_length=8)] = ()  # for a person to read


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Io to guard: it cannot be; the sentence that ends the run."""

    text: Line


class Say(msgspec.Struct, frozen=True, tag=True):
    """Guard to io: a line for the terminal that stays."""

    text: Line
    is_warning: bool = False


class Event(msgspec.Struct, frozen=True, tag=True):
    """Guard to io: a line for the log."""

    time: Number  # s, monotonic
    wall: Number  # s since 1970
    event: Text
    session: Count
    details: Annotated[dict[Text, Detail], Meta(max_length=32)]


class Over(msgspec.Struct, frozen=True, tag=True):
    """Guard to io: the arm is at rest and the run is over."""


Note: TypeAlias = (
    Order | Alive | Reply | Status | Setup | Pulse | Ready | Refused | Say | Event | Over
)
FromIo = Order | Pulse | Ready | Refused
FromGuard = Setup | Reply | Status | Say | Event | Over
T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()


def pack(note: Note) -> bytes:
    """Returns the bytes of a note."""
    return MARK + _encoder.encode(note)


class Reader(Generic[T]):
    """Reads the notes that one side may receive, and no others.

    Args:
        kind: A union of the classes above.
    """

    def __init__(self, kind: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)

    def read(self, data: bytes | memoryview) -> T:
        """Returns the note; raises WireError, and nothing else, for anything that is none."""
        if len(data) > MAX_NOTE_BYTES:
            raise WireError(f"a note of {len(data)} bytes, at most {MAX_NOTE_BYTES}")
        if bytes(data[: len(MARK)]) != MARK:
            raise WireError(f"not a note of demoloop: it does not start with {MARK!r}")
        try:
            return self._decoder.decode(data[len(MARK) :])
        except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError) as error:
            raise WireError(f"a note that cannot be read: {error}") from error
