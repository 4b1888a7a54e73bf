"""LeRobot datasets of others become ours, whatever shape they have; what is broken is listed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from demoloop.datasets import DatasetError, open_dataset
from demoloop.datasets.importers import IMPORTERS, ImportOptions, ImportReport, import_dataset

_spec = importlib.util.spec_from_file_location(
    "v21_files", Path(__file__).with_name("v21_files.py")
)
assert _spec is not None and _spec.loader is not None
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)

Numbers = Callable[[np.ndarray, int], int]


@pytest.fixture
def v21(tmp_path: Path) -> Path:
    return make.write_v21(tmp_path / "v21")


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., ImportReport]:
    """Imports a folder to `out`."""

    def run(source: Path, **options: Any) -> ImportReport:
        return import_dataset(source, tmp_path / "out", options=ImportOptions(**options))

    return run


def test_v21_to_ours_keeps_numbers_to_the_bit_and_every_picture_at_its_step(
    v21: Path, tmp_path: Path, imported: Callable[..., ImportReport], numbers: Numbers
) -> None:
    report = imported(v21)
    dataset = open_dataset(tmp_path / "out")
    assert report.format == "lerobot" and report.skipped == ()
    assert dataset.spec.name == "koch" and dataset.spec.joint_names == ("hip", "knee")
    assert dataset.proprioception_names == ("hip.pos", "knee.pos")
    for e in range(3):
        episode = dataset.episode(e)
        assert episode.task == f"task {e}"
        np.testing.assert_array_equal(episode.proprioception, make.column(e, 2))
        np.testing.assert_array_equal(episode.actions, make.column(e, 2, 0.5))
        assert [numbers(frame, 0) for frame in episode.images["top"]] == [
            100 * e + t for t in range(make.STEPS)
        ]


def test_every_frame_of_several_episodes_in_one_av1_file_is_found(
    lerobot_sample: Path, tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    imported(lerobot_sample)
    dataset = open_dataset(tmp_path / "out")
    assert [episode.length for episode in dataset.episodes] == [45, 60, 30]
    weights = 1 << np.arange(12)
    for i in range(3):
        for camera, number in (("front", 0), ("wrist", 1)):
            for step, frame in enumerate(dataset.frames(i, camera)):
                upper = frame[8:40, :, 1].reshape(-1, 12, 8).mean(axis=(0, 2)) > 127
                lower = frame[56:88, :, 0].reshape(-1, 12, 8).mean(axis=(0, 2)) > 127
                assert (upper @ weights, lower @ weights) == (step, 2 * i + number)
    state = np.sin(np.arange(6) + 0.1 * np.arange(60)[:, None] + 1)
    np.testing.assert_allclose(dataset.lowdim(1).proprioception, state, atol=1e-6)  # float32


def test_a_real_dataset_with_two_of_100_episodes_lists_the_98(g1: Path) -> None:
    found = IMPORTERS["lerobot"].find(g1, ImportOptions())
    assert [item.name for item in found.items] == ["episode 1", "episode 2"]
    assert len(found.skipped) == 98
    assert all("is missing" in skipped.why for skipped in found.skipped)
    assert found.spec.joint_names[0] == "kLeftShoulderPitch"
    assert (found.spec.cameras[0].height, found.spec.cameras[0].width) == (480, 640)


def nested_names(root: Path) -> None:
    make.write_v21(
        root, features={"action": {"dtype": "float32", "shape": [2], "names": [["a", "b"]]}}
    )


def motors(root: Path) -> None:
    names = {"motors": ["a", "b"]}
    make.write_v21(root, features={"action": {"dtype": "float32", "shape": [2], "names": names}})


def places(root: Path) -> None:
    names = {"b": 1, "a": 0}
    make.write_v21(root, features={"action": {"dtype": "float32", "shape": [2], "names": names}})


@pytest.mark.parametrize("write", [nested_names, motors, places])
def test_names_are_read_in_whatever_they_are_nested(
    tmp_path: Path, imported: Callable[..., ImportReport], write: Callable[[Path], None]
) -> None:
    write(tmp_path / "d")
    imported(tmp_path / "d")
    assert open_dataset(tmp_path / "out").spec.joint_names == ("a", "b")


def test_names_that_do_not_fit_are_numbered_and_noted(
    tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    names = [["left", ["a"]], ["b"]]
    root = make.write_v21(
        tmp_path / "d", features={"action": {"dtype": "float32", "shape": [2], "names": names}}
    )
    report = imported(root)
    assert open_dataset(tmp_path / "out").spec.joint_names == ("action_0", "action_1")
    assert any("3 names for 2 numbers" in note for note in report.notes)


def test_names_that_stand_there_twice_are_told_apart(
    tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    feature = {"dtype": "float32", "shape": [2], "names": ["joint", "joint"]}
    imported(make.write_v21(tmp_path / "d", features={"action": feature}))
    assert open_dataset(tmp_path / "out").spec.joint_names == ("joint", "joint_2")


def test_channels_first_is_seen_in_the_pictures_themselves(
    tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    feature = {"dtype": "video", "shape": [3, 32, 48], "names": None}
    imported(make.write_v21(tmp_path / "d", features={make.TOP: feature}))
    camera = open_dataset(tmp_path / "out").spec.cameras[0]
    assert (camera.height, camera.width) == (32, 48)


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_pictures_in_the_data_files_are_read(
    tmp_path: Path, imported: Callable[..., ImportReport], numbers: Numbers, ending: str
) -> None:
    root = make.write_v21(
        tmp_path / "d",
        features={make.TOP: {"dtype": "image", "shape": [32, 48, 3], "names": None}},
    )
    for e in range(3):
        coded = [
            cv2.imencode(ending, np.ascontiguousarray(make.bars(100 * e + t)[..., ::-1]))[
                1
            ].tobytes()
            for t in range(make.STEPS)
        ]
        pictures = [{"bytes": data, "path": f"frame-{t}"} for t, data in enumerate(coded)]
        values = {
            "observation.state": make.column(e, 2),
            "action": make.column(e, 2),
            make.TOP: pictures,
        }
        make.write_data(root, e, values)
    imported(root)
    episode = open_dataset(tmp_path / "out").episode(2)
    assert [numbers(frame, 0) for frame in episode.images["top"]] == [200, 201, 202, 203, 204]


def test_readings_of_two_axes_and_of_several_columns_stand_side_by_side(
    tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    root = make.write_v21(
        tmp_path / "d",
        features={
            "observation.pose": {"dtype": "float32", "shape": [2, 2], "names": None},
            "observation.force": {"dtype": "float64", "shape": [1], "names": ["force"]},
        },
    )
    make.edit_info(root, lambda info: info["features"].pop("observation.state"))
    for e in range(3):
        pose = make.column(e, 4).reshape(make.STEPS, 2, 2).tolist()
        force = [float(t) for t in range(make.STEPS)]
        values = {"action": make.column(e, 2), "observation.pose": pose, "observation.force": force}
        make.write_data(root, e, values)
    imported(root)
    dataset = open_dataset(tmp_path / "out")
    expected = ("pose_0", "pose_1", "pose_2", "pose_3", "force")
    assert dataset.proprioception_names == dataset.spec.proprioception_names == expected
    np.testing.assert_array_equal(dataset.lowdim(1).proprioception[:, :4], make.column(1, 4))


def test_a_robot_that_reads_nothing_gets_a_column_of_zeros_and_a_note(
    v21: Path, tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    make.edit_info(v21, lambda info: info["features"].pop("observation.state"))
    report = imported(v21)
    dataset = open_dataset(tmp_path / "out")
    assert dataset.proprioception_names == ("no_reading",)
    assert not dataset.lowdim(0).proprioception.any()
    assert any("zeros" in note for note in report.notes)


def test_columns_that_nobody_asked_for_are_noted(
    tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    extra = {"next.reward": {"dtype": "float32", "shape": [1], "names": None}}
    report = imported(make.write_v21(tmp_path / "d", features=extra))
    assert any("next.reward" in note for note in report.notes)


def test_success_and_intervention_as_lerobot_writes_them_are_kept(
    v21: Path, tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    flags = [False, True, True, False, False]
    values = {"observation.state": make.column(0, 2), "action": make.column(0, 2)}
    make.write_data(v21, 0, {**values, "next.success": flags, "intervention": flags})
    imported(v21)
    episode = open_dataset(tmp_path / "out").episode(0)
    assert episode.success is True and episode.is_takeover is not None
    assert episode.is_takeover.tolist() == flags


def test_a_task_that_is_missing_is_looked_up_or_asked_for(
    v21: Path, tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    rows = [{"episode_index": e, "length": make.STEPS, "tasks": []} for e in range(3)]
    (v21 / "meta/episodes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (v21 / "meta/tasks.jsonl").write_text(json.dumps({"task_index": 7, "task": "stack"}))
    values = {"observation.state": make.column(0, 2), "action": make.column(0, 2)}
    make.write_data(v21, 0, {**values, "task_index": [7] * make.STEPS})
    imported(v21, task="fold the towel")
    tasks = [episode.task for episode in open_dataset(tmp_path / "out").episodes]
    assert tasks == ["stack", "fold the towel", "fold the towel"]


def test_a_list_of_episodes_that_is_missing_is_made_from_the_files(
    v21: Path, imported: Callable[..., ImportReport]
) -> None:
    (v21 / "meta/episodes.jsonl").unlink()
    report = imported(v21)
    assert len(report.kept) == 3 and any("episodes.jsonl is missing" in n for n in report.notes)


@pytest.mark.parametrize(
    "template",
    [
        "data/{part}/{number}.parquet",
        "data/{episode_index:09999999999d}.parquet",  # str.format would fill gigabytes
        "data/{episode_index.__class__}.parquet",
        "data/{episode_index",
    ],
)
def test_a_template_that_is_wrong_gives_way_to_the_usual_one(
    tmp_path: Path, imported: Callable[..., ImportReport], template: str
) -> None:
    report = imported(make.write_v21(tmp_path / "d", data_path=template))
    assert len(report.kept) == 3 and any(template in note for note in report.notes)


def test_files_that_are_not_where_the_template_says_are_looked_for_where_they_usually_are(
    tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    root = make.write_v21(tmp_path / "d", data_path="data/{episode_index:03d}.parquet")
    assert len(imported(root).kept) == 3


@pytest.mark.parametrize(
    "template",
    ["../{episode_index}.parquet", "/etc/{episode_index}", "data/../../{episode_index}.parquet"],
)
def test_a_template_that_leads_out_of_the_dataset_is_refused(
    tmp_path: Path, imported: Callable[..., ImportReport], template: str
) -> None:
    root = make.write_v21(tmp_path / "d", data_path=template)
    with pytest.raises(DatasetError, match="leads out of the dataset"):
        imported(root)
