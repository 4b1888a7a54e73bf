"""Statistics are exact, merge exactly, and keep lerobot's layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import numpy as np
import pytest

from demoloop.datasets.stats import (
    STATISTICS,
    FeatureStats,
    ImageStats,
    from_lerobot,
    to_lerobot,
)


def merge_all(stats: Sequence[FeatureStats]) -> FeatureStats:
    return reduce(FeatureStats.merge, stats)


@pytest.mark.parametrize(("mean", "std"), [(90.0, 0.01), (1000.0, 0.1), (0.0, 1.0), (-1e6, 1e-3)])
@pytest.mark.parametrize("parts", [1, 7, 500])
def test_std_of_a_joint_that_hardly_moves_is_right_to_1e_6(
    mean: float, std: float, parts: int
) -> None:
    values = np.random.default_rng(0).normal(mean, std, (10_000, 1))
    merged = merge_all([FeatureStats.of(part) for part in np.array_split(values, parts)])
    # The reference works on the distance from the mean, in extended precision.
    expected = (values.astype(np.longdouble) - np.longdouble(mean)).std()
    assert abs(merged.std[0] / expected - 1) < 1e-6


def test_merging_in_any_order_gives_the_same() -> None:
    rng = np.random.default_rng(1)
    parts = [FeatureStats.of(rng.normal(5, 2, (n, 3))) for n in (1, 10, 100, 1000)]
    forth, back = merge_all(parts), merge_all(parts[::-1])
    for name in ("mean", "std", "low", "high", "quantiles"):
        np.testing.assert_allclose(getattr(forth, name), getattr(back, name), rtol=1e-12)
    assert forth.count == back.count == 1111


def test_quantiles_of_an_episode_are_exact() -> None:
    values = np.random.default_rng(2).permutation(101.0 * np.arange(101))[:, None]
    np.testing.assert_allclose(
        FeatureStats.of(values).quantiles[:, 0], [101, 1010, 5050, 9090, 9999], rtol=1e-12
    )


def test_image_stats_equal_those_of_the_pixels() -> None:
    images = np.random.default_rng(3).integers(0, 256, (25, 16, 24, 3), dtype=np.uint8)
    gathered = ImageStats()
    for image in images:
        gathered.add(image)
    stats, pixels = gathered.stats(), images[[0, 10, 20]].reshape(-1, 3) / 255.0
    assert stats.count == 3
    np.testing.assert_allclose(stats.mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats.std, pixels.std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats.low, pixels.min(axis=0))
    np.testing.assert_allclose(stats.high, pixels.max(axis=0))
    inverted = np.quantile(pixels, [0.01, 0.1, 0.5, 0.9, 0.99], axis=0, method="inverted_cdf")
    np.testing.assert_allclose(stats.quantiles, inverted, rtol=1e-12)


@pytest.mark.parametrize("is_image", [False, True])
def test_lerobots_layout_reads_back(is_image: bool) -> None:
    stats = FeatureStats.of(np.random.default_rng(4).normal(90, 0.01, (50, 3)))
    nested = json.loads(json.dumps(to_lerobot(stats, is_image=is_image)))
    assert tuple(nested) == STATISTICS
    assert np.shape(nested["mean"]) == ((3, 1, 1) if is_image else (3,))
    read = from_lerobot(nested)
    np.testing.assert_allclose(read.std, stats.std, rtol=1e-12)
    np.testing.assert_array_equal(read.quantiles, stats.quantiles)


def test_stats_agree_with_those_lerobot_wrote(lerobot_sample: Path) -> None:
    theirs = json.loads((lerobot_sample / "meta/stats.json").read_text())["action"]
    from demoloop.datasets import open_dataset

    dataset = open_dataset(lerobot_sample)
    ours = merge_all([FeatureStats.of(dataset.lowdim(i).actions) for i in range(3)])
    found = to_lerobot(ours, is_image=False)
    for name in ("min", "max", "mean", "std", "count"):  # its quantiles are rough bounds
        # lerobot reckons in float32.
        np.testing.assert_allclose(np.array(found[name]), theirs[name], atol=1e-6, err_msg=name)
