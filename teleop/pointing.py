"""Pointing with the index finger at something in a picture: this one, and there."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from demoloop.teleop.gestures import HOLD_S, shape_of
from demoloop.teleop.hand_state import INDEX_TIP, HandState, Vector

Point: TypeAlias = tuple[float, float]
"""Shares of a picture's width (right) and height (down)."""

_EDGE = 0.2
"""Share of the webcam's picture at each edge that is not needed to reach the whole picture."""
_STILL = 0.03  # of the picture: a finger that stays within has made up its mind
_GAP_S = 0.1  # the shape may be missed for so long


class Cursor:
    """The place in a picture that a finger points at, and the mark where it stays.

    `mirrored`: the hand is before a webcam, and the finger moves a cursor over the picture of
    another camera, as in a mirror. `direct`: the hand is in the picture itself, say that of the
    camera above the table, and the finger tip is where it points.

    Attributes:
        at: Where it points now; None while nobody points.
        progress: How much of the hold is done, 0 .. 1.
    """

    def __init__(self, kind: Literal["mirrored", "direct"] = "mirrored") -> None:
        """Stores which of the two it is."""
        self.at: Point | None = None
        self.progress = 0.0
        self._is_direct = kind == "direct"
        self._anchor: Vector | None = None  # where the finger began to stay
        self._since, self._seen_at = 0.0, float("-inf")
        self._is_done = False  # what it points at is marked already

    def watch(self, state: HandState | None, time: float) -> Point | None:
        """Returns a point once, when the finger has stayed there for 0.6 s, else None."""
        if state is None or shape_of(state) != "pointing":
            if time - self._seen_at > _GAP_S:
                self.at, self.progress, self._anchor = None, 0.0, None
            return None
        tip = np.asarray(state.landmarks, np.float64)[INDEX_TIP]
        if not self._is_direct:
            tip = (np.array([1.0 - tip[0], tip[1]]) - _EDGE) / (1 - 2 * _EDGE)
        tip = np.clip(tip, 0.0, 1.0)
        self.at, self._seen_at = (float(tip[0]), float(tip[1])), time
        if self._anchor is None or float(np.abs(tip - self._anchor).max()) > _STILL:
            self._anchor, self._since, self._is_done = tip, time, False
        self.progress = min(1.0, (time - self._since) / HOLD_S)
        if self.progress < 1.0 or self._is_done:
            return None
        self._is_done = True
        return self.at
