"""Cameras: dark, blown out, or showing the same picture while the arm moves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from demoloop.datasets.check.defect import Defect, still_stretches, stretches
from demoloop.datasets.check.signals import Signals

DARK = (0.95, 16)
"""Share of a picture, and grey level (0..255) that so much of it stays below."""

BRIGHT = (0.05, 245)  # likewise: all but so much of it lies above

LIGHT_S = 0.5  # for how long; a hand before a lens is no defect

SAME = 2.0
"""Grey levels by which no part of a picture may change: what encoding the same picture again
costs."""

SAME_S = 0.5
MOVED = 0.08
"""Of a joint's span, how far the arm must come meanwhile: 0.3 rad for most joints."""


def picture_defects(signals: Signals) -> Iterator[Defect]:
    """Everything that tiny grey pictures show."""
    for camera, pictures in signals.pictures.items():
        cells = pictures.reshape(len(pictures), -1)
        is_dark = np.quantile(cells, DARK[0], axis=1) < DARK[1]
        is_bright = np.quantile(cells, BRIGHT[0], axis=1) > BRIGHT[1]
        least = min(len(signals), signals.steps(LIGHT_S))
        for kind, mask, word in (
            ("dark camera", is_dark, "black"),
            ("blown-out camera", is_bright, "white"),
        ):
            for first, last in stretches(mask, least):
                sentence = f"{camera} shows nothing but {word} for {signals.seconds(first, last)}"
                yield signals.defect(kind, first, last, camera, sentence)
        for first, last in still_stretches(cells, SAME, signals.steps(SAME_S)):
            unseen = is_dark[first : last + 1].all() or is_bright[first : last + 1].all()
            taken = signals.image_times.get(camera)
            # That no new picture came is said already, in `capture_defects`.
            is_said = taken is not None and taken[first] == taken[last]
            moved = signals.movement(first, last)
            if moved >= MOVED and not unseen and not is_said:
                sentence = (
                    f"{camera} shows the same picture for {signals.seconds(first, last)} while "
                    f"a joint moves through {moved:.0%} of its range"
                )
                yield signals.defect("frozen camera", first, last, camera, sentence)
