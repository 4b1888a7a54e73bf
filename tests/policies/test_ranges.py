"""Laws of what a policy normalises by: plain statistics of the training episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demoloop.datasets import TrainingCache, open_cache, open_dataset
from demoloop.policies.ranges import training_ranges

HORIZON = 4


@pytest.fixture(scope="module")
def cache(data: Path) -> TrainingCache:
    return open_cache(open_dataset(data), (8, 8), progress=False)


def windows(cache: TrainingCache, episodes: list[int], step: int) -> np.ndarray:
    """(N, 3): where the arm went `step` steps ahead, from where it was; the slow, plain way."""
    found = []
    for episode in episodes:
        start, stop = cache.episode_starts[episode : episode + 2]
        for t in range(start, stop - step):
            found.append(cache.actions[t + step].astype(float) - cache.proprioception[t, :3])
    return np.array(found)


@pytest.mark.parametrize("episodes", [[0, 1, 2], [1]])
def test_actions_are_normalised_per_step_ahead_over_real_steps(
    cache: TrainingCache, episodes: list[int]
) -> None:
    ranges = training_ranges(cache, np.array(episodes), HORIZON, is_relative=True)
    for step in range(HORIZON):
        ahead = windows(cache, episodes, step)
        # float32 of what was reckoned in float64.
        np.testing.assert_allclose(ranges.action_mean[step], ahead.mean(0), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(
            ranges.action_std[step], np.maximum(ahead.std(0), 0.01), rtol=1e-5
        )


def test_absolute_actions_are_not_counted_from_the_joints(cache: TrainingCache) -> None:
    ranges = training_ranges(cache, np.arange(3), 1, is_relative=False)
    np.testing.assert_allclose(ranges.action_mean[0], cache.actions.mean(0), rtol=1e-5)
    np.testing.assert_allclose(ranges.action_std[0], cache.actions.std(0), rtol=1e-5)


def test_proprioception_is_normalised_over_the_training_episodes_alone(
    cache: TrainingCache,
) -> None:
    ranges = training_ranges(cache, np.array([1]), HORIZON, is_relative=True)
    seen = cache.proprioception[cache.episode_starts[1] : cache.episode_starts[2]].astype(float)
    np.testing.assert_allclose(ranges.proprioception_mean, seen.mean(0), rtol=1e-5)
    np.testing.assert_allclose(ranges.proprioception_std, seen.std(0), rtol=1e-5)


def still(num_episodes: int, steps: int) -> TrainingCache:
    """An arm that never moved."""
    total = num_episodes * steps
    return TrainingCache(
        view_hash="still",
        images={},
        rows=np.arange(total),
        proprioception=np.full((total, 6), 0.3, np.float32),
        actions=np.full((total, 3), 0.3, np.float32),
        episode_starts=np.arange(0, total + 1, steps),
        success=np.ones(num_episodes, np.int8),
        weights=np.ones(num_episodes),
    )


def test_joint_that_never_moved_is_divided_by_half_a_degree() -> None:
    ranges = training_ranges(still(2, 5), np.arange(2), HORIZON, is_relative=True)
    assert (ranges.proprioception_std == np.float32(0.01)).all()
    assert (ranges.action_std == np.float32(0.01)).all()
    assert (ranges.action_mean == 0).all()


def test_step_ahead_that_no_episode_reaches_has_finite_ranges() -> None:
    ranges = training_ranges(still(2, 2), np.arange(2), HORIZON, is_relative=True)
    assert np.isfinite(ranges.action_mean).all()
    assert (ranges.action_std > 0).all()
