"""The statistics a policy normalises by, taken over the training cache in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets import TrainingCache
from demoloop.policies.policy import TrainingRanges

_FLOOR = 0.01
"""Least spread to divide by [rad or opening]: half a degree, what a servo holds at best. A joint
that never moved would otherwise turn its encoder's noise into the loudest input of all."""


def training_ranges(
    cache: TrainingCache, episodes: NDArray[np.int64], horizon: int, *, is_relative: bool
) -> TrainingRanges:
    """Takes mean and standard deviation over the frames of `episodes`.

    Args:
        cache: Where the frames are.
        episodes: Numbers of the training episodes within the cache.
        horizon: Steps in a chunk; each step ahead has statistics of its own.
        is_relative: Whether actions are counted from the present positions.
    """
    ahead, real, now = [], [], []
    for episode in episodes:
        start, stop = cache.episode_starts[episode : episode + 2]
        frames = np.arange(start, stop)
        steps = frames[:, None] + np.arange(horizon)  # (T, horizon)
        now.append(frames)
        real.append(steps < stop)
        ahead.append(np.minimum(steps, stop - 1))
    frames = np.concatenate(now)
    proprioception = np.asarray(cache.proprioception[frames], np.float64)  # (N, P)
    chunks = np.asarray(cache.actions, np.float64)[np.concatenate(ahead)]  # (N, horizon, A)
    if is_relative:
        chunks = chunks - proprioception[:, None, : chunks.shape[-1]]
    weight = np.concatenate(real)[..., None]  # (N, horizon, 1)
    count = np.maximum(weight.sum(0), 1)
    mean = (chunks * weight).sum(0) / count  # (horizon, A)
    variance = ((chunks - mean) ** 2 * weight).sum(0) / count
    return TrainingRanges(
        proprioception_mean=proprioception.mean(0).astype(np.float32),
        proprioception_std=np.maximum(proprioception.std(0), _FLOOR).astype(np.float32),
        action_mean=mean.astype(np.float32),
        action_std=np.maximum(np.sqrt(variance), _FLOOR).astype(np.float32),
    )
