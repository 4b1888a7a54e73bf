"""Where a hand is before the camera, how it is turned, and how its fingers move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demoloop.teleop.hand_state import (
    INDEX_ROOT,
    PALM,
    PINKY_ROOT,
    HandState,
    Vector,
    pinch_of,
)
from demoloop.teleop.person import Person

FOCAL = 0.866
"""Focal length in picture widths: a webcam sees about 60 degrees. An error here is one of gain."""
_LINES = np.triu_indices(len(PALM), 1)  # the ten between two points of the palm


@dataclass(frozen=True)
class HandPose:
    """One look, measured. Camera axes: x right in the picture, y down, z away."""

    offset: Vector  # (2,) of the palm's middle from that of the picture, in focal lengths
    depth: float  # m from the camera
    roll: float  # rad, of the line from index to pinky root, clockwise in the picture
    pinch: float  # palm lengths


def measure(state: HandState, person: Person) -> HandPose:
    """Measures a hand, by a pin-hole camera and the person's palm.

    Each line between two points of the palm, as long as the person's is and foreshortened as the
    tracker says this one is, tells a depth by how long it is in the picture; the median counts. Of
    the ways tried (least squares over the five points, perspective-n-point, the bones of all
    fingers) this is the one into which moving fingers leak least.
    """
    pixels, metres = state.pixels(), state.metres()
    flat = pixels[list(PALM)]
    middle = flat.mean(axis=0)
    known = _lengths(np.asarray(person.palm))  # (10,) m
    solid = metres[list(PALM)]
    # Edge on, the quotient means nothing, but it is one.
    shown = np.maximum(_lengths(solid[:, :2]) / np.maximum(_lengths(solid), 1e-6), 0.05)
    depth = np.median(FOCAL * state.width * known * shown / np.maximum(_lengths(flat), 1e-3))
    across = pixels[PINKY_ROOT] - pixels[INDEX_ROOT]
    return HandPose(
        offset=(middle - (state.width / 2, state.height / 2)) / (FOCAL * state.width),
        depth=float(np.clip(depth, 0.1, 3.0)),
        roll=float(np.arctan2(across[1], across[0])),
        pinch=pinch_of(state),
    )


def _lengths(points: Vector) -> Vector:
    """Returns how long the lines between points (5, k) are, (10,)."""
    first, second = _LINES
    lengths: Vector = np.linalg.norm(points[first] - points[second], axis=1)
    return lengths
