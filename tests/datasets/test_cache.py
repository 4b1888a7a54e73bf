"""The cache holds what the videos hold, decodes nothing twice, and heals itself."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from demoloop.__main__ import main
from demoloop.datasets import (
    Dataset,
    DatasetError,
    DatasetWriter,
    Episode,
    TrainingCache,
    open_cache,
    open_dataset,
)
from demoloop.robot import RobotSpec

SIZE = (32, 48)
FRAME = 32 * 48 * 3  # bytes


def pictures(cache: TrainingCache, camera: str) -> np.ndarray:
    return cache.images[camera][cache.rows]


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.rglob(pattern)
    return found


def mark(path: Path) -> None:
    """Changes every kept picture a little, so that it can be told from one decoded again."""
    path.write_bytes((np.frombuffer(path.read_bytes(), np.uint8) ^ 1).tobytes())


def grow(root: Path, spec: RobotSpec, *episodes: Episode) -> Dataset:
    with DatasetWriter(root, spec) as writer:
        for episode in episodes:
            writer.add(episode)
    return open_dataset(root)


def test_every_cached_picture_is_the_decoded_one(root: Path) -> None:
    dataset = open_dataset(root)
    cache = open_cache(dataset, SIZE, progress=False)
    for camera in ("front", "wrist"):
        decoded = np.concatenate([dataset.episode(i).images[camera] for i in range(3)])
        np.testing.assert_array_equal(pictures(cache, camera), decoded)


def test_smaller_pictures_are_averages_of_areas(root: Path) -> None:
    dataset = open_dataset(root)
    cache = open_cache(dataset, (10, 14), progress=False)
    frame = next(dataset.frames(2, "wrist"))
    np.testing.assert_array_equal(
        pictures(cache, "wrist")[11], cv2.resize(frame, (14, 10), interpolation=cv2.INTER_AREA)
    )


def test_numbers_and_outcomes_stand_beside_the_pictures(
    root: Path, spec: RobotSpec, make_episode: Callable[..., Episode]
) -> None:
    cache = open_cache(grow(root, spec, make_episode(0, 3)), SIZE, progress=False)
    assert cache.episode_starts.tolist() == [0, 5, 11, 18, 21]
    assert cache.success.tolist() == [0, 1, 0, -1]
    assert cache.weights.tolist() == [1, 1, 1, 1]
    np.testing.assert_array_equal(cache.actions[5:11], make_episode(2, 6).actions)
    np.testing.assert_array_equal(cache.proprioception[5:11], make_episode(2, 6).proprioception)


def test_a_long_episode_is_decoded_in_parts_that_fit(
    tmp_path: Path,
    spec: RobotSpec,
    make_episode: Callable[..., Episode],
    numbers: Callable[[np.ndarray, int], int],
) -> None:
    dataset = grow(tmp_path / "long", spec, make_episode(1, 1100))
    cache = open_cache(dataset, SIZE, progress=False)
    assert [numbers(frame, 0) for frame in pictures(cache, "front")] == list(range(100, 1200))


def test_a_built_cache_needs_the_videos_no_more(root: Path) -> None:
    dataset = open_dataset(root)
    first = pictures(open_cache(dataset, SIZE, progress=False), "front")
    for video in root.rglob("*.mp4"):
        video.write_bytes(b"")
    second = open_cache(dataset, SIZE, progress=False)
    np.testing.assert_array_equal(pictures(second, "front"), first)


def test_a_grown_dataset_decodes_only_what_is_new(
    root: Path, spec: RobotSpec, make_episode: Callable[..., Episode]
) -> None:
    old = pictures(open_cache(open_dataset(root), SIZE, progress=False), "front")
    mark(only(root, "front.u8"))
    dataset = grow(root, spec, make_episode(4))
    new = pictures(open_cache(dataset, SIZE, progress=False), "front")
    np.testing.assert_array_equal(new[:18], old ^ 1)
    np.testing.assert_array_equal(new[18:], np.stack(list(dataset.frames(3, "front"))))


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("drop 1", [*range(5), *range(11, 18)]),
        ("trim 2 --first 2 --stop 6", [*range(11), *range(13, 17)]),
        ("relabel all --task stack", list(range(18))),
        ("weigh 0 --weight 3", list(range(18))),
    ],
)
def test_an_edit_decodes_nothing(root: Path, words: str, kept: list[int]) -> None:
    old = open_cache(open_dataset(root), SIZE, progress=False)
    pictures_before, actions = pictures(old, "wrist"), old.actions
    mark(only(root, "wrist.u8"))
    verb, episode, *rest = words.split()
    assert main(["dataset", verb, str(root), episode, *rest]) == 0
    new = open_cache(open_dataset(root), SIZE, progress=False)
    np.testing.assert_array_equal(pictures(new, "wrist"), pictures_before[kept] ^ 1)
    np.testing.assert_array_equal(new.actions, actions[kept])
    assert new.view_hash != old.view_hash


def test_an_episode_whose_video_changed_is_decoded_again(root: Path) -> None:
    index = only(root / "meta/episodes", "*.parquet")  # as others write it, without a hash
    table = pq.read_table(index)
    pq.write_table(table.drop_columns([n for n in table.column_names if "sha256" in n]), index)
    whole = pictures(open_cache(open_dataset(root), SIZE, progress=False), "front")
    mark(only(root, "front.u8"))
    videos = sorted(root.glob("videos/*front/**/*.mp4"))
    status = videos[1].stat()
    os.utime(videos[1], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    again = pictures(open_cache(open_dataset(root), SIZE, progress=False), "front")
    expected = whole ^ 1
    expected[5:11] = whole[5:11]
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("name", ["front.u8", "wrist.u8", "action_2.f32"])
def test_a_file_cut_short_is_completed(root: Path, name: str) -> None:
    dataset = open_dataset(root)
    whole = open_cache(dataset, SIZE, progress=False)
    front, actions = pictures(whole, "front"), whole.actions
    path = only(root, name)
    path.write_bytes(path.read_bytes()[:-1])
    again = open_cache(dataset, SIZE, progress=False)
    np.testing.assert_array_equal(pictures(again, "front"), front)
    np.testing.assert_array_equal(again.actions, actions)


def test_a_damaged_index_is_made_again(root: Path) -> None:
    dataset = open_dataset(root)
    whole = pictures(open_cache(dataset, SIZE, progress=False), "front")
    index = only(root, "index.jsonl")
    data = bytearray(index.read_bytes())
    data[-20] ^= 1
    index.write_bytes(data)
    again = open_cache(dataset, SIZE, progress=False)
    np.testing.assert_array_equal(pictures(again, "front"), whole)


def test_a_build_that_stops_goes_on_where_it_was(root: Path) -> None:
    dataset = open_dataset(root)
    expected = np.concatenate([np.stack(list(dataset.frames(i, "front"))) for i in range(3)])
    video = only(root / "videos", "*front/**/file-002.mp4")
    kept = video.with_suffix(".kept")
    video.rename(kept)
    with pytest.raises(DatasetError, match=r"episode 2 .*front.*file-002\.mp4"):
        open_cache(dataset, SIZE, progress=False)
    mark(only(root, "front.u8"))
    kept.rename(video)
    found = pictures(open_cache(dataset, SIZE, progress=False), "front")
    np.testing.assert_array_equal(found[:11], expected[:11] ^ 1)
    np.testing.assert_array_equal(found[11:], expected[11:])


BUILD = """
import sys
from pathlib import Path
from demoloop.datasets import open_cache, open_dataset
cache = open_cache(open_dataset(Path(sys.argv[1])), (240, 320), Path(sys.argv[2]), progress=False)
print(int(cache.images["wrist"][cache.rows].sum()))
"""


def start_build(root: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD, str(root), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_that_build_at_once_get_the_same(root: Path, tmp_path: Path) -> None:
    builders = [start_build(root, tmp_path / "c") for _ in range(2)]
    sums = [int(builder.communicate(timeout=60)[0]) for builder in builders]
    cache = open_cache(open_dataset(root), (240, 320), tmp_path / "alone", progress=False)
    assert sums == [int(pictures(cache, "wrist").sum())] * 2
    assert len(cache.images["wrist"]) == 18
    assert only(tmp_path / "c", "wrist.u8").stat().st_size == 18 * 240 * 320 * 3


def test_a_killed_build_leaves_nothing_wrong_behind(
    tmp_path: Path, spec: RobotSpec, make_episode: Callable[..., Episode]
) -> None:
    dataset = grow(tmp_path / "d", spec, *(make_episode(seed, 300) for seed in range(4)))
    builder = start_build(dataset.root, tmp_path / "c")
    deadline = time.monotonic() + 60
    while not list((tmp_path / "c").rglob("wrist.u8")) and time.monotonic() < deadline:
        time.sleep(0.001)
    builder.send_signal(signal.SIGKILL)
    builder.communicate()
    cache = open_cache(dataset, (240, 320), tmp_path / "c", progress=False)
    for episode in range(4):
        first = cache.rows[300 * episode : 300 * episode + 300 : 37]
        frames = list(dataset.frames(episode, "wrist"))[::37]
        resized = [cv2.resize(f, (320, 240), interpolation=cv2.INTER_AREA) for f in frames]
        np.testing.assert_array_equal(cache.images["wrist"][first], resized)


def test_a_disk_that_fills_up_is_said(root: Path, tmp_path: Path) -> None:
    dataset = open_dataset(root)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
    try:
        with pytest.raises(DatasetError, match=r"training cache .* cannot be written"):
            open_cache(dataset, SIZE, tmp_path / "c", progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_disk_too_small_is_noticed_before_and_names_streaming(root: Path) -> None:
    side = int((shutil.disk_usage(root).free / (18 * 2 * 3)) ** 0.5 * 1.5)
    with pytest.raises(DatasetError, match=r"GB free; .* --streaming"):
        open_cache(open_dataset(root), (side, side), progress=False)


def test_a_dataset_that_cannot_be_written_is_cached_for_the_user(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    dataset = open_dataset(root)
    (root / ".cache").write_text("a file where the folder should be")
    open_cache(dataset, SIZE, progress=False)
    assert only(tmp_path / "user/demoloop", "front.u8").exists()


def test_rows_that_no_view_uses_any_more_are_reclaimed(
    root: Path, tmp_path: Path, spec: RobotSpec, make_episode: Callable[..., Episode]
) -> None:
    shared = tmp_path / "c"
    before = open_cache(open_dataset(root), SIZE, shared, progress=False)
    old = pictures(before, "front")
    assert only(shared, "front.u8").stat().st_size == 18 * FRAME
    for seed in range(7):  # each is a view of its own: 1, 2, ... 8 steps
        dataset = grow(tmp_path / "d", spec, make_episode(seed + 4, 1))
        open_cache(dataset, SIZE, shared, progress=False)
    dataset = grow(tmp_path / "d", spec, make_episode(11, 1))
    cache = open_cache(dataset, SIZE, shared, progress=False)
    assert only(shared, "front.u8").stat().st_size == 8 * FRAME
    decoded = [next(dataset.frames(i, "front")) for i in range(8)]
    np.testing.assert_array_equal(pictures(cache, "front"), decoded)
    np.testing.assert_array_equal(pictures(before, "front"), old)  # still mapped by somebody
    again = open_cache(open_dataset(root), SIZE, shared, progress=False)
    np.testing.assert_array_equal(pictures(again, "front"), old)


def test_views_that_take_turns_never_undo_each_other(
    root: Path, tmp_path: Path, spec: RobotSpec, make_episode: Callable[..., Episode]
) -> None:
    small = grow(tmp_path / "d", spec, make_episode(9, 1))
    for dataset in (open_dataset(root), small) * 2:
        open_cache(dataset, SIZE, tmp_path / "c", progress=False)
    assert only(tmp_path / "c", "front.u8").stat().st_size == 19 * FRAME


def test_a_kill_while_reclaiming_loses_nothing(root: Path) -> None:
    dataset = open_dataset(root)
    whole = pictures(open_cache(dataset, SIZE, progress=False), "front")
    mark(only(root, "front.u8"))
    folder = root / ".cache/32x48"
    shutil.copytree(folder, root / ".cache/32x48.new")
    folder.rename(root / ".cache/32x48.old")
    again = open_cache(dataset, SIZE, progress=False)
    np.testing.assert_array_equal(pictures(again, "front"), whole ^ 1)
    assert [path.name for path in (root / ".cache").iterdir() if path.is_dir()] == ["32x48"]
