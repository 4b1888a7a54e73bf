"""What is wrong in an episode, where, and how stretches of steps are found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_EPISODE = -1
"""Number of a defect that belongs to no single episode; its sentence names what it belongs to."""


@dataclass(frozen=True)
class Defect:
    """One fact about one stretch of an episode; no grade, no guess of how bad it is."""

    episode: int  # index in the folder, or NO_EPISODE
    uuid: str
    kind: str  # a word or two: "dead joint", "frozen camera"
    first_step: int  # of the steps that are kept, counted from 0
    last_step: int  # included
    joint_or_camera: str  # "" when it concerns neither
    sentence: str


def stretches(mask: NDArray[np.bool_], least: int = 1) -> list[tuple[int, int]]:
    """Returns (first, last) of each run of True that is at least `least` steps long."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [
        (int(first), int(stop) - 1)
        for first, stop in zip(edges[::2], edges[1::2], strict=True)
        if stop - first >= least
    ]


def still_stretches(
    values: NDArray[np.generic], tolerance: float, least: int
) -> list[tuple[int, int]]:
    """Returns (first, last) of runs whose values stay within `tolerance` of their first.

    Args:
        values: (T, ...) one look per step.
        tolerance: Largest difference of any element that still counts as the same.
        least: Runs shorter than this are left out [steps].
    """
    wide = values.reshape(len(values), -1).astype(np.float32)
    found, first = [], 0
    while first < len(wide):
        stop = first + 1
        while stop < len(wide):
            # Looks ahead a piece at a time: most runs are one step long, the others hundreds.
            piece = wide[stop : stop + max(1, stop - first)]
            moved = np.abs(piece - wide[first]).max(axis=1, initial=0) > tolerance
            if moved.any():
                stop += int(moved.argmax())
                break
            stop += len(piece)
        if stop - first >= least:
            found.append((first, stop - 1))
        first = stop
    return found
