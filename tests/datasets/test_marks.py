"""What was pointed at is recorded with the episode and comes back with it, everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from demoloop.datasets import (
    DatasetError,
    DatasetWriter,
    Episode,
    EpisodeRecorder,
    StreamingView,
    WindowSampler,
    open_cache,
    open_dataset,
    open_numbers,
    stage_episode,
)
from demoloop.datasets.collection import joined_contents
from demoloop.datasets.contents import folder_contents
from demoloop.datasets.exporters import lerobot
from demoloop.datasets.journal import read_journal
from demoloop.robot import Marks, RobotSpec

MARKS = Marks(("object", "place"), "front")
GOALS = [np.array([[0.1, 0.2], [0.3, n / 4]], np.float32) for n in range(3)]


@pytest.fixture
def pointed(tmp_path: Path, spec: RobotSpec, make_episode: Callable[..., Episode]) -> Path:
    """Three episodes of 5, 6 and 7 steps, each with a goal of its own."""
    folder = tmp_path / "pointed"
    with DatasetWriter(folder, spec, marks=MARKS) as writer:
        for number, goal in enumerate(GOALS):
            writer.add(replace(make_episode(number + 1, steps=5 + number), goal=goal))
    return folder


def test_goal_of_each_episode_comes_back(pointed: Path) -> None:
    dataset = open_dataset(pointed)
    assert dataset.marks == MARKS
    for number, goal in enumerate(GOALS):
        episode = dataset.episode(number)
        np.testing.assert_array_equal(episode.goal, goal)
        np.testing.assert_array_equal(episode.observation(2).goal, goal)


def test_column_is_one_that_lerobot_reads(pointed: Path) -> None:
    table = pq.read_table(next(pointed.glob("data/*/file-001.parquet")))
    assert table["observation.goal"].to_pylist() == [GOALS[1].reshape(-1).tolist()] * 6
    info = open_dataset(pointed)
    assert info.rows(1)["observation.goal"].type.list_size == 4


@pytest.mark.parametrize("is_streamed", [False, True], ids=["cache", "streamed"])
def test_each_window_has_the_goal_of_its_episode(pointed: Path, is_streamed: bool) -> None:
    dataset = open_dataset(pointed)
    if is_streamed:
        sampler: WindowSampler = StreamingView(
            dataset, open_numbers(dataset), (32, 48), 4, 6, seed=0
        )
    else:
        cache = open_cache(dataset, (32, 48), progress=False)
        sampler = WindowSampler(cache, 4, 6, seed=0)
    expected = np.repeat(np.stack(GOALS), [5, 6, 7], axis=0)
    with sampler as batches:
        for _ in range(4):
            batch = next(batches)
            assert batch.goal is not None
            np.testing.assert_array_equal(batch.goal, expected[batch.index])


def test_dataset_where_nobody_points_has_no_goal(root: Path) -> None:
    dataset = open_dataset(root)
    assert dataset.marks is None
    assert dataset.episode(0).goal is None
    with WindowSampler(open_cache(dataset, (32, 48), progress=False), 4, 6, seed=0) as batches:
        assert next(batches).goal is None


def test_other_marks_are_another_recording(
    tmp_path: Path, spec: RobotSpec, make_episode: Callable[..., Episode]
) -> None:
    hashes = set()
    for number, goal in enumerate(GOALS):
        with DatasetWriter(tmp_path / str(number), spec, marks=MARKS) as writer:
            writer.add(replace(make_episode(1), goal=goal))
        hashes.add(open_dataset(tmp_path / str(number)).view_hash())
    assert len(hashes) == 3


def test_exported_view_keeps_the_goals(pointed: Path, tmp_path: Path) -> None:
    lerobot.export(open_dataset(pointed), tmp_path / "whole", progress=False)
    exported = open_dataset(tmp_path / "whole")
    assert exported.marks == MARKS
    np.testing.assert_array_equal(exported.episode(2).goal, GOALS[2])


@pytest.mark.parametrize(
    ("goals", "sentence"),
    [
        ([None], "step 0: nobody has pointed: mark object and place"),
        ([GOALS[0] + 1], "step 0: marks of shape"),
        ([GOALS[0], GOALS[1]], "step 1: the marks have moved"),
        ([GOALS[0], None], "step 1: nobody has pointed"),
    ],
)
def test_episode_without_one_whole_goal_is_refused_at_the_step(
    pointed: Path,
    make_episode: Callable[..., Episode],
    goals: list[np.ndarray | None],
    sentence: str,
) -> None:
    episode = make_episode(4)
    with EpisodeRecorder(pointed, task="any", waits=True) as recorder:
        with pytest.raises(DatasetError, match=sentence):
            for step, goal in enumerate(goals):
                recorder(replace(episode.observation(step), goal=goal), episode.actions[step])
        recorder.discard()


def test_killed_recording_is_put_together_with_its_goal(
    pointed: Path, spec: RobotSpec, make_episode: Callable[..., Episode]
) -> None:
    episode = replace(make_episode(5, steps=40), goal=GOALS[1])
    with EpisodeRecorder(pointed, task="any", waits=True) as recorder:
        for step in range(40):
            recorder(episode.observation(step), episode.actions[step])
    with DatasetWriter(pointed, spec, marks=MARKS) as writer:
        assert writer.recovered == (3,)
    np.testing.assert_array_equal(open_dataset(pointed).episode(3).goal, GOALS[1])


def test_commit_that_a_kill_cut_short_is_completed_with_its_goal(
    tmp_path: Path, pointed: Path, spec: RobotSpec, make_episode: Callable[..., Episode]
) -> None:
    # The file that names the episode is there, its data not yet in its place; at 6 steps it is too
    # short to be put together from the log alone.
    episode = replace(make_episode(2, steps=6), goal=GOALS[1])
    with DatasetWriter(tmp_path / "cut", spec, marks=MARKS):
        folder = stage_episode(tmp_path / "cut", episode).folder
        entry = replace(read_journal(pointed)[1], uuid=folder.name, index=0)
        (folder / "commit.json").write_text(entry.to_json())
    with DatasetWriter(tmp_path / "cut", spec, marks=MARKS) as writer:
        assert writer.recovered == (0,)
    np.testing.assert_array_equal(open_dataset(tmp_path / "cut").episode(0).goal, GOALS[1])


def test_marks_are_ignored_where_a_dataset_has_none(
    root: Path, spec: RobotSpec, make_episode: Callable[..., Episode]
) -> None:
    with DatasetWriter(root, spec) as writer:
        writer.add(replace(make_episode(7), goal=GOALS[0]))
    assert open_dataset(root).episode(3).goal is None


def test_a_dataset_keeps_to_its_marks(pointed: Path, root: Path, spec: RobotSpec) -> None:
    with (
        pytest.raises(DatasetError, match="point at object, place in the picture of front, now at"),
        DatasetWriter(pointed, spec),
    ):
        pass
    with (
        pytest.raises(DatasetError, match="point at nothing, now at object, place"),
        DatasetWriter(root, spec, marks=MARKS),
    ):
        pass


def test_marks_need_a_camera_of_the_robot(tmp_path: Path, spec: RobotSpec) -> None:
    marks = Marks(("object",), "ceiling")
    with (
        pytest.raises(DatasetError, match="camera 'ceiling'; two_joints has front, wrist"),
        DatasetWriter(tmp_path / "new", spec, marks=marks),
    ):
        pass


def test_datasets_with_and_without_marks_are_not_joined(pointed: Path, root: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"what is pointed at is object, place \(front\) in the one"
    ):
        joined_contents(root, [folder_contents(pointed), folder_contents(root)])
