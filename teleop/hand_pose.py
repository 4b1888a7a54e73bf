"""Where a hand is before the camera, how it is turned, and how its fingers move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demoloop.teleop.hand_state import (
    INDEX_ROOT,
    MIDDLE_ROOT,
    PALM,
    PINKY_ROOT,
    WRIST,
    HandState,
    Vector,
    pinch_of,
)
from demoloop.teleop.person import Person, rotation_onto

FOCAL = 0.866
"""Focal length in picture widths: a webcam sees about 60 degrees. An error here is one of gain."""
_TIPS = [4, 8, 12, 16, 20]


@dataclass(frozen=True)
class HandPose:
    """One look, measured. Camera axes: x right in the picture, y down, z away."""

    offset: Vector  # (2,) of the palm's middle from that of the picture, in focal lengths
    depth: float  # m from the camera
    roll: float  # rad, of the line from index to pinky root, clockwise in the picture
    pinch: float  # palm lengths
    reach: Vector  # (5,) of the finger tips from the wrist, in palm lengths


def measure(state: HandState, person: Person) -> HandPose:
    """Measures a hand, by a pin-hole camera and the person's palm.

    The palm as it is known is turned as the tracker says this one is, and compared with the
    picture (weak perspective, least squares over five points): of six ways tried, the one into
    which moving fingers leak least.
    """
    pixels, metres = state.pixels(), state.metres()
    palm = np.asarray(person.palm)
    flat = pixels[list(PALM)]
    middle = flat.mean(axis=0)
    seen = metres[list(PALM)] - metres[list(PALM)].mean(axis=0)
    known = (rotation_onto(palm, seen) @ palm.T).T[:, :2]  # (5, 2) m
    # Edge on, or where the tracker contradicts itself, the quotient means nothing.
    agreement = max(float((known * (flat - middle)).sum()), 1e-6)
    depth = FOCAL * state.width * float((known * known).sum()) / agreement
    across = pixels[PINKY_ROOT] - pixels[INDEX_ROOT]
    length = max(float(np.linalg.norm(metres[MIDDLE_ROOT] - metres[WRIST])), 1e-6)
    return HandPose(
        offset=(middle - (state.width / 2, state.height / 2)) / (FOCAL * state.width),
        depth=float(np.clip(depth, 0.1, 3.0)),
        roll=float(np.arctan2(across[1], across[0])),
        pinch=pinch_of(state),
        reach=np.linalg.norm(metres[_TIPS] - metres[WRIST], axis=1) / length,
    )
