"""ACT's and robomimic's HDF5 files become ours; damaged ones are listed, and crash nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

from demoloop.datasets import DatasetError, open_dataset
from demoloop.datasets.importers import ImportOptions, ImportReport, import_dataset

STEPS = 5
Numbers = Callable[[np.ndarray, int], int]
Imported = Callable[..., ImportReport]


def h5(path: Path, mode: str = "r") -> Any:
    """An HDF5 file; what is in one, no type checker knows."""
    return h5py.File(path, mode)


def bars(number: int) -> np.ndarray:
    """(32, 48, 3): bar b is white if bit b of `number` is set; the lower half is red."""
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16] = np.repeat((number >> np.arange(12)) & 1, 4)[None, :, None] * 255
    picture[20:, :, 0] = 255
    return picture


def joints(episode: int, width: int = 14, shift: float = 0.0) -> np.ndarray:
    values = np.arange(STEPS * width).reshape(STEPS, width) / 7 + episode + shift
    return values.astype(np.float32)


def write_act(root: Path, episode: int, *, form: str = "plain", is_sim: bool = True) -> Path:
    root.mkdir(exist_ok=True)
    path = root / f"episode_{episode}.hdf5"
    pictures = np.stack([bars(100 * episode + t) for t in range(STEPS)])
    # ACT's forks hand RGB to OpenCV, which takes it for BGR.
    coded = [cv2.imencode(".jpg", picture)[1] for picture in pictures]
    with h5(path, "w") as file:
        file.attrs["sim"] = is_sim
        file["observations/qpos"] = joints(episode)
        file["observations/qvel"] = joints(episode, shift=100)
        file["action"] = joints(episode, shift=0.5)
        if form == "plain":
            file.create_dataset("observations/images/top", data=pictures, chunks=(1, 32, 48, 3))
        elif form == "padded":
            file.attrs["compress"] = True
            length = max(map(len, coded))
            padded = np.zeros((STEPS, length), np.uint8)
            for row, data in zip(padded, coded, strict=True):
                row[: len(data)] = data
            file["observations/images/top"] = padded
        else:
            kind = h5py.vlen_dtype(np.uint8)
            top = file.create_dataset("observations/images/top", (STEPS,), kind)
            for step, data in enumerate(coded):
                top[step] = data
    return path


def write_robomimic(path: Path, demos: tuple[int, ...] = (0, 1, 2, 10)) -> Path:
    with h5(path, "w") as file:
        words = {"control_freq": 20}
        file.create_group("data").attrs["env_args"] = json.dumps(
            {"env_name": "Lift", "type": 1, "env_kwargs": words}
        )
        for demo in demos:
            group = file.create_group(f"data/demo_{demo}")
            group["actions"] = joints(demo, 7).astype(np.float64)
            group["rewards"] = np.arange(STEPS) == (STEPS - 1) * (demo != 2) - (demo == 2)
            group["obs/robot0_joint_pos"] = joints(demo, 3)
            group["obs/robot0_gripper_qpos"] = joints(demo, 1)
            group["obs/object"] = joints(demo, 10)
            group["obs/agentview_image"] = np.stack([bars(100 * demo + t) for t in range(STEPS)])
    return path


@pytest.fixture
def imported(tmp_path: Path) -> Imported:
    def run(source: Path, **options: Any) -> ImportReport:
        return import_dataset(source, tmp_path / "out", options=ImportOptions(**options))

    return run


@pytest.mark.parametrize("form", ["plain", "padded", "bytes"])
def test_act_to_ours_keeps_numbers_to_the_bit_and_every_picture_at_its_step(
    tmp_path: Path, imported: Imported, numbers: Numbers, form: str
) -> None:
    for episode in (0, 2, 10):
        write_act(tmp_path / "act", episode, form=form)
    report = imported(tmp_path / "act", task="fold")
    assert report.kept == ("episode_0.hdf5", "episode_2.hdf5", "episode_10.hdf5")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.spec.joint_names[0] == "left_waist" and not dataset.spec.readings
    for i, number in enumerate((0, 2, 10)):
        episode = dataset.episode(i)
        expected = np.concatenate([joints(number), joints(number, shift=100)], axis=1)
        np.testing.assert_array_equal(episode.proprioception, expected)
        np.testing.assert_array_equal(episode.actions, joints(number, shift=0.5))
        seen = [numbers(frame, 0) for frame in episode.images["top"]]
        assert seen == [100 * number + t for t in range(STEPS)]
        red = episode.images["top"][0][24, 24].astype(int)
        assert red[0] > 200 and red[1] < 60 and red[2] < 60
    assert dataset.fps == 50 and any("50 Hz" in note for note in report.notes)


def test_the_first_action_of_a_real_robot_pairs_with_the_first_observation(
    tmp_path: Path, imported: Imported
) -> None:
    write_act(tmp_path / "act", 0, is_sim=False)
    report = imported(tmp_path / "act")
    actions = open_dataset(tmp_path / "out").lowdim(0).actions
    np.testing.assert_array_equal(actions, joints(0, shift=0.5))
    assert any("--shift-actions" in note for note in report.notes)


def test_actions_are_shifted_as_act_does_when_asked(tmp_path: Path, imported: Imported) -> None:
    write_act(tmp_path / "act", 0, is_sim=False)
    imported(tmp_path / "act", shift_actions=True)
    actions = open_dataset(tmp_path / "out").lowdim(0).actions
    expected = joints(0, shift=0.5)[[0, 0, 1, 2, 3]]  # action[max(0, t - 1)]
    np.testing.assert_array_equal(actions, expected)


def test_robomimic_to_ours_keeps_numbers_pictures_and_order(
    tmp_path: Path, imported: Imported, numbers: Numbers
) -> None:
    report = imported(write_robomimic(tmp_path / "lift.hdf5"))
    dataset = open_dataset(tmp_path / "out")
    assert report.kept == ("demo_0", "demo_1", "demo_2", "demo_10")
    assert dataset.fps == 20 and dataset.spec.name == "Lift"
    for i, demo in enumerate((0, 1, 2, 10)):
        episode = dataset.episode(i)
        np.testing.assert_array_equal(episode.actions, joints(demo, 7))
        both = {"robot0_joint_pos": joints(demo, 3), "robot0_gripper_qpos": joints(demo, 1)}
        names = list(dict.fromkeys(n.rsplit("_", 1)[0] if n[-1].isdigit() else n
                                   for n in dataset.proprioception_names))  # fmt: skip
        expected = np.concatenate([both[name] for name in names], axis=1)
        np.testing.assert_array_equal(episode.proprioception, expected)
        seen = [numbers(frame, 0) for frame in episode.images["agentview"]]
        assert seen == [100 * demo + t for t in range(STEPS)]
    assert [episode.success for episode in dataset.episodes] == [True, True, None, True]
    assert any("object" in note for note in report.notes)


def test_what_only_a_simulator_knows_is_read_when_asked(tmp_path: Path, imported: Imported) -> None:
    imported(write_robomimic(tmp_path / "lift.hdf5"), state=("object",))
    np.testing.assert_array_equal(
        open_dataset(tmp_path / "out").lowdim(0).proprioception, joints(0, 10)
    )


def test_a_rate_that_stands_nowhere_is_asked_for(tmp_path: Path, imported: Imported) -> None:
    path = write_robomimic(tmp_path / "lift.hdf5")
    with h5(path, "a") as file:
        file["data"].attrs["env_args"] = "{"
    with pytest.raises(DatasetError, match="give --fps"):
        imported(path)
    imported(path, fps=20)


def test_a_name_that_is_not_there_lists_those_that_are(tmp_path: Path, imported: Imported) -> None:
    path = write_robomimic(tmp_path / "lift.hdf5")
    with pytest.raises(DatasetError, match="no camera 'wrist'; it has agentview_image"):
        imported(path, cameras=("wrist",))


def cut(path: Path) -> str:
    path.write_bytes(path.read_bytes()[:3000])
    return "cannot be read"


def no_hdf5(path: Path) -> str:
    path.write_bytes(b"nothing")
    return "is no HDF5 file"


def no_action(path: Path) -> str:
    with h5(path, "a") as file:
        del file["action"]
    return "has no array 'action'"


def nan(path: Path) -> str:
    with h5(path, "a") as file:
        file["observations/qpos"][2, 3] = np.nan
    return "proprioception: left_forearm_roll.pos is not a number at step 2"


def fewer_pictures(path: Path) -> str:
    with h5(path, "a") as file:
        pictures = file["observations/images/top"][:3]
        del file["observations/images/top"]
        file["observations/images/top"] = pictures
    return "has 3 steps, its actions have 5"


def another_size(path: Path) -> str:
    with h5(path, "a") as file:
        del file["observations/images/top"]
        file["observations/images/top"] = np.zeros((STEPS, 8, 8, 3), np.uint8)
    return "the camera gives 32x48"


def bomb(path: Path) -> str:
    with h5(path, "a") as file:
        del file["observations/images/top"]
        # Nothing of it is on the disk, and all of it would be in memory.
        file.create_dataset(
            "observations/images/top", (STEPS, 8000, 8000, 3), np.uint8, chunks=(1, 1000, 1000, 3)
        )
    return "more than its file"


def picture_bomb(path: Path) -> str:
    coded = bytearray(cv2.imencode(".png", bars(0))[1].tobytes())
    coded[16:24] = (100_000).to_bytes(4, "big") * 2  # width and height of the header
    with h5(path, "a") as file:
        del file["observations/images/top"]
        top = file.create_dataset("observations/images/top", (STEPS,), h5py.vlen_dtype(np.uint8))
        for step in range(STEPS):
            top[step] = np.frombuffer(bytes(coded), np.uint8)
    return "a picture of 100000x100000"


def elsewhere(path: Path) -> str:
    """An array whose bytes lie in a file of the reader's, not of the dataset."""
    secret = path.with_name("secret")
    secret.write_bytes(bytes(STEPS * 32 * 48 * 3))
    with h5(path, "a") as file:
        del file["observations/images/top"]
        file.create_dataset(
            "observations/images/top",
            (STEPS, 32, 48, 3),
            np.uint8,
            external=[(str(secret), 0, secret.stat().st_size)],
        )
    return "has no array 'observations/images/top'"


