"""A run as it goes on: a table in place on a terminal, else a line for each change."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from demoloop.deploy.metrics import Times
from demoloop.deploy.notes import Status

_PERIOD_S = 0.2
_COLORS = {"running": 32, "waiting": 33, "holding": 31, "stopped": 31}


def is_terminal(out: TextIO) -> bool:
    """Says whether `out` is a screen on which a table can be drawn again and again."""
    plain = any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
    return out.isatty() and not plain and os.environ.get("TERM", "") not in ("", "dumb")


class Live:
    """Shows a run from a thread of its own, five times a second, within a `with` block.

    What is said meanwhile goes through `say`, so that it stands above the table and stays when the
    table goes. Without a terminal there is a line when the state or its reason changes; one that
    lasts less than a fifth of a second may go unseen here, but not in the log.

    Args:
        look: Returns the newest status, None before there is one.
        out: Where to.
        in_place: Whether it is a terminal; None to find out.
    """

    def __init__(
        self,
        look: Callable[[], Status | None],
        out: TextIO | None = None,
        in_place: bool | None = None,
    ) -> None:
        self._look = look
        self._out = sys.stdout if out is None else out
        self._in_place = is_terminal(self._out) if in_place is None else in_place
        self._num_shown = 0  # lines of the table on the screen
        self._rate = _Rate()
        self._last = ("", "")  # state and reason that were said
        # What was said and not printed yet, and whether on stderr.
        self._lines: deque[tuple[str, bool]] = deque(maxlen=1000)
        self._is_over = threading.Event()
        # Of the screen.
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._show_all, name="table", daemon=True)

    def __enter__(self) -> Live:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Takes the table away: what was said stands there as if it had never been."""
        self._is_over.set()
        self._thread.join(1.0)
        # A screen that blocks is left behind.
        if self._lock.acquire(timeout=1.0):
            with contextlib.suppress(OSError, ValueError):
                self._write(self._said() + self._wiped())
            self._lock.release()

    def say(self, line: str) -> None:
        """Has a line printed that stays; never waits for the screen."""
        self._lines.append((line, False))

    def warn(self, line: str) -> None:
        """Has a warning printed that stays, on a terminal where everything else stands."""
        self._lines.append((line, not self._in_place))

    def show(self) -> None:
        """Shows the present moment once."""
        status = self._look()
        with self._lock:
            said = self._said()
            if status is None or not self._in_place:
                self._write(said + (self._news(status) if status is not None else ""))
                return
            size = shutil.get_terminal_size()
            rows = table(status, self._rate.of(status.num_ticks, status.time))
            # Neither wrapped nor scrolled: what goes up is counted in lines.
            rows = [row[: size.columns - 1] for row in rows][: size.lines - 1]
            text = (said or self._wiped()) + "".join(f"{_coloured(row)}\n" for row in rows)
            self._num_shown = len(rows)
            self._write(text)

    def _show_all(self) -> None:
        try:
            while not self._is_over.wait(_PERIOD_S):
                self.show()
        except (OSError, ValueError):
            # Whoever looked has gone, such as `head` or a closed window; the run goes on.
            self._in_place, self._num_shown = False, 0

    def _news(self, status: Status) -> str:
        news = (status.state, status.reason)
        if news == self._last or not status.num_ticks:
            return ""
        self._last = news
        because = f" ({status.reason})" if status.reason else ""
        return f"{status.since - status.began_at:6.1f} s: {status.state}{because}\n"

    def _said(self) -> str:
        """Returns what was said since, above the table; warnings go to stderr if they must."""
        text = ""
        while self._lines:
            line, is_apart = self._lines.popleft()
            if is_apart:
                print(line, file=sys.stderr, flush=True)
            else:
                text += f"{line}\n"
        if text:
            text, self._num_shown = self._wiped() + text, 0
        return text

    def _wiped(self) -> str:
        return f"\x1b[{self._num_shown}F\x1b[J" if self._num_shown else ""

    def _write(self, text: str) -> None:
        if text:
            self._out.write(text)
            self._out.flush()


class _Rate:
    """Ticks per second between two looks that are at least a second apart."""

    def __init__(self) -> None:
        self._looks: list[tuple[float, int]] = []

    def of(self, num_ticks: int, now: float) -> float | None:
        """Returns None before two looks."""
        if not self._looks or now > self._looks[-1][0]:
            self._looks.append((now, num_ticks))
        while len(self._looks) > 2 and now - self._looks[1][0] >= 1.0:
            del self._looks[0]
        then, before = self._looks[0]
        last, newest = self._looks[-1]
        return (newest - before) / (last - then) if last > then else None


def table(status: Status, rate_hz: float | None) -> list[str]:
    """Returns the rows of a status, none wider than 79 characters while its words are short."""
    now = status.time
    rate = "-" if rate_hz is None else f"{rate_hz:.1f}"
    line = "heard" if status.is_connected else "NOT HEARD"
    lateness, trip, inference = status.lateness, status.round_trip, status.inference
    holds = status.entered.get("holding", 0) + status.entered.get("stopped", 0)
    fault = f", last: {status.fault}" if holds else ""
    return [
        f"policy   {status.policy} at {status.endpoint}, {line}",
        f"state    {status.state} for {now - status.since:.1f} s"
        + (f": {status.reason}" if status.reason else ""),
        f"operator {status.operator or 'nobody'}, ordered {status.mode}",
        f"episode  {status.num_begun} of {status.num_episodes}, {now - status.began_at:.1f} s, "
        f"{status.num_successes} succeeded",
        f"loop     {rate} of {status.guard_hz:g} Hz, lag {_ms(lateness.last)}, worst "
        f"{_ms(lateness.worst)}; {status.num_late} late, {status.num_skipped} skipped",
        f"chunk    age {_ms(status.chunk_age_s)}; {trip.count} came, {status.num_stale} stale, "
        f"{status.num_dropped} dropped",
        f"answer   {_ms(trip.last)}, inference {_ms(inference.last)}, mean {_mean(trip)}, worst "
        f"{_ms(trip.worst)}",
        f"faults   held {holds} times, {status.num_welcomes} sessions{fault}",
    ]


def _mean(times: Times) -> str:
    return _ms(times.sum / times.count) if times.count else "-"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def _coloured(row: str) -> str:
    if row.startswith("state"):
        word = row.split()[1]
        return row.replace(word, f"\x1b[{_COLORS.get(word, 0)}m{word}\x1b[0m", 1)
    return row
