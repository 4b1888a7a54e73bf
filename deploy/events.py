"""A structured log: one JSON object a line, written beside the loop and never by it."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Protocol

from demoloop.deploy.errors import DeployError

_log = logging.getLogger(__name__)

Detail = str | int | float | bool | None

_MAX_WAITING = 2000  # entries; more only come while the disk does not answer
_MAX_TEXT = 500  # characters of one detail
_END_S = 2.0  # for the last lines; a disk that hangs must not keep a robot's process


class OnEvent(Protocol):
    """Hears of what happens."""

    def __call__(self, event: str, session: int = 0, **details: Detail) -> None:
        """Takes one event and returns at once."""
        ...


def ignore(event: str, session: int = 0, **details: Detail) -> None:
    """Hears, and does nothing."""


@dataclass(frozen=True)
class _Entry:
    time: float  # s, monotonic
    wall: float  # s since 1970
    event: str
    session: int
    details: dict[str, Detail]


@dataclass
class _Bucket:
    """What one kind of event may still write."""

    left: float  # lines
    filled_at: float
    num_suppressed: int = 0  # since the last line of this kind


class EventLog:
    """Appends events to a file from a thread of its own, within a `with` block.

    `time` orders and measures; `wall` is for people, since the clock behind it may be set while a
    robot runs. Each kind of event has a rate of its own, so that one that comes in floods hides no
    other; what was left out is counted in the next line of its kind. A file that is full moves to
    FILE.1, that to FILE.2, and the oldest goes.

    Args:
        path: Where to write.
        side: Who writes, "run" or "serve": the two logs of a session can be laid side by side.
        max_bytes: Of one file.
        num_old: How many full ones are kept.
        per_second: Lines of one kind, on average.
        burst: Lines of one kind at once.
        now: Another clock than the system's [s].
        wall: Another calendar than the system's [s since 1970].
    """

    def __init__(
        self,
        path: Path,
        side: str,
        *,
        max_bytes: int = 8 << 20,
        num_old: int = 3,
        per_second: float = 10.0,
        burst: int = 100,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._side = side
        self._max_bytes, self._num_old = max_bytes, num_old
        self._per_second, self._burst = per_second, burst
        self._now, self._wall = now, wall
        # Its `put` never waits for the thread that writes, which is less urgent than a loop.
        self._waiting: SimpleQueue[_Entry | None] = SimpleQueue()
        self._buckets: dict[str, _Bucket] = {}
        self._num_lost = 0  # because nobody could write them
        self._file = -1
        self._size = 0
        self._is_torn = False  # the last line of the file has no end
        self._has_warned = False
        self._thread = threading.Thread(target=self._write_all, name="event log", daemon=True)

    def __enter__(self) -> EventLog:
        """Opens the file; raises DeployError when that cannot be done."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise DeployError(
                f"the log {self.path} cannot be written: {error.strerror}; choose another --log"
            ) from error
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Writes what waits, for two seconds at most."""
        self._waiting.put(None)
        self._thread.join(_END_S)

    def note(self, event: str, session: int = 0, **details: Detail) -> None:
        """Hands one event over and returns at once."""
        self.take(self._now(), self._wall(), event, session, details)

    def take(
        self, time: float, wall: float, event: str, session: int, details: dict[str, Detail]
    ) -> None:
        """The same for what happened elsewhere, at `time` [s] of this computer's clock."""
        if self._waiting.qsize() >= _MAX_WAITING:
            self._num_lost += 1
            return
        self._waiting.put(_Entry(time, wall, event, session, details))

    def _write_all(self) -> None:
        last = 0.0
        while (entry := self._waiting.get()) is not None:
            last = entry.time
            bucket = self._buckets.setdefault(entry.event, _Bucket(self._burst, entry.time))
            gained = (entry.time - bucket.filled_at) * self._per_second
            bucket.left, bucket.filled_at = min(self._burst, bucket.left + gained), entry.time
            if bucket.left < 1:
                bucket.num_suppressed += 1
                continue
            bucket.left -= 1
            self._write(entry, self._take_suppressed(bucket))
        for event, bucket in self._buckets.items():
            if bucket.num_suppressed:
                suppressed = self._take_suppressed(bucket)
                self._write(_Entry(last, self._wall(), event, 0, {}), suppressed)
        if self._file >= 0:
            os.close(self._file)

    def _take_suppressed(self, bucket: _Bucket) -> dict[str, Detail]:
        counts = {"suppressed": bucket.num_suppressed, "lost": self._num_lost}
        bucket.num_suppressed = self._num_lost = 0
        return {name: count for name, count in counts.items() if count}

    def _write(self, entry: _Entry, counts: dict[str, Detail]) -> None:
        line = _line(entry, self._side, counts)
        try:
            if self._file < 0:
                self._open()
            if self._size and self._size + len(line) > self._max_bytes:
                self._rotate()
            # One write a line: what a kill tears is at most the last.
            whole = b"\n" + line if self._is_torn else line
            self._is_torn = True
            written = os.write(self._file, whole)
            self._size += written
            self._is_torn = written < len(whole)
        except OSError as error:
            self._num_lost += 1
            if not self._has_warned:  # a full disk is no reason to stop an arm
                self._has_warned = True
                _log.warning("the log %s has gaps: %s", self.path, error.strerror)

    def _open(self) -> None:
        # Readable, to see how the file ends.
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._size = os.fstat(self._file).st_size
        self._is_torn = self._size > 0 and os.pread(self._file, 1, self._size - 1) != b"\n"

    def _rotate(self) -> None:
        os.close(self._file)
        self._file = -1
        for number in range(self._num_old, 0, -1):
            younger = self._old(number - 1) if number > 1 else self.path
            if younger.exists():
                younger.replace(self._old(number))
        self._open()

    def _old(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _line(entry: _Entry, side: str, counts: dict[str, Detail]) -> bytes:
    # Escaped to ASCII: whatever a peer wrote into a reason, a line stays a line.
    details = {k: v[:_MAX_TEXT] if isinstance(v, str) else v for k, v in entry.details.items()}
    wall = datetime.fromtimestamp(entry.wall, UTC).isoformat(timespec="milliseconds")
    known = {"time": round(entry.time, 6), "wall": wall, "side": side, "event": entry.event}
    return json.dumps({**known, "session": entry.session, **details, **counts}).encode() + b"\n"


class EventHandler(logging.Handler):
    """Takes what the program logs into an event log: refused keys, refused real time, failures."""

    def __init__(self, note: OnEvent) -> None:
        super().__init__(logging.INFO)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        """Hands one record over."""
        self._note(record.levelname.lower(), source=record.name, reason=record.getMessage())
