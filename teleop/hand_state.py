"""What a hand tracker sees in one picture: a hand of 21 landmarks, or none."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]
Number: TypeAlias = Annotated[float, Meta(ge=-100.0, le=100.0)]
Points2: TypeAlias = Annotated[
    tuple[tuple[Number, Number], ...], Meta(min_length=21, max_length=21)
]
Points3: TypeAlias = Annotated[
    tuple[tuple[Number, Number, Number], ...], Meta(min_length=21, max_length=21)
]
Side: TypeAlias = Annotated[int, Meta(ge=1, le=10_000)]  # px

# Landmarks: the wrist, then four of each finger from its root to its tip.
WRIST, THUMB_TIP, INDEX_ROOT, INDEX_TIP, MIDDLE_ROOT, PINKY_ROOT = 0, 4, 5, 8, 9, 17
PALM = (0, 5, 9, 13, 17)
"""Wrist and finger roots: what moves least when the fingers do."""


class HandState(msgspec.Struct, frozen=True, kw_only=True, tag="hand"):
    """One picture, looked at. Pictures are not mirrored: a right hand is a right hand."""

    time: float  # s, monotonic, when the picture was taken
    number: int  # of the picture; a newer one has a greater number
    width: Side
    height: Side
    brightness: float = 128.0  # mean of the picture, 0 .. 255
    landmarks: Points2 | None = None  # shares of width (right) and height (down); None: no hand
    world: Points3 | None = None  # m, same axes and depth away from the camera, about the hand
    handedness: Literal["left", "right", ""] = ""
    score: float = 0.0  # of the handedness, 0 .. 1

    @property
    def has_hand(self) -> bool:
        """Whether there is one."""
        return self.landmarks is not None and self.world is not None

    def pixels(self) -> Vector:
        """Returns the landmarks in pixels (21, 2); only where there is a hand."""
        return np.asarray(self.landmarks, np.float64) * (self.width, self.height)

    def metres(self) -> Vector:
        """Returns the landmarks about the hand (21, 3) [m]; only where there is a hand."""
        return np.asarray(self.world, np.float64)


def palm_share(state: HandState) -> float:
    """Returns how much of the picture's height lies between wrist and middle knuckle."""
    pixels = state.pixels()
    return float(np.linalg.norm(pixels[MIDDLE_ROOT] - pixels[WRIST])) / state.height


def pinch_of(state: HandState) -> float:
    """Returns the gap between thumb and index tips, in lengths of the palm."""
    metres = state.metres()
    palm = float(np.linalg.norm(metres[MIDDLE_ROOT] - metres[WRIST]))
    return float(np.linalg.norm(metres[THUMB_TIP] - metres[INDEX_TIP])) / max(palm, 1e-6)
