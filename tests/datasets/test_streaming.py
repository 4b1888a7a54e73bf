"""What is decoded on the fly is what the cache would hold, each step once an epoch."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from demoloop.datasets import (
    Batch,
    DatasetError,
    DatasetWriter,
    Episode,
    StreamingView,
    open_cache,
    open_dataset,
    open_numbers,
)
from demoloop.robot import RobotSpec

SIZE = (16, 24)
STEP = 2 * 16 * 24 * 3  # bytes
LENGTHS = (5, 6, 7, 30)


@pytest.fixture
def data(root: Path, spec: RobotSpec, make_episode: Callable[..., Episode]) -> Path:
    """Four episodes, 48 steps."""
    with DatasetWriter(root, spec) as writer:
        writer.add(make_episode(4, 30))
    return root


def view(
    data: Path,
    batch_size: int = 4,
    seed: int = 0,
    buffer_steps: int = 20,
    weights: Sequence[float] | None = None,
    episodes: Sequence[int] | None = None,
) -> StreamingView:
    dataset = open_dataset(data)
    numbers = open_numbers(dataset)
    if weights is not None:
        numbers = replace(numbers, weights=np.array(weights))
    return StreamingView(
        dataset, numbers, SIZE, 4, batch_size, seed,
        episodes=episodes, buffer_bytes=buffer_steps * STEP,
    )  # fmt: skip


def draw(stream: StreamingView, count: int, start: int = 0) -> list[Batch]:
    stream.restore(start)
    with stream:
        return list(islice(stream, count))


def same(ours: Batch, theirs: Batch) -> bool:
    return torch.equal(ours.index, theirs.index) and all(
        torch.equal(ours.images[camera], theirs.images[camera]) for camera in ours.images
    )


@pytest.mark.parametrize("buffer_steps", [1, 20, 1000])
def test_a_batch_is_what_the_cache_would_give(data: Path, buffer_steps: int) -> None:
    cache = open_cache(open_dataset(data), SIZE, progress=False)
    for batch in draw(view(data, buffer_steps=buffer_steps), 15):
        rows = cache.rows[batch.index.numpy()]
        for camera, images in batch.images.items():
            np.testing.assert_array_equal(images.numpy(), cache.images[camera][rows])
        np.testing.assert_array_equal(batch.actions[:, 0], cache.actions[batch.index])
        np.testing.assert_array_equal(batch.proprioception, cache.proprioception[batch.index])


@pytest.mark.parametrize(("batch_size", "count"), [(1, 48), (7, 48), (16, 3), (72, 2)])
@pytest.mark.parametrize("buffer_steps", [1, 20, 1000])
def test_every_step_is_drawn_once_an_epoch(
    data: Path, batch_size: int, count: int, buffer_steps: int
) -> None:
    batches = draw(view(data, batch_size, buffer_steps=buffer_steps), count)
    drawn = np.concatenate([batch.index.numpy() for batch in batches])
    assert (np.bincount(drawn, minlength=48) == batch_size * count // 48).all()


@pytest.mark.parametrize("done", [1, 5, 12, 17])
def test_a_restored_stream_goes_on_to_the_bit(data: Path, done: int) -> None:
    assert all(map(same, draw(view(data), 6, start=done), draw(view(data), done + 6)[done:]))


def test_restoring_while_running_goes_back(data: Path) -> None:
    with view(data) as stream:
        first = next(stream)
        next(stream)
        stream.restore(0)
        assert same(next(stream), first)
        assert stream.state() == 1


def test_another_seed_and_another_epoch_have_another_order(data: Path) -> None:
    one, two = draw(view(data), 24), draw(view(data, seed=1), 12)
    assert any(not torch.equal(a.index, b.index) for a, b in zip(one, two, strict=False))
    assert any(not torch.equal(a.index, b.index) for a, b in zip(one, one[12:], strict=False))


def test_a_small_buffer_still_mixes_episodes(data: Path) -> None:
    starts = np.cumsum([0, *LENGTHS])
    mixed = [
        len(set(np.searchsorted(starts, batch.index.numpy(), side="right")))
        for batch in draw(view(data), 12)
    ]
    assert sum(count > 1 for count in mixed) >= 6


def test_weights_count_in_a_stream_too(data: Path) -> None:
    batches = draw(view(data, 48, weights=(1.0, 0.0, 4.0, 0.5), buffer_steps=1000), 20)
    counts = np.bincount(np.concatenate([b.index.numpy() for b in batches]), minlength=48) / 20
    share = np.repeat([1.0, 0.0, 4.0, 0.5], LENGTHS)
    expected = 48 * share / share.sum()
    np.testing.assert_allclose(counts, expected, atol=0.5)
    assert (counts[5:11] == 0).all()


def test_only_the_chosen_episodes_are_drawn(data: Path) -> None:
    drawn = np.concatenate([b.index.numpy() for b in draw(view(data, episodes=(0, 2)), 12)])
    assert set(drawn) == {*range(5), *range(11, 18)}


def test_memory_holds_no_more_than_the_buffer(data: Path) -> None:
    with view(data, buffer_steps=20) as stream:
        for _ in range(24):
            next(stream)
            held = sum(len(pool.steps) for pool in list(stream._pools.values()))
            assert held <= 20 + 2 * 3  # a pool may end with the piece that fills it


def test_chosen_steps_are_decoded_on_the_spot(data: Path) -> None:
    cache = open_cache(open_dataset(data), SIZE, progress=False)
    batch = view(data).windows(np.array([40, 3, 3]))
    assert batch.index.tolist() == [3, 3, 40]
    np.testing.assert_array_equal(
        batch.images["wrist"], cache.images["wrist"][cache.rows[[3, 3, 40]]]
    )


def test_nothing_is_written_beside_the_dataset(data: Path) -> None:
    before = sorted(data.rglob("*"))
    draw(view(data), 3)
    assert sorted(data.rglob("*")) == before


def test_leaving_the_block_ends_the_threads(data: Path) -> None:
    before = threading.active_count()
    draw(view(data), 3)
    assert threading.active_count() == before


def test_a_video_that_is_gone_reaches_the_caller_as_a_sentence(data: Path) -> None:
    stream = view(data)
    shutil.rmtree(data / "videos/observation.images.wrist")
    with pytest.raises(DatasetError, match="camera wrist"):
        draw(stream, 1)
