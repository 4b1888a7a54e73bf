"""LeRobot datasets of others become ours, whatever shape they have; what is broken is listed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demoloop.datasets import DatasetError, open_dataset
from demoloop.datasets.importers import IMPORTERS, ImportOptions, ImportReport, import_dataset
from demoloop.robot.video import VideoWriter

STEPS = 5
DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
TOP = "observation.images.top"
Numbers = Callable[[np.ndarray, int], int]


def bars(number: int) -> np.ndarray:
    """(32, 48, 3): bar b is white if bit b of `number` is set, as the fixture `numbers` reads."""
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16] = np.repeat((number >> np.arange(12)) & 1, 4)[None, :, None] * 255
    return picture


def column(episode: int, width: int, shift: float = 0.0) -> np.ndarray:
    return (np.arange(STEPS * width).reshape(STEPS, width) / 7 + episode + shift).astype(np.float32)


def write_v21(root: Path, **info: Any) -> Path:
    """Three episodes of a two-jointed arm with one camera; `info` replaces entries."""
    value: dict[str, Any] = {
        "codebase_version": "v2.1",
        "robot_type": "koch",
        "fps": 30,
        "total_episodes": 3,
        "chunks_size": 1000,
        "data_path": DATA,
        "video_path": VIDEO,
        "features": {
            "observation.state": {"dtype": "float32", "shape": [2], "names": ["hip", "knee"]},
            "action": {"dtype": "float32", "shape": [2], "names": ["hip", "knee"]},
            TOP: {"dtype": "video", "shape": [32, 48, 3], "names": ["height", "width", "channel"]},
            "timestamp": {"dtype": "float32", "shape": [1], "names": None},
            "episode_index": {"dtype": "int64", "shape": [1], "names": None},
        },
    }
    features = info.pop("features", {})
    value |= info
    value["features"] |= features
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(value))
    rows = [{"episode_index": e, "length": STEPS, "tasks": [f"task {e}"]} for e in range(3)]
    (root / "meta/episodes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for e in range(3):
        write_data(root, e, {"observation.state": column(e, 2), "action": column(e, 2, 0.5)})
        video = root / VIDEO.format(episode_chunk=0, video_key=TOP, episode_index=e)
        video.parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(video, 30, 32, 48, pixel_format="yuv444p") as writer:
            for t in range(STEPS):
                writer.add(bars(100 * e + t))
    return root


def write_data(root: Path, episode: int, columns: dict[str, Any]) -> Path:
    path = root / DATA.format(episode_chunk=0, episode_index=episode)
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = {"timestamp": [t / 30 for t in range(STEPS)], "episode_index": [episode] * STEPS}
    lists = {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in columns.items()
    }
    types = {
        key: pa.list_(pa.float32()) if isinstance(value, np.ndarray) and value.ndim == 2 else None
        for key, value in columns.items()
    }
    arrays = {key: pa.array(value, types.get(key)) for key, value in {**lists, **steps}.items()}
    pq.write_table(pa.table(arrays), path)
    return path


def edit_info(root: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    edit(info)
    path.write_text(json.dumps(info))


@pytest.fixture
def v21(tmp_path: Path) -> Path:
    return write_v21(tmp_path / "v21")


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
        np.testing.assert_array_equal(episode.proprioception, column(e, 2))
        np.testing.assert_array_equal(episode.actions, column(e, 2, 0.5))
        assert [numbers(frame, 0) for frame in episode.images["top"]] == [
            100 * e + t for t in range(STEPS)
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
    write_v21(root, features={"action": {"dtype": "float32", "shape": [2], "names": [["a", "b"]]}})


def motors(root: Path) -> None:
    names = {"motors": ["a", "b"]}
    write_v21(root, features={"action": {"dtype": "float32", "shape": [2], "names": names}})


def places(root: Path) -> None:
    names = {"b": 1, "a": 0}
    write_v21(root, features={"action": {"dtype": "float32", "shape": [2], "names": names}})


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
    root = write_v21(
        tmp_path / "d", features={"action": {"dtype": "float32", "shape": [2], "names": names}}
    )
    report = imported(root)
    assert open_dataset(tmp_path / "out").spec.joint_names == ("action_0", "action_1")
    assert any("3 names for 2 numbers" in note for note in report.notes)


def test_names_that_stand_there_twice_are_told_apart(
    tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    feature = {"dtype": "float32", "shape": [2], "names": ["joint", "joint"]}
    imported(write_v21(tmp_path / "d", features={"action": feature}))
    assert open_dataset(tmp_path / "out").spec.joint_names == ("joint", "joint_2")


def test_channels_first_is_seen_in_the_pictures_themselves(
    tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    feature = {"dtype": "video", "shape": [3, 32, 48], "names": None}
    imported(write_v21(tmp_path / "d", features={TOP: feature}))
    camera = open_dataset(tmp_path / "out").spec.cameras[0]
    assert (camera.height, camera.width) == (32, 48)


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_pictures_in_the_data_files_are_read(
    tmp_path: Path, imported: Callable[..., ImportReport], numbers: Numbers, ending: str
) -> None:
    root = write_v21(
        tmp_path / "d",
        features={TOP: {"dtype": "image", "shape": [32, 48, 3], "names": None}},
    )
    for e in range(3):
        coded = [
            cv2.imencode(ending, np.ascontiguousarray(bars(100 * e + t)[..., ::-1]))[1].tobytes()
            for t in range(STEPS)
        ]
        pictures = [{"bytes": data, "path": f"frame-{t}"} for t, data in enumerate(coded)]
        values = {"observation.state": column(e, 2), "action": column(e, 2), TOP: pictures}
        write_data(root, e, values)
    imported(root)
    episode = open_dataset(tmp_path / "out").episode(2)
    assert [numbers(frame, 0) for frame in episode.images["top"]] == [200, 201, 202, 203, 204]


def test_readings_of_two_axes_and_of_several_columns_stand_side_by_side(
    tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    root = write_v21(
        tmp_path / "d",
        features={
            "observation.pose": {"dtype": "float32", "shape": [2, 2], "names": None},
            "observation.force": {"dtype": "float64", "shape": [1], "names": ["force"]},
        },
    )
    edit_info(root, lambda info: info["features"].pop("observation.state"))
    for e in range(3):
        pose = column(e, 4).reshape(STEPS, 2, 2).tolist()
        force = [float(t) for t in range(STEPS)]
        values = {"action": column(e, 2), "observation.pose": pose, "observation.force": force}
        write_data(root, e, values)
    imported(root)
    dataset = open_dataset(tmp_path / "out")
    expected = ("pose_0", "pose_1", "pose_2", "pose_3", "force")
    assert dataset.proprioception_names == dataset.spec.proprioception_names == expected
    np.testing.assert_array_equal(dataset.lowdim(1).proprioception[:, :4], column(1, 4))


def test_a_robot_that_reads_nothing_gets_a_column_of_zeros_and_a_note(
    v21: Path, tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    edit_info(v21, lambda info: info["features"].pop("observation.state"))
    report = imported(v21)
    dataset = open_dataset(tmp_path / "out")
    assert dataset.proprioception_names == ("no_reading",)
    assert not dataset.lowdim(0).proprioception.any()
    assert any("zeros" in note for note in report.notes)


def test_columns_that_nobody_asked_for_are_noted(
    tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    extra = {"next.reward": {"dtype": "float32", "shape": [1], "names": None}}
    report = imported(write_v21(tmp_path / "d", features=extra))
    assert any("next.reward" in note for note in report.notes)


def test_success_and_intervention_as_lerobot_writes_them_are_kept(
    v21: Path, tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    flags = [False, True, True, False, False]
    values = {"observation.state": column(0, 2), "action": column(0, 2)}
    write_data(v21, 0, {**values, "next.success": flags, "intervention": flags})
    imported(v21)
    episode = open_dataset(tmp_path / "out").episode(0)
    assert episode.success is True and episode.is_takeover is not None
    assert episode.is_takeover.tolist() == flags


def test_a_task_that_is_missing_is_looked_up_or_asked_for(
    v21: Path, tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    rows = [{"episode_index": e, "length": STEPS, "tasks": []} for e in range(3)]
    (v21 / "meta/episodes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (v21 / "meta/tasks.jsonl").write_text(json.dumps({"task_index": 7, "task": "stack"}))
    values = {"observation.state": column(0, 2), "action": column(0, 2)}
    write_data(v21, 0, {**values, "task_index": [7] * STEPS})
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
    report = imported(write_v21(tmp_path / "d", data_path=template))
    assert len(report.kept) == 3 and any(template in note for note in report.notes)


@pytest.mark.parametrize(
    "template",
    ["../{episode_index}.parquet", "/etc/{episode_index}", "data/../../{episode_index}.parquet"],
)
def test_a_template_that_leads_out_of_the_dataset_is_refused(
    tmp_path: Path, imported: Callable[..., ImportReport], template: str
) -> None:
    root = write_v21(tmp_path / "d", data_path=template)
    with pytest.raises(DatasetError, match="leads out of the dataset"):
        imported(root)


def missing_video(root: Path) -> str:
    (root / VIDEO.format(episode_chunk=0, video_key=TOP, episode_index=1)).unlink()
    return "episode_000001.mp4 is missing"


def short_video(root: Path) -> str:
    path = root / VIDEO.format(episode_chunk=0, video_key=TOP, episode_index=1)
    path.write_bytes(path.read_bytes()[:-100])
    return "cut short"


def other_size(root: Path) -> str:
    path = root / VIDEO.format(episode_chunk=0, video_key=TOP, episode_index=1)
    with VideoWriter(path, 30, 16, 16) as writer:
        for _ in range(STEPS):
            writer.add(np.zeros((16, 16, 3), np.uint8))
    return "is 16x16, the camera gives 32x48"


def short_data(root: Path) -> str:
    path = root / DATA.format(episode_chunk=0, episode_index=1)
    path.write_bytes(path.read_bytes()[:400])
    return "cut short or no parquet"


def nan(root: Path) -> str:
    values = column(1, 2)
    values[3, 1] = np.nan
    write_data(root, 1, {"observation.state": values, "action": column(1, 2)})
    return "'observation.state' is not a number at step 3"


def wider(root: Path) -> str:
    write_data(root, 1, {"observation.state": column(1, 3), "action": column(1, 2)})
    return "3 readings and 2 actions a step"


def ragged(root: Path) -> str:
    rows = [[0.0], [0.0] * 3, [0.0] * 2, [0.0] * 2, [0.0] * 2]
    write_data(root, 1, {"observation.state": rows, "action": column(1, 2)})
    return "more numbers in one step"


def words(root: Path) -> str:
    write_data(root, 1, {"observation.state": ["up"] * STEPS, "action": column(1, 2)})
    return "holds no numbers"


def fewer_rows(root: Path) -> str:
    path = root / "meta/episodes.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["length"] = 6
    path.write_text("\n".join(map(json.dumps, rows)))
    return "the index says 6"


def broken_line(root: Path) -> str:
    path = root / "meta/episodes.jsonl"
    path.write_text(path.read_text().replace('{"episode_index": 1', '{"episode_index": "one'))
    return "the index of episodes is damaged"


@pytest.mark.parametrize(
    "damage",
    [
        *(missing_video, short_video, other_size, short_data, nan, wider, ragged, words),
        *(fewer_rows, broken_line),
    ],
)
def test_a_broken_episode_costs_only_itself_and_the_report_says_why(
    v21: Path,
    tmp_path: Path,
    imported: Callable[..., ImportReport],
    damage: Callable[[Path], str],
) -> None:
    why = damage(v21)
    report = imported(v21)
    assert report.kept == ("episode 0", "episode 2")
    (skipped,) = report.skipped
    assert why in skipped.why and "\n" not in skipped.why
    written = json.loads((tmp_path / "out/demoloop/import.json").read_text())
    assert written["skipped"] == [{"name": skipped.name, "why": skipped.why}]
    assert [entry["name"] for entry in written["kept"]] == ["episode 0", "episode 2"]


def empty_meta(root: Path) -> None:
    (root / "meta/info.json").unlink()


def no_action(root: Path) -> None:
    edit_info(root, lambda info: info["features"].pop("action"))


def half_a_rate(root: Path) -> None:
    edit_info(root, lambda info: info.update(fps=29.97))


def old(root: Path) -> None:
    edit_info(root, lambda info: info.update(codebase_version="v1.6"))


def nothing_there(root: Path) -> None:
    for path in root.rglob("*.parquet"):
        path.unlink()


@pytest.mark.parametrize("damage", [empty_meta, no_action, half_a_rate, old, nothing_there])
def test_what_cannot_be_imported_at_all_is_one_sentence_and_leaves_nothing(
    v21: Path,
    tmp_path: Path,
    imported: Callable[..., ImportReport],
    damage: Callable[[Path], None],
) -> None:
    damage(v21)
    with pytest.raises(DatasetError) as caught:
        imported(v21)
    assert str(v21) in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [v21]


def test_a_rate_that_is_no_whole_number_is_counted_as_told(
    v21: Path, tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    half_a_rate(v21)
    imported(v21, fps=30)
    dataset = open_dataset(tmp_path / "out")
    assert dataset.fps == 30
    np.testing.assert_allclose(dataset.lowdim(0).time, np.arange(STEPS) / 30, atol=1e-6)


def test_the_source_is_not_touched(v21: Path, imported: Callable[..., ImportReport]) -> None:
    def state() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in v21.rglob("*") if path.is_file()}

    before = state()
    imported(v21)
    assert state() == before
