"""The cache holds what the videos hold, and heals itself."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from demoloop.datasets import DatasetError, DatasetWriter, Episode, open_cache, open_dataset
from demoloop.robot import RobotSpec

SIZE = (32, 48)


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.rglob(pattern)
    return found


def test_every_cached_picture_is_the_decoded_one(root: Path) -> None:
    dataset = open_dataset(root)
    cache = open_cache(dataset, SIZE, progress=False)
    for camera in ("front", "wrist"):
        decoded = np.concatenate([dataset.episode(i).images[camera] for i in range(3)])
        np.testing.assert_array_equal(cache.images[camera], decoded)


def test_smaller_pictures_are_averages_of_areas(root: Path) -> None:
    dataset = open_dataset(root)
    cache = open_cache(dataset, (10, 14), progress=False)
    frame = next(dataset.frames(2, "wrist"))
    np.testing.assert_array_equal(
        cache.images["wrist"][11], cv2.resize(frame, (14, 10), interpolation=cv2.INTER_AREA)
    )


def test_numbers_and_outcomes_stand_beside_the_pictures(
    root: Path, spec: RobotSpec, make_episode: Callable[..., Episode]
) -> None:
    with DatasetWriter(root, spec) as writer:
        writer.add(make_episode(0, 3))
    cache = open_cache(open_dataset(root), SIZE, progress=False)
    assert cache.episode_starts.tolist() == [0, 5, 11, 18, 21]
    assert cache.success.tolist() == [0, 1, 0, -1]
    np.testing.assert_array_equal(cache.actions[5:11], make_episode(2, 6).actions)
    np.testing.assert_array_equal(cache.proprioception[5:11], make_episode(2, 6).proprioception)


def test_a_built_cache_needs_the_videos_no_more(root: Path, tmp_path: Path) -> None:
    dataset = open_dataset(root)
    first = open_cache(dataset, SIZE, tmp_path / "c", progress=False)
    times = [path.stat().st_mtime_ns for path in sorted((tmp_path / "c").rglob("*.u8"))]
    second = open_cache(dataset, SIZE, tmp_path / "c", progress=False)
    assert [p.stat().st_mtime_ns for p in sorted((tmp_path / "c").rglob("*.u8"))] == times
    np.testing.assert_array_equal(first.images["front"], second.images["front"])


def test_a_cache_cut_short_is_built_again(root: Path) -> None:
    dataset = open_dataset(root)
    whole = np.array(open_cache(dataset, SIZE, progress=False).images["front"])
    path = only(root, "front_*.u8")
    path.write_bytes(path.read_bytes()[:-1])
    again = open_cache(dataset, SIZE, progress=False)
    np.testing.assert_array_equal(again.images["front"], whole)


@pytest.mark.parametrize("frames", [0, 3, 5, 12, 18])
def test_a_killed_build_goes_on_after_its_last_whole_episode(root: Path, frames: int) -> None:
    dataset = open_dataset(root)
    whole = np.array(open_cache(dataset, SIZE, progress=False).images["front"])
    path = only(root, "front_*.u8")
    # Marked, so that frames kept from the first build can be told from those decoded again.
    marked = whole.copy()
    marked[:frames] ^= 1
    kept = max(start for start in (0, 5, 11, 18) if start <= frames)
    cut = marked.tobytes()[: frames * whole[0].size + (17 if frames < 18 else 0)]
    path.with_name(path.name + ".part").write_bytes(cut)
    path.unlink()
    again = open_cache(dataset, SIZE, progress=False).images["front"]
    np.testing.assert_array_equal(again[:kept], marked[:kept])
    np.testing.assert_array_equal(again[kept:], whole[kept:])


def test_a_grown_dataset_gets_a_cache_of_its_own(
    root: Path, spec: RobotSpec, make_episode: Callable[..., Episode]
) -> None:
    old = open_cache(open_dataset(root), SIZE, progress=False)
    with DatasetWriter(root, spec) as writer:
        writer.add(make_episode(4))
    new = open_cache(open_dataset(root), SIZE, progress=False)
    assert old.view_hash != new.view_hash
    assert len(new.images["front"]) == len(old.images["front"]) + 6


def build(root: Path, folder: Path) -> int:
    return int(open_cache(open_dataset(root), SIZE, folder, progress=False).images["wrist"].sum())


def test_two_processes_that_build_at_once_get_the_same(root: Path, tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        sums = pool.starmap(build, [(root, tmp_path / "c")] * 2)
    assert sums == [build(root, tmp_path / "other")] * 2


def test_a_disk_too_small_for_the_cache_is_said(root: Path, tmp_path: Path) -> None:
    dataset = open_dataset(root)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
    try:
        with pytest.raises(DatasetError, match=r"training cache .* cannot be written"):
            open_cache(dataset, SIZE, tmp_path / "c", progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_dataset_that_cannot_be_written_is_cached_for_the_user(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    dataset = open_dataset(root)
    (root / ".cache").write_text("a file where the folder should be")
    open_cache(dataset, SIZE, progress=False)
    assert only(tmp_path / "user/demoloop", "front_*.u8").exists()


def test_a_video_lost_after_opening_is_named(root: Path) -> None:
    dataset = open_dataset(root)
    shutil.rmtree(root / "videos/observation.images.wrist")
    with pytest.raises(DatasetError, match=r"episode 0, camera wrist: .*file-000\.mp4 is gone"):
        open_cache(dataset, SIZE, progress=False)
