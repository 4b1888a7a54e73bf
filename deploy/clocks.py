"""What a time of another computer's monotonic clock is on this one's: a bound, never a comparison.

A question leaves at t0 here and comes at s0 there, so t0 - s0 is at most what has to be added to a
time of theirs; it is less by as long as the question was under way. The greatest of the last few is
therefore the nearest, and what is translated with it is never later than it was: a picture may be
taken for a little older than it is, by the quickest way there, and never for younger. (Cristian
1989 halves the round trip; half of an answer full of pictures says nothing about the way there.)
"""

from __future__ import annotations

from collections import deque

_LAST = 64  # questions: some seconds, in which two quartzes drift apart by a tenth of a ms


class Translation:
    """Times of one other computer; `heard` first."""

    def __init__(self) -> None:
        self._bounds: deque[float] = deque(maxlen=_LAST)  # s

    def heard(self, asked_at: float, came_at: float) -> None:
        """Takes in one question that left at `asked_at` here and came at `came_at` there [s]."""
        self._bounds.append(asked_at - came_at)

    def here(self, there: float) -> float:
        """Returns the latest time [s] of this computer that `there` [s] surely was not before."""
        return there + max(self._bounds)
