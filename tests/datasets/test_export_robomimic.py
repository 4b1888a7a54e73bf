"""What robomimic would read is what the dataset shows, and comes back unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from demoloop.datasets import DatasetWriter, Episode, open_dataset
from demoloop.datasets.edits import edit_episodes
from demoloop.datasets.exporters import export_dataset
from demoloop.datasets.importers import import_dataset
from demoloop.robot import RobotSpec

Numbers = Callable[[np.ndarray, int], int]


def h5(path: Path, mode: str = "r") -> Any:
    """An HDF5 file; what is in one, no type checker knows."""
    return h5py.File(path, mode)


@pytest.fixture
def file(root: Path, tmp_path: Path) -> Path:
    uuids = [episode.uuid for episode in open_dataset(root).episodes]
    edit_episodes(root, "split", {uuids[0]: "train", uuids[1]: "valid", uuids[2]: "train"})
    export_dataset(root, tmp_path / "out.hdf5", "robomimic")
    return tmp_path / "out.hdf5"


def test_ours_to_robomimic_to_ours_is_the_same(
    tmp_path: Path, spec: RobotSpec, make_episode: Callable[..., Episode], numbers: Numbers
) -> None:
    takeover = np.array([False, True, True, False, False, True])
    marked = replace(make_episode(4), is_takeover=takeover, events=((1, "pinch"),))
    originals = [make_episode(0), marked, make_episode(5, task="place the cube")]
    with DatasetWriter(tmp_path / "d", spec) as writer:
        for episode in originals:
            writer.add(episode)
    export_dataset(tmp_path / "d", tmp_path / "out.hdf5", "robomimic")
    import_dataset(tmp_path / "out.hdf5", tmp_path / "back")
    back = open_dataset(tmp_path / "back")
    assert back.spec == spec
    for i, original in enumerate(originals):
        episode = back.episode(i)
        for name in ("task", "success", "seed", "events"):
            assert getattr(episode, name) == getattr(original, name)
        for name in ("time", "proprioception", "actions"):
            np.testing.assert_array_equal(getattr(episode, name), getattr(original, name))
        for number, camera in enumerate(("front", "wrist")):
            times = original.image_times[camera]
            np.testing.assert_array_equal(episode.image_times[camera], times)
            seen = [numbers(frame, number) for frame in episode.images[camera]]
            assert seen == [numbers(frame, number) for frame in original.images[camera]]
    assert back.episode(1).is_takeover is not None
    np.testing.assert_array_equal(back.episode(1).is_takeover, takeover)


def test_next_obs_is_obs_one_step_on_and_takes_no_room(file: Path, numbers: Numbers) -> None:
    with h5(file) as opened:
        demo = opened["data/demo_2"]
        seen = [numbers(frame, 0) for frame in demo["next_obs/front_image"]]
        assert seen == [301, 302, 303, 304, 305, 306, 306]
        assert demo["next_obs/front_image"].is_virtual
        obs, after = demo["obs/proprioception"][:], demo["next_obs/proprioception"][:]
    np.testing.assert_array_equal(after[:-1], obs[1:])
    np.testing.assert_array_equal(after[-1], obs[-1])


def test_only_the_last_step_of_a_success_is_rewarded(file: Path) -> None:
    with h5(file) as opened:
        rewards = [opened[f"data/demo_{i}/rewards"][:].tolist() for i in range(3)]
        dones = opened["data/demo_1/dones"][:].tolist()
    assert rewards == [[0] * 5, [0] * 5 + [1], [0] * 7]  # of seeds 1, 2, 3 only 2 succeeded
    assert dones == [0, 0, 0, 0, 0, 1]


def test_masks_name_the_demonstrations_of_each_split(file: Path) -> None:
    with h5(file) as opened:
        masks = {name: opened["mask"][name][:].tolist() for name in opened["mask"]}
    assert masks == {"train": [b"demo_0", b"demo_2"], "valid": [b"demo_1"]}


def test_counts_and_environment_are_what_robomimic_looks_for(file: Path) -> None:
    with h5(file) as opened:
        data = opened["data"]
        assert data.attrs["total"] == 18
        assert [data[f"demo_{i}"].attrs["num_samples"] for i in range(3)] == [5, 6, 7]
        environment = json.loads(data.attrs["env_args"])
    assert environment["env_name"] == "two_joints" and {"type", "env_kwargs"} <= set(environment)
