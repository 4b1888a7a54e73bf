"""Real time as the operating system gives it: exact waking, priority, memory that stays.

What it refuses is said once, loudly, and listed in `Realtime.refusals`: a loop that is merely
hoped to keep its time should say so in its report.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from demoloop.robot.loop import WallClock

_log = logging.getLogger(__name__)

PRIORITY = 50
"""Of SCHED_FIFO, 1 to 99: above everything ordinary, below the kernel's own threads."""
_CLOCK_MONOTONIC, _TIMER_ABSTIME = 1, 1  # <time.h> of Linux
_MCL_CURRENT = 1  # <sys/mman.h>; MCL_FUTURE would make a later allocation fail at the limit


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class RealtimeClock(WallClock):
    """Sleeps until an absolute instant: being interrupted between two looks costs nothing.

    Where the system has no `clock_nanosleep` it sleeps as `WallClock` does.
    """

    def __init__(self) -> None:
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._sleep = getattr(libc, "clock_nanosleep", None)

    def sleep_until(self, deadline: float) -> None:
        """Returns at `deadline` [s], at once when it has passed."""
        if self._sleep is None:
            super().sleep_until(deadline)
            return
        nanoseconds = max(0, round(deadline * 1e9))
        until = _Timespec(*divmod(nanoseconds, 10**9))
        # Any other answer than 0 is a signal that was handled meanwhile: the deadline stands.
        while self._sleep(_CLOCK_MONOTONIC, _TIMER_ABSTIME, ctypes.byref(until), None) != 0:
            if self.now() >= deadline:
                return


@dataclass(frozen=True)
class Realtime:
    """What the system granted."""

    refusals: tuple[str, ...]  # a sentence for each thing it did not

    @property
    def is_granted(self) -> bool:
        """Whether nothing was refused."""
        return not self.refusals


@contextmanager
def realtime(priority: int = PRIORITY) -> Iterator[Realtime]:
    """Makes the calling thread a real-time one within a `with` block, as far as is allowed.

    SCHED_FIFO for this thread (not for processes it starts), memory locked, and no garbage
    collection: what exists is frozen, and what the loop makes it must not make in cycles.
    """
    refusals = [*_take_priority(priority), *_lock_memory()]
    for sentence in refusals:
        _warn_once(sentence)
    was_collecting = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield Realtime(tuple(refusals))
    finally:
        if was_collecting:
            gc.enable()
        gc.unfreeze()
        _give_back()


def _take_priority(priority: int) -> list[str]:
    if not hasattr(os, "sched_setscheduler"):
        return [f"{sys.platform} has no SCHED_FIFO; the loop may start late when others work"]
    try:
        # Without the reset, workers started from here would be as important as the loop.
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except OSError as error:
        return [
            f"SCHED_FIFO is refused ({error.strerror}): the loop may start late when others work; "
            f"allow it with `ulimit -r {priority}`, rtprio in limits.conf or LimitRTPRIO= in the "
            "systemd unit"
        ]
    return []


def _lock_memory() -> list[str]:
    if sys.platform != "linux":
        return [f"memory is not locked on {sys.platform}; a page that was swapped out costs time"]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT) != 0:
        return [
            f"locking memory is refused ({os.strerror(ctypes.get_errno())}): a page that was "
            "swapped out costs time; allow it with `ulimit -l unlimited` or LimitMEMLOCK=infinity"
        ]
    return []


def _give_back() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).munlockall()
    if hasattr(os, "sched_setscheduler"):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


_said: set[str] = set()


def _warn_once(sentence: str) -> None:
    if sentence not in _said:
        _said.add(sentence)
        _log.warning(sentence)
