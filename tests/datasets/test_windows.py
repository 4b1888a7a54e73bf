"""Every step is drawn once an epoch, in a repeatable order, and no window leaves its episode."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from demoloop.datasets import DatasetError, TrainingCache, WindowSampler, open_cache, open_dataset
from demoloop.datasets.windows import Batch

LENGTHS = (5, 6, 7)


@pytest.fixture
def cache(root: Path) -> TrainingCache:
    return open_cache(open_dataset(root), (32, 48), progress=False)


def draw(
    cache: TrainingCache,
    count: int,
    *,
    seed: int = 0,
    batch_size: int = 4,
    start: int = 0,
    episodes: Sequence[int] | None = None,
) -> list[Batch]:
    sampler = WindowSampler(cache, 4, batch_size, seed, episodes=episodes)
    sampler.restore(start)
    with sampler:
        return list(islice(sampler, count))


def same(ours: Batch, theirs: Batch) -> bool:
    return all(
        torch.equal(a, b)
        for a, b in [
            (ours.index, theirs.index),
            (ours.actions, theirs.actions),
            (ours.is_pad, theirs.is_pad),
            (ours.proprioception, theirs.proprioception),
            *((ours.images[camera], theirs.images[camera]) for camera in ours.images),
        ]
    )


def test_a_window_holds_the_actions_from_its_step_on(cache: TrainingCache) -> None:
    for batch in draw(cache, 9):
        for row, step in enumerate(batch.index.tolist()):
            for k in range(4):
                if not batch.is_pad[row, k]:
                    expected = torch.from_numpy(cache.actions[step + k])
                    assert torch.equal(batch.actions[row, k], expected)


def test_padding_repeats_the_last_action_and_begins_at_the_episodes_end(
    cache: TrainingCache,
) -> None:
    ends = np.repeat(cache.episode_starts[1:], LENGTHS)
    for batch in draw(cache, 9):
        for row, step in enumerate(batch.index.tolist()):
            left = min(4, int(ends[step]) - step)
            assert batch.is_pad[row].tolist() == [False] * left + [True] * (4 - left)
            last = torch.from_numpy(cache.actions[ends[step] - 1])
            assert torch.equal(batch.actions[row, left:], last.expand(4 - left, -1))


def test_pictures_and_numbers_are_those_of_the_step(cache: TrainingCache) -> None:
    (batch,) = draw(cache, 1)
    for camera, images in batch.images.items():
        np.testing.assert_array_equal(
            images.numpy(), cache.images[camera][cache.rows[batch.index.numpy()]]
        )
    proprioception = cache.proprioception[batch.index.numpy()]
    np.testing.assert_array_equal(batch.proprioception.numpy(), proprioception)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 18, 50])
def test_every_step_is_drawn_once_per_epoch(cache: TrainingCache, batch_size: int) -> None:
    batches = draw(cache, 18, batch_size=batch_size)  # lcm: after 18 batches an epoch is full
    drawn = np.concatenate([batch.index.numpy() for batch in batches])
    assert (np.bincount(drawn, minlength=18) == batch_size).all()


def test_the_same_seed_draws_the_same(cache: TrainingCache) -> None:
    assert all(map(same, draw(cache, 12, seed=3), draw(cache, 12, seed=3)))


def test_another_seed_draws_another_order(cache: TrainingCache) -> None:
    ours, theirs = draw(cache, 12, seed=3), draw(cache, 12, seed=4)
    assert any(not torch.equal(a.index, b.index) for a, b in zip(ours, theirs, strict=True))


def test_epochs_have_different_orders(cache: TrainingCache) -> None:
    batches = draw(cache, 18, batch_size=6)
    assert any(
        not torch.equal(a.index, b.index) for a, b in zip(batches[:9], batches[9:], strict=True)
    )


@pytest.mark.parametrize("done", [1, 4, 5, 11])
def test_a_restored_stream_goes_on_to_the_bit(cache: TrainingCache, done: int) -> None:
    sampler = WindowSampler(cache, 4, 4, 0)
    with sampler:
        list(islice(sampler, done))
    assert all(map(same, draw(cache, 5, start=sampler.state()), draw(cache, done + 5)[done:]))


def test_restoring_while_running_discards_what_was_made_ahead(cache: TrainingCache) -> None:
    with WindowSampler(cache, 4, 4, 0) as sampler:
        first = next(sampler)
        next(sampler)
        sampler.restore(0)
        assert same(next(sampler), first)
        assert sampler.state() == 1


def weighted(cache: TrainingCache, *weights: float) -> TrainingCache:
    return replace(cache, weights=np.array(weights))


def test_equal_weights_change_nothing(cache: TrainingCache) -> None:
    doubled = weighted(cache, 2.0, 2.0, 2.0)
    assert all(map(same, draw(doubled, 12), draw(cache, 12)))


def test_steps_are_drawn_in_proportion_to_the_weight_of_their_episode(
    cache: TrainingCache,
) -> None:
    batches = draw(weighted(cache, 1.0, 0.5, 4.0), 200, batch_size=18)  # 200 epochs
    counts = np.bincount(np.concatenate([b.index.numpy() for b in batches]), minlength=18) / 200
    share = np.repeat([1.0, 0.5, 4.0], LENGTHS)
    expected = 18 * share / share.sum()
    # A share is rounded up or down each epoch: the mean of 200 has a deviation of 0.035 at most.
    np.testing.assert_allclose(counts, expected, atol=0.14)


def test_in_one_epoch_no_step_is_off_its_share_by_a_whole_draw(cache: TrainingCache) -> None:
    share = np.repeat([1.0, 0.5, 4.0], LENGTHS)
    expected = 18 * share / share.sum()
    for batch in draw(weighted(cache, 1.0, 0.5, 4.0), 20, batch_size=18):
        counts = np.bincount(batch.index.numpy(), minlength=18)
        assert (np.abs(counts - expected) < 1).all()


def test_weighted_draws_go_on_to_the_bit(cache: TrainingCache) -> None:
    heavy = weighted(cache, 1.0, 0.5, 4.0)
    assert all(map(same, draw(heavy, 5, start=7), draw(heavy, 12)[7:]))


def test_an_episode_of_weight_0_is_never_drawn(cache: TrainingCache) -> None:
    drawn = np.concatenate([b.index.numpy() for b in draw(weighted(cache, 1.0, 0.0, 1.0), 12)])
    assert set(drawn) == {*range(5), *range(11, 18)}


def test_only_the_chosen_episodes_are_drawn(cache: TrainingCache) -> None:
    drawn = np.concatenate([b.index.numpy() for b in draw(cache, 12, episodes=(0, 2))])
    assert set(drawn) == {*range(5), *range(11, 18)}


def test_indices_inside_a_batch_ascend(cache: TrainingCache) -> None:
    assert all((batch.index.diff() >= 0).all() for batch in draw(cache, 9))


def test_leaving_the_block_ends_the_thread(cache: TrainingCache) -> None:
    before = threading.active_count()
    with WindowSampler(cache, 4, 4, 0) as sampler:
        next(sampler)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_training_cannot_write_into_the_cache(cache: TrainingCache, root: Path) -> None:
    (batch,) = draw(cache, 1)
    before = np.array(cache.images["front"])
    batch.images["front"].fill_(7)
    cache.images["front"][:] = 9
    again = open_cache(open_dataset(root), (32, 48), progress=False)
    np.testing.assert_array_equal(again.images["front"], before)


def test_an_error_in_the_thread_reaches_the_caller(cache: TrainingCache) -> None:
    with WindowSampler(cache, 4, 4, 0) as sampler:
        sampler.restore(-1)  # there is no such batch: the number of its epoch would be negative
        with pytest.raises(ValueError):
            list(islice(sampler, 5))


def test_a_sampler_outside_its_block_says_so(cache: TrainingCache) -> None:
    with pytest.raises(DatasetError, match="inside `with`"):
        next(WindowSampler(cache, 4, 4, 0))


@pytest.mark.parametrize(
    ("horizon", "batch_size", "episodes"), [(0, 4, None), (4, 0, None), (4, 4, ())]
)
def test_an_empty_choice_is_refused(
    cache: TrainingCache, horizon: int, batch_size: int, episodes: Sequence[int] | None
) -> None:
    with pytest.raises(DatasetError):
        WindowSampler(cache, horizon, batch_size, 0, episodes=episodes)
