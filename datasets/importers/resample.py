"""Streams of different rates on one grid of ticks, never looking ahead.

At tick t an observation is what had arrived at t. The action of tick t is the last command before
tick t + 1: what was sent after that observation was seen, and before the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.errors import DatasetError
from demoloop.datasets.importers.found import check_steps

SLACK = 1000
"""ns by which equal times may differ: k / 30 s is no whole number of ns, and gets rounded."""

Times = NDArray[np.int64]  # ns, ascending


def make_ticks(observed: Sequence[Times], commanded: Times, fps: int, what: str) -> Times:
    """Returns the ticks [ns] at which every stream has a value and none has ended.

    Raises:
        DatasetError: There is none, or there are too many to believe.
    """
    if min(map(len, [*observed, commanded])) == 0:
        raise DatasetError(f"{what}: a topic has no message")
    period = 1e9 / fps
    # A command may come later than what it answers, by less than a tick.
    first_command = int(commanded[0]) - int(period) + 2 * SLACK
    start = max([int(times[0]) for times in observed] or [int(commanded[0])])
    start = max(start, first_command)
    end = min(int(times[-1]) for times in [*observed, commanded])
    if not observed:
        start = int(commanded[0])
    count = int((end - start + SLACK) // period) + 1 if end >= start - SLACK else 0
    if count < 1:
        raise DatasetError(f"{what}: its topics do not overlap in time")
    check_steps(what, count)
    return start + np.round(np.arange(count) * period).astype(np.int64)


def latest(times: Times, ticks: Times) -> NDArray[np.int64]:
    """Returns for each tick the number of the last message that had arrived."""
    return np.searchsorted(times, ticks + SLACK, side="right") - 1


def answers(times: Times, ticks: Times, fps: int) -> NDArray[np.int64]:
    """Returns for each tick the number of the last command before the next tick."""
    next_ticks = ticks + round(1e9 / fps)
    return np.maximum(np.searchsorted(times, next_ticks - SLACK, side="left") - 1, 0)


def gaps(times: Times, fps: int) -> tuple[int, float, float]:
    """Returns how many pauses are longer than usual, and where [s] and how long [s] the longest is.

    Longer than usual is more than two ticks and three times the median.
    """
    if len(times) < 2:
        return 0, 0.0, 0.0
    pauses = np.diff(times) / 1e9
    longest = int(pauses.argmax())
    count = int((pauses > max(2.0 / fps, 3.0 * float(np.median(pauses)))).sum())
    return count, float(times[longest] - times[0]) / 1e9, float(pauses[longest])
