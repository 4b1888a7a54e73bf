"""What the practice learns of a person's hand, kept in a small file: its shape and its pinch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta

from demoloop.teleop.errors import TeleopError
from demoloop.teleop.hand_state import PALM, Vector

Metres: TypeAlias = Annotated[float, Meta(ge=-0.3, le=0.3)]
PalmPoints: TypeAlias = Annotated[
    tuple[tuple[Metres, Metres, Metres], ...],
    Meta(min_length=len(PALM), max_length=len(PALM)),
]
# Wrist and finger roots of an open hand, about their middle; the mean of 13 looks at one hand.
_PALM: PalmPoints = (
    (0.0345, 0.0589, -0.0114),
    (0.0209, -0.0321, 0.0083),
    (-0.0037, -0.0227, 0.0100),
    (-0.0216, -0.0112, 0.0016),
    (-0.0301, 0.0071, -0.0085),
)
NARROWEST = 0.2
"""Palm lengths between closed and open: with less, noise would work the gripper."""


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person's hand; the defaults are an adult's."""

    palm: PalmPoints = _PALM  # m, of an open hand, in any pose: wrist, then four finger roots
    pinch_closed: Annotated[float, Meta(ge=0.0, le=1.5)] = 0.2  # palm lengths between the tips
    pinch_open: Annotated[float, Meta(ge=0.0, le=1.5)] = 1.0

    def __post_init__(self) -> None:
        if not self.pinch_open - self.pinch_closed >= NARROWEST:
            raise ValueError(
                f"the pinch is closed at {self.pinch_closed:.2f} and open at "
                f"{self.pinch_open:.2f} palm lengths, expected at least {NARROWEST} between them"
            )

    def opening(self, pinch: float) -> float:
        """Returns the gripper's opening (0 .. 1) that a pinch [palm lengths] means."""
        share = (pinch - self.pinch_closed) / (self.pinch_open - self.pinch_closed)
        return float(np.clip(share, 0.0, 1.0))


def person_file() -> Path:
    """`~/.config/demoloop/hand.json`, or below $XDG_CONFIG_HOME."""
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "demoloop" / "hand.json"


def load_person(path: Path) -> Person:
    """Returns who practised last; the usual hand where nobody has.

    Raises:
        TeleopError: The file is damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Person)
    except FileNotFoundError:
        return Person()
    except OSError as error:
        raise TeleopError(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise TeleopError(f"{path} is damaged ({error}); remove it and practise again") from error


def save_person(path: Path, person: Person) -> None:
    """Keeps a person's hand, whole or not at all; raises TeleopError when there is no room."""
    beside = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(person)))
        os.replace(beside, path)
    except OSError as error:
        raise TeleopError(f"{path} cannot be written: {error.strerror}") from error


def palm_of(looks: list[Vector]) -> PalmPoints:
    """Returns the palm (5, 3) [m] that several looks (21, 3) at an open hand have in common."""
    points = [look[list(PALM)] - look[list(PALM)].mean(axis=0) for look in looks]
    mean = np.mean([rotation_onto(palm, points[0]) @ palm.T for palm in points], axis=0).T
    x, y, z = mean.T.tolist()
    return tuple(zip(x, y, z, strict=True))


def rotation_onto(points: Vector, others: Vector) -> Vector:
    """Returns the rotation (3, 3) that brings `points` (n, 3) nearest to `others`, both centred.

    Kabsch 1976, "A solution for the best rotation to relate two sets of vectors".
    """
    left, _, right = np.linalg.svd(others.T @ points)
    mirror = np.sign(np.linalg.det(left @ right))
    rotation: Vector = left @ np.diag([1.0, 1.0, mirror]) @ right
    return rotation
