"""What a dataset offers to learn from: the shape of the policy, and the episodes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets import Dataset, TrainingCache
from demoloop.policies.errors import PolicyError
from demoloop.policies.policy import PolicyShape
from demoloop.policies.train_config import TrainConfig


def policy_shape(config: TrainConfig, dataset: Dataset) -> PolicyShape:
    """Reads off the dataset what the network must fit."""
    spec = dataset.spec
    names = dataset.proprioception_names
    return PolicyShape(
        spec=spec,
        proprioception_dim=len(names),
        horizon=config.horizon,
        image_size=config.image_size,
        is_relative=names[: spec.action_dim] == spec.position_names,
        marks=dataset.marks,
    )


def training_episodes(config: TrainConfig, cache: TrainingCache) -> NDArray[np.int64]:
    """Returns the numbers of the episodes to train on, within the cache."""
    total = len(cache.episode_starts) - 1
    missing = sorted(set(config.held_out) - set(range(total)))
    if missing:
        raise PolicyError(
            f"--held-out {', '.join(map(str, missing))}: {config.data} has episodes 0 to "
            f"{total - 1}; hold out some of those"
        )
    is_good = (cache.success != 0) & (cache.weights > 0)
    kept = teachable(is_good.tolist(), config.held_out)
    kept = kept[: config.max_episodes]
    if not kept:
        raise PolicyError(
            f"no episode left to train on: {config.data} has {total} and all are held out, "
            "failed or of weight 0; hold out fewer, or record more"
        )
    return np.array(kept, np.int64)


def teachable(is_good: Sequence[bool], held_out: Collection[int]) -> list[int]:
    """Returns the episodes to learn from: those neither held out, nor failed, nor of weight 0.

    Args:
        is_good: Of each episode, whether it succeeded or nobody judged, and has a weight.
        held_out: Numbers of those to leave out in any case.
    """
    return [number for number, good in enumerate(is_good) if good and number not in held_out]
