"""The one-euro filter: still things stand still, quick things are not late."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_RATE_CUTOFF_HZ = 1.0  # the paper's value


class OneEuro:
    """Casiez, Roussel, Vogel 2012, "1 Euro Filter", algorithm 1, each number of a vector by itself.

    A low-pass whose cutoff grows with speed: `min_cutoff + beta * |speed|` [Hz].
    """

    def __init__(self, min_cutoff: float, beta: float) -> None:
        """Stores; `min_cutoff` [Hz] steadies, `beta` [Hz per unit/s] keeps up."""
        self._min_cutoff, self._beta = min_cutoff, beta
        self.reset()

    def reset(self) -> None:
        """Begins anew with the next value."""
        self._value: Vector | None = None
        self._raw: Vector | None = None
        self._rate: Vector = np.zeros(0)
        self._time = 0.0

    def __call__(self, raw: Vector, time: float) -> Vector:
        """Returns what `raw` (n,), seen at `time` [s], is made to."""
        if self._value is None or self._raw is None:
            self._value, self._raw, self._time = raw.copy(), raw.copy(), time
            self._rate = np.zeros_like(raw)
            return self._value
        dt = time - self._time
        if dt <= 0:  # the same picture again
            return self._value
        self._rate += _alpha(_RATE_CUTOFF_HZ, dt) * ((raw - self._raw) / dt - self._rate)
        cutoff = self._min_cutoff + self._beta * np.abs(self._rate)
        self._value = self._value + _alpha(cutoff, dt) * (raw - self._value)
        self._raw, self._time = raw.copy(), time
        return self._value


def _alpha(cutoff: Vector | float, dt: float) -> Vector:
    return np.asarray(1.0 / (1.0 + 1.0 / (2 * np.pi * np.asarray(cutoff) * dt)))
