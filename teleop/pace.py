"""How far a device may go in one step, whatever rate the loop that asks it has."""

from __future__ import annotations

_LONGEST_STEP_S = 0.1  # a loop that was held up does not make up for it at once


class Pace:
    """Seconds from one observation to the next: 0 at the first, and never a leap."""

    def __init__(self) -> None:
        self._time: float | None = None  # s

    def since(self, time: float) -> float:
        """Returns what passed until `time` [s], from 0 to `_LONGEST_STEP_S`."""
        passed = 0.0 if self._time is None else time - self._time
        self._time = time
        return min(max(passed, 0.0), _LONGEST_STEP_S)
