"""Datasets read as one: what is shown, what is refused, and that the sources stay as they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from demoloop.datasets import Dataset, DatasetError, DatasetWriter, Episode, open_dataset
from demoloop.datasets.edits import edit_episodes, undo_edit
from demoloop.datasets.view import merge
from demoloop.robot import CameraSpec, RobotSpec


@pytest.fixture
def second(tmp_path: Path, spec: RobotSpec, make_episode: Callable[..., Episode]) -> Path:
    """A dataset of two more episodes of the same robot."""
    folder = tmp_path / "second"
    with DatasetWriter(folder, spec) as writer:
        for seed in (4, 5):
            writer.add(make_episode(seed, steps=4, task="push"))
    return folder


@pytest.fixture
def both(tmp_path: Path, root: Path, second: Path) -> Path:
    merge([root, second], tmp_path / "both")
    return tmp_path / "both"


def tasks(dataset: Dataset) -> list[str]:
    return [episode.task for episode in dataset.episodes]


def test_a_collection_shows_the_episodes_of_all_its_sources(
    both: Path, root: Path, second: Path
) -> None:
    dataset = open_dataset(both)
    assert [episode.index for episode in dataset.episodes] == [0, 1, 2, 3, 4]
    assert dataset.spec == open_dataset(root).spec
    for i, (source, j) in enumerate([(root, 0), (root, 1), (root, 2), (second, 0), (second, 1)]):
        ours, theirs = dataset.episode(i), open_dataset(source).episode(j)
        np.testing.assert_array_equal(ours.actions, theirs.actions)
        np.testing.assert_array_equal(ours.images["wrist"], theirs.images["wrist"])
    assert len(list(both.rglob("*"))) == 2  # the folder demoloop and its one file


def test_edits_of_a_source_show_in_the_collection_and_not_the_other_way_round(
    both: Path, root: Path
) -> None:
    first = open_dataset(root).episodes[0].uuid
    edit = edit_episodes(root, "relabel", {first: "stack"})
    assert tasks(open_dataset(both))[0] == "stack"
    edit_episodes(both, "relabel", {first: "pull"})
    assert tasks(open_dataset(both))[0] == "pull"
    assert tasks(open_dataset(root))[0] == "stack"
    undo_edit(root, edit.id)
    undo_edit(both)
    assert tasks(open_dataset(both))[0] == "pick the cube"


def test_an_episode_dropped_in_a_source_is_dropped_in_the_collection(
    both: Path, root: Path
) -> None:
    edit_episodes(root, "drop", {open_dataset(root).episodes[1].uuid: None})
    assert [episode.length for episode in open_dataset(both).episodes] == [5, 7, 4, 4]


def test_a_collection_of_one_has_the_view_of_its_source(root: Path, tmp_path: Path) -> None:
    merge([root], tmp_path / "one")
    assert open_dataset(tmp_path / "one").view_hash() == open_dataset(root).view_hash()


def test_collections_are_merged_like_datasets(both: Path, tmp_path: Path) -> None:
    merge([both], tmp_path / "deep" / "nest")
    assert len(open_dataset(tmp_path / "deep" / "nest").episodes) == 5


def test_a_collection_moves_with_its_sources(both: Path, tmp_path: Path) -> None:
    view = open_dataset(both).view_hash()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in (both, both.parent / "dataset", both.parent / "second"):
        shutil.move(folder, elsewhere / folder.name)
    assert open_dataset(elsewhere / "both").view_hash() == view


def test_an_absent_source_is_named_with_what_to_do(both: Path, second: Path) -> None:
    second.rename(second.with_name("renamed"))
    with pytest.raises(DatasetError, match=rf"source {second} is not there; move it back"):
        open_dataset(both)


def test_the_same_recording_twice_is_refused_until_one_is_dropped(
    root: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    with pytest.raises(DatasetError, match="are the same recording"):
        merge([root, copy], tmp_path / "both")
    assert not (tmp_path / "both").exists()
    edit_episodes(copy, "drop", dict.fromkeys(it.uuid for it in open_dataset(copy).episodes[1:]))
    edit_episodes(root, "drop", {open_dataset(root).episodes[0].uuid: None})
    assert len(merge([root, copy], tmp_path / "both").episodes) == 3


def record(
    folder: Path, spec: RobotSpec, make_episode: Callable[..., Episode], camera: str = "wrist"
) -> Path:
    episode = make_episode(9, steps=3)
    images = {"front": episode.images["front"], camera: episode.images["wrist"]}
    times = dict.fromkeys(images, episode.time)
    with DatasetWriter(folder, spec) as writer:
        writer.add(replace(episode, images=images, image_times=times))
    return folder


def test_robots_that_differ_are_refused_with_joint_and_both_values(
    root: Path, spec: RobotSpec, make_episode: Callable[..., Episode], tmp_path: Path
) -> None:
    joints = (replace(spec.joints[0], high=1.5), spec.joints[1])
    other = record(tmp_path / "other", replace(spec, joints=joints), make_episode)
    with pytest.raises(DatasetError, match=r"joint shoulder is -2\.\.2 .* and -2\.\.1\.5 "):
        merge([root, other], tmp_path / "both")


def test_cameras_that_differ_are_refused_by_name(
    root: Path, spec: RobotSpec, make_episode: Callable[..., Episode], tmp_path: Path
) -> None:
    cameras = (spec.cameras[0], CameraSpec("top", 32, 48))
    other = record(tmp_path / "other", replace(spec, cameras=cameras), make_episode, "top")
    with pytest.raises(DatasetError, match="camera wrist is 32x48 in the one and absent in"):
        merge([root, other], tmp_path / "both")


def test_a_source_that_became_another_robots_is_refused(
    both: Path, second: Path, spec: RobotSpec, make_episode: Callable[..., Episode]
) -> None:
    shutil.rmtree(second)
    record(second, replace(spec, name="stranger"), make_episode)
    with pytest.raises(DatasetError, match=r"now is of another robot \(stranger\)"):
        open_dataset(both)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"sources": []}',
        b'{"sources": [{"path": 3}]}',
        b'{"sources": "\xff"}',
    ],
)
def test_a_damaged_collection_is_one_sentence(both: Path, content: bytes) -> None:
    (both / "demoloop/collection.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"collection\.json") as caught:
        open_dataset(both)
    assert "\n" not in str(caught.value)


def test_a_collection_that_holds_itself_is_refused(both: Path) -> None:
    path = both / "demoloop/collection.json"
    value = json.loads(path.read_text())
    value["sources"][0]["path"] = "../both"
    path.write_text(json.dumps(value))
    with pytest.raises(DatasetError, match="holds itself"):
        open_dataset(both)


def test_a_collection_goes_only_into_a_new_folder(both: Path, root: Path) -> None:
    with pytest.raises(DatasetError, match="not empty"):
        merge([root], both)


def test_nothing_is_recorded_into_a_collection(both: Path, spec: RobotSpec) -> None:
    with pytest.raises(DatasetError, match="is a collection"), DatasetWriter(both, spec):
        pass
    assert len(open_dataset(both).episodes) == 5


def test_datasets_of_others_are_merged_with_the_widest_limits(
    root: Path, second: Path, tmp_path: Path
) -> None:
    for folder in (root, second):
        path = folder / "meta/info.json"
        info = json.loads(path.read_text())
        del info["demoloop"]
        path.write_text(json.dumps(info))
    merge([root, second], tmp_path / "both")
    found = open_dataset(tmp_path / "both").spec
    specs = [open_dataset(folder).spec for folder in (root, second)]
    np.testing.assert_array_equal(found.low, np.minimum(specs[0].low, specs[1].low))
    np.testing.assert_array_equal(found.high, np.maximum(specs[0].high, specs[1].high))


def test_limits_said_and_limits_guessed_are_not_mixed(
    root: Path, second: Path, tmp_path: Path
) -> None:
    path = second / "meta/info.json"
    info = json.loads(path.read_text())
    del info["demoloop"]
    path.write_text(json.dumps(info))
    with pytest.raises(DatasetError, match="says the limits and units"):
        merge([root, second], tmp_path / "both")
