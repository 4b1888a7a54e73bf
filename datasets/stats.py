"""Exact statistics that can be merged, and their lerobot layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]
NestedStats: TypeAlias = dict[str, list[object]]
"""LeRobot's way to say it: statistic -> nested list."""

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
STATISTICS = ("min", "max", "mean", "std", "count", *QUANTILES)


@dataclass(frozen=True)
class FeatureStats:
    """What the values of one feature look like, one number per dimension, float64.

    The standard deviation is kept as the sum of squared distances from the mean: the difference
    of E[x^2] and E[x]^2 cancels to nothing for a joint that hardly moves.
    """

    count: int  # samples
    mean: Vector  # (D,)
    squares: Vector  # (D,) sum over the samples of (x - mean)^2
    low: Vector  # (D,)
    high: Vector  # (D,)
    quantiles: Vector  # (5, D) in the order of QUANTILES

    @property
    def std(self) -> Vector:
        """Population standard deviation, (D,)."""
        return np.sqrt(self.squares / self.count)

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> FeatureStats:
        """Returns the statistics of (N, D) samples, exact but for float64 rounding."""
        wide = values.astype(np.float64)
        mean = wide.mean(axis=0)
        # A second pass takes out what rounding left in the first mean.
        mean = mean + (wide - mean).mean(axis=0)
        return cls(
            count=len(wide),
            mean=mean,
            squares=np.square(wide - mean).sum(axis=0),
            low=wide.min(axis=0),
            high=wide.max(axis=0),
            quantiles=np.quantile(wide, list(QUANTILES.values()), axis=0),
        )

    def merge(self, other: FeatureStats) -> FeatureStats:
        """Returns the statistics of both sets of samples.

        Mean and deviation by Chan, Golub and LeVeque 1979 (eq. 2.1), exact. Quantiles cannot be
        merged exactly: they become the mean of both, weighted by count, as in lerobot.
        """
        count = self.count + other.count
        share = other.count / count
        apart = other.mean - self.mean
        return FeatureStats(
            count=count,
            mean=self.mean + apart * share,
            squares=self.squares + other.squares + np.square(apart) * (self.count * share),
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
            quantiles=self.quantiles + (other.quantiles - self.quantiles) * share,
        )


class ImageStats:
    """Gathers the statistics of RGB in [0, 1], D = 3 channels, picture by picture.

    Counted in a histogram of the 256 values, so memory does not grow with the pictures; one
    picture in `EVERY` is looked at, and of a big one some of its pixels: what a network is
    normalised by is settled by a few thousand of them.
    """

    EVERY = 10
    PIXELS = 20_000

    def __init__(self) -> None:
        self._hist = np.zeros((256, 3), np.int64)
        self._seen = self._looked_at = 0

    def add(self, image: NDArray[np.uint8]) -> None:
        """Takes in one (height, width, 3) picture."""
        if self._seen % self.EVERY == 0:
            stride = max(1, math.isqrt(image.shape[0] * image.shape[1] // self.PIXELS))
            some = image[::stride, ::stride]
            for channel in range(3):
                self._hist[:, channel] += np.bincount(some[..., channel].ravel(), minlength=256)
            self._looked_at += 1
        self._seen += 1

    def stats(self) -> FeatureStats:
        """Returns the statistics so far; `count` is pictures looked at, as in lerobot."""
        levels = np.arange(256) / 255.0
        share = self._hist / self._hist.sum(axis=0)  # (256, 3)
        mean = levels @ share
        cumulative = np.cumsum(share, axis=0)
        seen = self._hist > 0
        squares = np.sum(share * np.square(levels[:, None] - mean), axis=0)
        return FeatureStats(
            count=self._looked_at,
            mean=mean,
            squares=squares * self._looked_at,
            low=levels[seen.argmax(axis=0)],
            high=levels[255 - seen[::-1].argmax(axis=0)],
            quantiles=np.stack(
                [levels[(cumulative >= q - 1e-12).argmax(axis=0)] for q in QUANTILES.values()]
            ),
        )


def to_lerobot(stats: FeatureStats, *, is_image: bool) -> NestedStats:
    """Returns lerobot's {statistic: nested list}; pictures have shape (3, 1, 1)."""
    vectors = {
        "min": stats.low,
        "max": stats.high,
        "mean": stats.mean,
        "std": stats.std,
        **dict(zip(QUANTILES, stats.quantiles, strict=True)),
    }
    shape = (-1, 1, 1) if is_image else (-1,)
    nested: NestedStats = {name: vector.reshape(shape).tolist() for name, vector in vectors.items()}
    nested["count"] = [stats.count]
    return {name: nested[name] for name in STATISTICS}


def from_lerobot(nested: Mapping[str, object]) -> FeatureStats:
    """Reads what `to_lerobot` returned."""
    vectors = {name: np.array(value, np.float64).reshape(-1) for name, value in nested.items()}
    count = int(vectors["count"][0])
    if count < 1 or len({len(v) for name, v in vectors.items() if name != "count"}) != 1:
        raise ValueError("statistics of no values, or of different numbers of dimensions")
    return FeatureStats(
        count=count,
        mean=vectors["mean"],
        squares=np.square(vectors["std"]) * count,
        low=vectors["min"],
        high=vectors["max"],
        quantiles=np.stack([vectors[name] for name in QUANTILES]),
    )
