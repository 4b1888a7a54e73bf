"""Where a hand is before the camera, how it is turned, and how its fingers move."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
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
_NEAREST, _FARTHEST = 0.1, 3.0  # m


@dataclass(frozen=True)
class HandPose:
    """One look, measured. Camera axes: x right in the picture, y down, z away."""

    offset: Vector  # (2,) of the palm's middle from that of the picture, in focal lengths
    depth: float  # m from the camera
    roll: float  # rad, of the line from index to pinky root, clockwise in the picture
    pinch: float  # palm lengths


def measure(state: HandState, person: Person) -> HandPose:
    """Measures a hand, by a pin-hole camera and the person's palm.

    The palm as the tracker says it is bent and turned, made as large as the person's, is put where
    the picture shows it: Terzakis, Lourakis 2020, "A consistently fast and globally optimal
    solution to the perspective-n-point problem". Of the ways tried (least squares over the five
    points, the person's stiff palm, lines between them, the bones of all fingers) moving fingers
    leak least into it.
    """
    pixels = state.pixels()
    flat, solid = pixels[list(PALM)], state.metres()[list(PALM)]
    solid = solid - solid.mean(axis=0)
    large = np.linalg.norm(person.palm) / max(float(np.linalg.norm(solid)), 1e-6)
    seen = (flat - (state.width / 2, state.height / 2)) / (FOCAL * state.width)
    across = pixels[PINKY_ROOT] - pixels[INDEX_ROOT]
    return HandPose(
        offset=seen.mean(axis=0),
        depth=_depth(solid * large, seen),
        roll=float(np.arctan2(across[1], across[0])),
        pinch=pinch_of(state),
    )


def _depth(palm: Vector, seen: Vector) -> float:
    """Returns how far [m] `palm` (5, 3) [m] is that is `seen` (5, 2) focal lengths off."""
    try:
        _, _, place = cv2.solvePnP(palm, seen, np.eye(3), None, flags=cv2.SOLVEPNP_SQPNP)
    except cv2.error:
        place = None
    if place is None or not np.isfinite(place[2, 0]):  # no hand looks so: all points in one
        return _FARTHEST
    return float(np.clip(place[2, 0], _NEAREST, _FARTHEST))
