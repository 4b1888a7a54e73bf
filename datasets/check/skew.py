"""Time skew between camera and joints, from what is seen: does the picture move when the arm does?

The change of the picture is correlated with the speed of the joints at every shift of up to
0.6 s. A shift is only believed when it explains the pictures well, and much better than no
shift. Both are taken as logarithms: how much of a picture an arm covers varies more than how fast
it is. Both are differences over two steps, since a codec that codes every other picture anew
flickers at that rate.

The limits come from simulated episodes without any skew (409 of them, two cameras each). In short
ones a stereotyped movement fits many shifts. In those of 4 s and more (116 pairs of camera and
episode) no best shift of three steps or more that reached a correlation of 0.5 was better than
none by more than 0.19; averaged over the episodes of a dataset, 2 s and more each, none by more
than 0.13. benchmarks/check.py counts false alarms and what is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.check.defect import NO_EPISODE, Defect
from demoloop.datasets.check.signals import Signals

LARGEST_S = 0.6  # larger shifts are not looked for
LEAST_S, POOLED_LEAST_S = 4.0, 2.0
"""Shorter episodes say too little, alone or together with others."""

SMALLEST = 3  # steps; below, the servos' own delay cannot be told from the camera's
BELIEVED = 0.7  # correlation at the best shift
BETTER = 0.35  # than without shift

POOLED_BELIEVED, POOLED_BETTER = 0.5, 0.25
"""The same for the average of all episodes, of which there must be POOLED_LEAST."""

POOLED_LEAST = 10

SPEED_FLOOR = 2e-3  # of a joint's span in two steps: slower is noise
CHANGE_FLOOR = 0.5  # grey levels, likewise


class Correlogram(NamedTuple):
    """How well the picture of one camera fits the joints at every shift."""

    camera: str
    correlation: NDArray[np.float64]  # (2 K + 1,): shift -K .. K steps; positive: picture is late


def correlograms(signals: Signals) -> list[Correlogram]:
    """Returns one for each camera of an episode that is long enough and moves."""
    num_shifts = round(LARGEST_S * signals.fps)
    readings = [
        joint.readings / joint.span
        for joint in signals.joints
        if joint.readings is not None and joint.spec.unit != "opening" and joint.span > 0
    ]
    if not readings or len(signals) < signals.steps(POOLED_LEAST_S):
        return []
    places = np.stack(readings)  # (D, T)
    if not np.isfinite(places).all():
        return []
    speed = np.log(np.linalg.norm(places[:, 2:] - places[:, :-2], axis=0) + SPEED_FLOOR)  # (T - 2,)
    found = []
    for camera, pictures in signals.pictures.items():
        wide = pictures.astype(np.int16)
        change = np.log(np.abs(wide[2:] - wide[:-2]).mean(axis=(1, 2)) + CHANGE_FLOOR)  # (T - 2,)
        values = [_correlation(speed, change, k) for k in range(-num_shifts, num_shifts + 1)]
        found.append(Correlogram(camera, np.array(values)))
    return found


def skew_defects(signals: Signals, found: Sequence[Correlogram]) -> Iterator[Defect]:
    """An episode whose pictures are shifted beyond doubt."""
    if len(signals) < signals.steps(LEAST_S):
        return
    for camera, correlation in found:
        shift, best, unshifted = _best(correlation)
        if abs(shift) >= SMALLEST and best >= BELIEVED and best - unshifted >= BETTER:
            sentence = _sentence(camera, shift, signals.fps, best, unshifted)
            yield signals.defect("time skew", 0, len(signals) - 1, camera, sentence)


def pooled_skew(found: Sequence[Correlogram], fps: int) -> Iterator[Defect]:
    """A camera that is shifted in all episodes by the same, too little to be sure in each."""
    for camera in dict.fromkeys(each.camera for each in found):
        of_camera = [each.correlation for each in found if each.camera == camera]
        if len(of_camera) < POOLED_LEAST:
            continue
        shift, best, unshifted = _best(np.mean(of_camera, axis=0))
        is_sure = best >= POOLED_BELIEVED and best - unshifted >= POOLED_BETTER
        if abs(shift) >= SMALLEST and is_sure:
            sentence = "in all episodes, " + _sentence(camera, shift, fps, best, unshifted)
            yield Defect(NO_EPISODE, "", "time skew", 0, 0, camera, sentence)


def _best(correlation: NDArray[np.float64]) -> tuple[int, float, float]:
    middle = len(correlation) // 2
    best = int(correlation.argmax())
    return best - middle, float(correlation[best]), float(correlation[middle])


def _correlation(speed: NDArray[np.float64], change: NDArray[np.float64], shift: int) -> float:
    """Correlates speed[t] with change[t + shift] where both are."""
    stop = len(speed) - abs(shift)
    a, b = (speed[:stop], change[shift:]) if shift >= 0 else (speed[-shift:], change[:stop])
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0


def _sentence(camera: str, shift: int, fps: int, best: float, unshifted: float) -> str:
    order = "after" if shift > 0 else "before"
    return (
        f"{camera} moves {abs(shift) / fps:.3f} s {order} the joints do (correlation {best:.2f}, "
        f"unshifted {unshifted:.2f})"
    )
