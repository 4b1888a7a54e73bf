"""Clocks: steps and pictures that came late, twice, in the wrong order, or at another time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from demoloop.datasets.check.defect import Defect, stretches
from demoloop.datasets.check.signals import Signals, Values

LATE = (3.0, 0.1)
"""A step, or a new picture, that takes longer than both so many periods and so many seconds."""

WRONG_RATE = 0.1  # share by which the usual step may be longer or shorter than the frame rate says
UNEVEN = (0.5, 0.1)
"""Share of a period by which a step may be off, and share of steps that may be more."""

FROZEN_S = 0.5  # without a new picture for so long, a camera has stopped
LOST = 0.01  # share of pictures that a recording may lose before it is worth a word

TOO_OLD = (3.0, 0.1)
"""Periods and seconds: a picture that is older than both when the joints are read."""

TOO_NEW_S = 0.05  # a camera asked after the joints may be so much younger
SKEW_S = 0.5  # how long it must last


def clock_defects(signals: Signals) -> Iterator[Defect]:
    """The times at which the joints were read."""
    if not signals.has_clock or len(signals) < 2:
        return
    if not np.isfinite(signals.time).all():
        yield signals.defect("not a number", 0, len(signals) - 1, "", "the time is not a number")
        return
    taken, period = np.diff(signals.time), 1.0 / signals.fps
    for first, last in stretches(taken <= 0):
        sentence = f"time stands still or goes back by {-taken[first]:.3f} s"
        yield signals.defect("clock", first, last + 1, "", sentence)
    for first, last in stretches(taken > max(LATE[0] * period, LATE[1])):
        sentence = f"a step took {taken[first : last + 1].max():.3f} s instead of {period:.3f} s"
        yield signals.defect("late step", first, last + 1, "", sentence)
    usual = float(np.median(taken))
    if len(taken) < signals.steps(1.0):
        return
    if abs(usual - period) > WRONG_RATE * period:
        sentence = f"steps come every {usual:.4f} s, the dataset says {period:.4f} s"
        yield signals.defect("wrong rate", 0, len(signals) - 1, "", sentence)
        return
    off = float((np.abs(taken - period) > UNEVEN[0] * period).mean())
    if off > UNEVEN[1]:
        sentence = f"{off:.0%} of the steps are off by more than half a period of {period:.3f} s"
        yield signals.defect("uneven steps", 0, len(signals) - 1, "", sentence)


def capture_defects(signals: Signals) -> Iterator[Defect]:
    """The times at which the pictures were taken, and what the recorder counted as lost."""
    for camera, lost in signals.info.drops.items():
        if lost > LOST * signals.info.recorded_length:
            sentence = f"the recorder lost {lost} pictures of {camera}"
            yield signals.defect("drops", 0, len(signals) - 1, camera, sentence)
    for camera, taken in signals.image_times.items():
        if not np.isfinite(taken).all():
            sentence = f"capture times of {camera} are not numbers"
            yield signals.defect("not a number", 0, len(signals) - 1, camera, sentence)
            continue
        yield from _gaps(signals, camera, taken)
        yield from _ages(signals, camera, taken)


def _gaps(signals: Signals, camera: str, taken: Values) -> Iterator[Defect]:
    for first, last in stretches(np.diff(taken) < 0):
        sentence = f"capture times of {camera} go back by {taken[first] - taken[first + 1]:.3f} s"
        yield signals.defect("clock", first, last + 1, camera, sentence)
    fresh = np.flatnonzero(np.concatenate([[True], np.diff(taken) > 0]))
    if len(fresh) < 2:
        between = np.array([], np.float64)
        usual = 1.0 / signals.fps
    else:
        between = np.diff(taken[fresh])
        usual = max(float(np.median(between)), 1.0 / signals.fps)
    late = max(LATE[0] * usual, LATE[1])
    # After the last new picture nothing follows that could say how long it lasted: count steps.
    ends = [*fresh[1:].tolist(), len(signals)]
    lasted = [*between.tolist(), (len(signals) - int(fresh[-1])) / signals.fps]
    for first, stop, seconds in zip(fresh.tolist(), ends, lasted, strict=True):
        # Where each step has a picture of its own it was the step that was late, not the camera.
        if seconds > late and stop - first > 1:
            kind = "frozen camera" if seconds >= FROZEN_S else "drops"
            sentence = f"{camera} took no new picture for {seconds:.2f} s"
            yield signals.defect(kind, first, stop - 1, camera, sentence)


def _ages(signals: Signals, camera: str, taken: Values) -> Iterator[Defect]:
    """Old or too new when the joints were read; a repeated picture is another defect."""
    if not signals.has_clock or not np.isfinite(signals.time).all():
        return
    is_fresh = np.concatenate([[True], np.diff(taken) != 0])
    latest = np.maximum.accumulate(np.where(is_fresh, np.arange(len(taken)), 0))
    age = (signals.time - taken)[latest]
    limit = max(TOO_OLD[0] / signals.fps, TOO_OLD[1])
    for first, last in stretches((age > limit) | (age < -TOO_NEW_S), signals.steps(SKEW_S)):
        typical = float(np.median(age[first : last + 1]))
        order = "before" if typical > 0 else "after"
        sentence = f"{camera} was taken {abs(typical):.3f} s {order} the joints were read"
        yield signals.defect("time skew", first, last, camera, sentence)
