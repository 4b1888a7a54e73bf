"""Beyond one machine: what Lance gives back, and what a cluster builds, is what is here."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from demoloop.__main__ import main
from demoloop.datasets import DatasetError, open_cache, open_dataset
from demoloop.datasets.cache import layout_of, open_store
from demoloop.datasets.lerobot_files import VideoPart
from demoloop.datasets.scale import ray_job
from demoloop.datasets.scale.lance_export import cut_video, export_lance

SIZE = (16, 24)


def decoded(video: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(video), "r") as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_lance_gives_back_numbers_and_pictures(root: Path, tmp_path: Path) -> None:
    import lance

    dataset = open_dataset(root)
    assert main(["dataset", "lance", str(root), str(tmp_path / "t.lance")]) == 0
    table = lance.dataset(tmp_path / "t.lance")
    columns = [name for name in table.schema.names if not name.startswith("video_")]
    rows = table.to_table(columns=columns).to_pylist()
    assert [row["uuid"] for row in rows] == [episode.uuid for episode in dataset.episodes]
    assert [row["success"] for row in rows] == [False, True, False]
    assert table.schema.metadata[b"view"].decode() == dataset.view_hash()
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(
            np.reshape(np.float32(row["action"]), (row["length"], -1)), dataset.lowdim(i).actions
        )
        assert json.loads(row["stats"])["action"]["count"] == [row["length"]]
        for camera in ("front", "wrist"):
            (blob,) = table.take_blobs(f"video_{camera}", indices=[i])
            assert blob is not None
            first = row[f"first_frame_{camera}"]
            frames = decoded(blob.readall())[first : first + row["length"]]
            np.testing.assert_array_equal(frames, list(dataset.frames(i, camera)))


def test_an_edit_is_the_next_version_and_the_one_before_stays(root: Path, tmp_path: Path) -> None:
    import lance

    out = tmp_path / "t.lance"
    export_lance(open_dataset(root), out, progress=False)
    assert main(["dataset", "trim", str(root), "2", "--first", "3"]) == 0
    dataset = open_dataset(root)
    assert dataset.episodes[2].first == 3
    assert export_lance(dataset, out, progress=False) == 2
    assert lance.dataset(out, version=1).to_table(columns=["length"])["length"].to_pylist()[2] == 7
    table = lance.dataset(out)
    row = table.to_table(columns=["length", "first_frame_wrist"]).to_pylist()[2]
    (blob,) = table.take_blobs("video_wrist", indices=[2])
    assert blob is not None
    frames = decoded(blob.readall())[row["first_frame_wrist"] :][: row["length"]]
    np.testing.assert_array_equal(frames, list(dataset.frames(2, "wrist")))


@pytest.mark.parametrize(("first", "length"), [(0, 7), (0, 2), (1, 3), (4, 3), (5, 2), (6, 1)])
def test_a_cut_video_shows_the_frames_asked_for(root: Path, first: int, length: int) -> None:
    dataset = open_dataset(root)
    part = VideoPart(dataset.videos(2)["front"].path, first)
    video, start = cut_video(part, length)
    frames = decoded(video)
    assert start <= 1  # every second frame is a key frame
    expected = list(dataset.frames(2, "front"))[first : first + length]
    np.testing.assert_array_equal(frames[start : start + length], expected)


def test_a_folder_that_is_no_table_is_not_written_to(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(DatasetError, match="no Lance table"):
        export_lance(open_dataset(root), tmp_path / "mine", progress=False)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_a_video_lost_while_exporting_is_named(root: Path, tmp_path: Path) -> None:
    dataset = open_dataset(root)
    shutil.rmtree(root / "videos/observation.images.wrist")
    with pytest.raises(DatasetError, match="episode 0, camera wrist"):
        export_lance(dataset, tmp_path / "t.lance", progress=False)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_cluster_builds_the_same_cache_and_statistics_to_the_byte(
    root: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(root)
    stats = ray_job.build_on_cluster(root, SIZE, tmp_path / "ray", progress=False)
    cache = open_cache(dataset, SIZE, tmp_path / "here", progress=False)
    files = sorted((tmp_path / "here/16x24").glob("*.*8")) + sorted(
        (tmp_path / "here/16x24").glob("*.f32")
    )
    assert len(files) == 4
    for file in files:
        assert (tmp_path / "ray/16x24" / file.name).read_bytes() == file.read_bytes()
    layout = layout_of(dataset, SIZE)
    store = open_store(dataset, layout, tmp_path / "here")
    rows = cache.rows[cache.episode_starts[:-1]].tolist()
    parts = [ray_job.episode_stats(dataset, layout, store, i, row) for i, row in enumerate(rows)]
    assert stats == ray_job.merge(parts)
    (written,) = (tmp_path / "ray").glob("stats_*.json")
    assert json.loads(written.read_text()) == stats
    for video in root.rglob("*.mp4"):  # what a cluster built is decoded no more
        video.write_bytes(b"")
    again = open_cache(dataset, SIZE, tmp_path / "ray", progress=False)
    np.testing.assert_array_equal(again.images["front"][again.rows], cache.images["front"])


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_an_episode_that_breaks_on_a_worker_is_named(root: Path, tmp_path: Path) -> None:
    video = next(root.glob("videos/*wrist/**/file-001.mp4"))
    data = video.read_bytes()
    head = data.index(b"mdat") - 4
    stop = head + int.from_bytes(data[head : head + 4], "big")
    video.write_bytes(data[: head + 8] + bytes(stop - head - 8) + data[stop:])
    with pytest.raises(DatasetError, match=r"episode 1 .*camera wrist"):
        ray_job.build_on_cluster(root, SIZE, tmp_path / "ray", progress=False)
