"""Which seeds are for what. Nobody trains on an episode that anybody is judged by."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from demoloop.sim.errors import SimError

EVALUATION_SEEDS = range(0, 5_000)
"""Success is reported on these, counted from 0."""
VALIDATION_SEEDS = range(5_000, 10_000)
"""For the curve of a training run and for choosing settings."""
FIRST_TRAINING_SEED = 10_000
"""Demonstrations are recorded from here upwards."""


def check_training_seeds(seeds: Iterable[int]) -> None:
    """Raises SimError for a seed that is kept for judging."""
    for seed in seeds:
        if seed < FIRST_TRAINING_SEED:
            raise SimError(
                f"seed {seed} is kept for judging; record demonstrations with seeds from "
                f"{FIRST_TRAINING_SEED} upwards"
            )


def check_evaluation_seeds(seeds: Collection[int]) -> None:
    """Raises SimError for a seed that demonstrations are recorded with, or when there is none."""
    if not seeds:
        raise SimError("no seed to judge on; ask for at least one episode")
    for seed in seeds:
        if not 0 <= seed < FIRST_TRAINING_SEED:
            raise SimError(
                f"seed {seed} is not for judging; evaluate on seeds 0 to {FIRST_TRAINING_SEED - 1}"
            )
