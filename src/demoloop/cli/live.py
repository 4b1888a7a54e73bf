"""A run as it goes on: a table in place on a terminal, else a line for each change."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from types import TracebackType
from typing import TextIO

from demoloop.deploy.motion import State
from demoloop.deploy.vitals import Vitals

_PERIOD_S = 0.2
_COLORS = {"running": 32, "waiting": 33, "holding": 31}


def is_terminal(out: TextIO) -> bool:
    """Says whether `out` is a screen on which a table can be drawn again and again."""
    plain = any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
    return out.isatty() and not plain and os.environ.get("TERM", "") not in ("", "dumb")


class Live:
    """Shows `vitals` from a thread of its own, five times a second, within a `with` block.

    What is said meanwhile goes through `say`, so that it stands above the table and stays when the
    table goes. Without a terminal there is a line when the state or its reason changes; one that
    lasts less than a fifth of a second may go unseen here, but not in the log.

    Args:
        vitals: What to show.
        out: Where to.
        in_place: Whether it is a terminal; None to find out.
    """

    def __init__(
        self, vitals: Vitals, out: TextIO | None = None, in_place: bool | None = None
    ) -> None:
        self._vitals = vitals
        self._out = sys.stdout if out is None else out
        self._in_place = is_terminal(self._out) if in_place is None else in_place
        self._num_shown = 0  # lines of the table on the screen
        self._rate = _Rate()
        self._last = ("", "")  # state and reason that were said
        self._is_over = threading.Event()
        # Of the screen; the loop never takes it but for a line of its own between two episodes.
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
        with self._lock:
            self._write(self._wiped())

    def say(self, line: str) -> None:
        """Prints a line that stays."""
        with self._lock:
            self._write(f"{self._wiped()}{line}\n")
            self._num_shown = 0

    def warn(self, line: str) -> None:
        """Prints a warning that stays, on a terminal where everything else stands."""
        if self._in_place:
            self.say(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def show(self) -> None:
        """Shows the present moment once."""
        now = time.monotonic()
        with self._lock:
            if not self._in_place:
                self._write(self._news(now))
                return
            size = shutil.get_terminal_size()
            rows = table(self._vitals, now, self._rate.of(self._vitals.num_ticks, now))
            # Neither wrapped nor scrolled: what goes up is counted in lines.
            rows = [row[: size.columns - 1] for row in rows][: size.lines - 1]
            text = self._wiped() + "".join(f"{_coloured(row)}\n" for row in rows)
            self._num_shown = len(rows)
            self._write(text)

    def _show_all(self) -> None:
        try:
            while not self._is_over.wait(_PERIOD_S):
                self.show()
        except (OSError, ValueError):
            # Whoever looked has gone, such as `head` or a closed window; the run goes on.
            self._in_place, self._num_shown = False, 0

    def _news(self, now: float) -> str:
        vitals = self._vitals
        news = (vitals.state, vitals.reason)
        if news == self._last or not vitals.num_ticks:
            return ""
        self._last = news
        because = f" ({vitals.reason})" if vitals.reason else ""
        return f"{now - vitals.began_at:6.1f} s: {vitals.state}{because}\n"

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
        self._looks.append((now, num_ticks))
        while len(self._looks) > 2 and now - self._looks[1][0] >= 1.0:
            del self._looks[0]
        then, before = self._looks[0]
        return (num_ticks - before) / (now - then) if now > then else None


def table(vitals: Vitals, now: float, rate_hz: float | None) -> list[str]:
    """Returns the rows for the moment `now` [s, time.monotonic()]."""
    policy = vitals.policy
    state: State = vitals.state
    because = f": {vitals.reason}" if vitals.reason else ""
    rate = "-" if rate_hz is None else f"{rate_hz:.1f}"
    ms = _milliseconds
    trip, inference, lateness = vitals.round_trip, vitals.inference, vitals.lateness
    line = "heard" if policy.is_connected else "not heard"
    room = "room for a look" if policy.credit else "a look is under way"
    holds = vitals.entered["holding"]
    return [
        f"policy   {policy.policy} at {policy.endpoint}, {line}, session {policy.session:08x}",
        f"state    {state} for {now - vitals.since:.1f} s{because}",
        f"episode  {vitals.num_begun} of {vitals.num_episodes}, {now - vitals.began_at:.1f} s, "
        f"{vitals.num_successes} succeeded",
        f"loop     {rate} of {vitals.guard_hz:g} Hz, lateness {ms(lateness.last)}, worst "
        f"{ms(lateness.worst)}, {vitals.num_late} late, {vitals.num_skipped} skipped",
        f"chunk    age {ms(vitals.chunk_age_s)}, {trip.count} came, {vitals.num_stale} stale, "
        f"{policy.num_dropped} dropped",
        f"answer   {ms(trip.last)}, of which inference {ms(inference.last)}, worst "
        f"{ms(trip.worst)}; {room}",
        f"faults   {holds} times held" + (f", last: {vitals.fault}" if holds else ""),
    ]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def _coloured(row: str) -> str:
    if row.startswith("state"):
        word = row.split()[1]
        return row.replace(word, f"\x1b[{_COLORS.get(word, 0)}m{word}\x1b[0m", 1)
    return row