def linked(path: Path) -> str:
    with h5(path, "a") as file:
        del file["action"]
        file["action"] = h5py.ExternalLink("episode_0.hdf5", "/action")
    return "has no array 'action'"


@pytest.mark.parametrize(
    "damage",
    [
        *(cut, no_hdf5, no_action, nan, fewer_pictures, another_size),
        *(bomb, picture_bomb, elsewhere, linked),
    ],
)
def test_a_broken_file_costs_only_itself_and_the_report_says_why(
    tmp_path: Path, imported: Imported, damage: Callable[[Path], str]
) -> None:
    for episode in range(3):
        write_act(tmp_path / "act", episode)
    why = damage(tmp_path / "act" / "episode_1.hdf5")
    report = imported(tmp_path / "act")
    assert report.kept == ("episode_0.hdf5", "episode_2.hdf5")
    (skipped,) = report.skipped
    assert skipped.name == "episode_1.hdf5" and why in skipped.why and "\n" not in skipped.why


def test_nothing_left_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, imported: Imported
) -> None:
    cut(write_act(tmp_path / "act", 0))
    with pytest.raises(DatasetError, match=r"episode_0\.hdf5"):
        imported(tmp_path / "act")
    assert [path.name for path in tmp_path.iterdir()] == ["act"]
