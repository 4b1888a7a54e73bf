"""MCAP recordings become ours on a grid of steps that never looks ahead."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.writer import CompressionType

from demoloop.datasets import DatasetError, open_dataset
from demoloop.datasets.importers import ImportOptions, ImportReport, import_dataset

_spec = importlib.util.spec_from_file_location(
    "mcap_files", Path(__file__).with_name("mcap_files.py")
)
assert _spec is not None and _spec.loader is not None
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)

START = 1_700_000_000_000_000_000  # ns, as of a wall clock
STEPS = 6
Numbers = Callable[[np.ndarray, int], int]
Imported = Callable[..., ImportReport]


def at(step: float, hz: float = 30.0) -> int:
    return START + round(step * 1e9 / hz)


def drive(steps: int = STEPS, *, delay: float = 0.0) -> list[Any]:
    """30 Hz; the command of a step is sent `delay` steps after its observation was taken."""
    said = []
    for t in range(steps):
        position, velocity = [t / 7, t / 3], [t / 11, t / 13]
        said.append(make.joint_state(make.STATE, at(t), position, velocity))
        said.append(make.compressed(make.CAMERA, at(t), t))
        said.append(make.joint_state(make.ACTION, at(t + delay), [t / 5, t / 9], []))
    return said


def column(*divisors: int, steps: int = STEPS) -> np.ndarray:
    """Exactly what was said, as float32."""
    return (np.arange(steps)[:, None] / np.array(divisors)).astype(np.float32)


@pytest.fixture
def imported(tmp_path: Path) -> Imported:
    def run(source: Path, **options: Any) -> ImportReport:
        return import_dataset(source, tmp_path / "out", options=ImportOptions(**options))

    return run


@pytest.mark.parametrize("write", [make.write_ros2, make.write_json])
@pytest.mark.parametrize("delay", [0.0, 0.2, 0.9])
def test_mcap_to_ours_keeps_numbers_to_the_bit_and_every_picture_at_its_step(
    tmp_path: Path, imported: Imported, numbers: Numbers, write: Any, delay: float
) -> None:
    write(tmp_path / "a.mcap", drive(delay=delay))
    report = imported(tmp_path / "a.mcap", task="walk")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.fps == 30 and report.format == "mcap" and report.skipped == ()
    assert dataset.spec.joint_names == ("hip", "knee") and not dataset.spec.readings
    episode = dataset.episode(0)
    np.testing.assert_array_equal(episode.proprioception, column(7, 3, 11, 13))
    # Sent after its observation and before the next: it stands beside that observation.
    np.testing.assert_array_equal(episode.actions, column(5, 9))
    (camera,) = dataset.spec.camera_names
    assert [numbers(frame, 0) for frame in episode.images[camera]] == list(range(STEPS))


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8"])
@pytest.mark.parametrize("write", [make.write_ros2, make.write_json])
def test_plain_pictures_are_read(
    tmp_path: Path, imported: Imported, numbers: Numbers, write: Any, encoding: str
) -> None:
    said = [m if m.topic != make.CAMERA else make.plain("/cam", m.time, t // 3, encoding)
            for t, m in enumerate(drive())]  # fmt: skip
    write(tmp_path / "a.mcap", said)
    imported(tmp_path / "a.mcap")
    frames = open_dataset(tmp_path / "out").frames(0, "cam")
    assert [numbers(frame, 0) for frame in frames] == list(range(STEPS))


def test_a_step_shows_the_last_that_had_arrived_and_nothing_later(
    tmp_path: Path, imported: Imported, numbers: Numbers
) -> None:
    said = [make.joint_state(make.STATE, at(t, 100), [t / 7], []) for t in range(100)]
    said += [make.compressed(make.CAMERA, at(t + 0.3, 10), t) for t in range(9)]
    said += [make.joint_state(make.ACTION, at(t, 50), [float(t)], []) for t in range(50)]
    make.write_ros2(tmp_path / "a.mcap", said)
    imported(tmp_path / "a.mcap", fps=20)
    episode = open_dataset(tmp_path / "out").episode(0)
    ticks = 0.03 + np.arange(len(episode)) / 20  # s; from the first picture on
    states = np.floor(ticks * 100 + 1e-6)
    np.testing.assert_array_equal(episode.proprioception[:, 0], (states / 7).astype(np.float32))
    pictures = np.floor(ticks * 10 - 0.3 + 1e-6)
    (camera,) = episode.images
    assert [numbers(frame, 0) for frame in episode.images[camera]] == pictures.tolist()
    # The last command before the next step.
    np.testing.assert_array_equal(episode.actions[:, 0], np.ceil((ticks + 1 / 20) * 50 - 1e-6) - 1)
    ages = episode.time - episode.image_times[camera]
    assert (ages >= -1e-6).all() and (ages < 0.1 + 1e-6).all()


def test_what_comes_later_changes_nothing_before(tmp_path: Path) -> None:
    def run(name: str, said: list[Any]) -> Any:
        make.write_ros2(tmp_path / f"{name}.mcap", said)
        import_dataset(tmp_path / f"{name}.mcap", tmp_path / name, options=ImportOptions(fps=30))
        return open_dataset(tmp_path / name).lowdim(0)

    said = drive(delay=0.5)
    changed = [
        m._replace(value={**m.value, "position": [9.0, 9.0]})
        if m.kind == "JointState" and m.time > at(3) else m
        for m in said
    ]  # fmt: skip
    one, other = run("one", said), run("other", changed)
    np.testing.assert_array_equal(one.proprioception[:4], other.proprioception[:4])
    np.testing.assert_array_equal(one.actions[:3], other.actions[:3])
    assert (other.actions[3:] == 9).all()


def test_gaps_are_reported(tmp_path: Path, imported: Imported) -> None:
    said = [m for m in drive(30) if m.topic != make.CAMERA or not at(10) < m.time < at(22)]
    make.write_ros2(tmp_path / "a.mcap", said)
    (note,) = [note for note in imported(tmp_path / "a.mcap").notes if "gap" in note]
    assert make.CAMERA in note and "0.40 s at 0.33 s" in note


def test_each_file_of_a_folder_is_an_episode(tmp_path: Path, imported: Imported) -> None:
    (tmp_path / "bags").mkdir()
    for name, steps in (("b", 4), ("a", 7)):
        make.write_json(tmp_path / "bags" / f"{name}.mcap", drive(steps))
    report = imported(tmp_path / "bags")
    assert report.kept == ("a.mcap", "b.mcap")
    assert [episode.length for episode in open_dataset(tmp_path / "out").episodes] == [7, 4]


def test_topics_are_chosen_by_name(tmp_path: Path, imported: Imported) -> None:
    said = drive()
    said += [
        make.Said("/leader", "Float64MultiArray", at(t), {"data": [t / 2], "layout": LAYOUT})
        for t in range(STEPS)
    ]
    make.write_ros2(tmp_path / "a.mcap", said)
    with pytest.raises(DatasetError, match=r"2 topics that may be commands.*/leader"):
        imported(tmp_path / "a.mcap")
    imported(tmp_path / "a.mcap", action=("/leader",), state=(make.STATE,), cameras=(make.CAMERA,))
    dataset = open_dataset(tmp_path / "out")
    np.testing.assert_array_equal(dataset.lowdim(0).actions, column(2))
    assert dataset.spec.joint_names == ("action_0",)


LAYOUT = {"dim": [{"label": "x", "size": 1, "stride": 1}], "data_offset": 0}


def test_joints_in_another_order_are_put_in_the_first_one(
    tmp_path: Path, imported: Imported
) -> None:
    said = drive()
    turned = {
        name: list(reversed(said[6].value[name])) for name in ("name", "position", "velocity")
    }
    said[6] = said[6]._replace(value={**said[6].value, **turned})
    make.write_ros2(tmp_path / "a.mcap", said)
    imported(tmp_path / "a.mcap")
    np.testing.assert_array_equal(
        open_dataset(tmp_path / "out").lowdim(0).proprioception, column(7, 3, 11, 13)
    )


@pytest.mark.parametrize("compression", list(CompressionType))
def test_a_file_that_was_cut_off_is_kept_up_to_there(
    tmp_path: Path, imported: Imported, compression: CompressionType
) -> None:
    path = make.write_json(tmp_path / "a.mcap", drive(60), compression)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    report = imported(path)
    (episode,) = open_dataset(tmp_path / "out").episodes
    assert 5 < episode.length < 40
    assert any("cut short or damaged after" in note for note in report.notes)


def no_mcap(path: Path) -> str:
    path.write_bytes(b"nothing")
    return "is no MCAP"


def empty(path: Path) -> str:
    path.write_bytes(path.read_bytes()[:8])
    return "has no topic"


def nan(path: Path) -> str:
    said = drive()
    said[3] = make.joint_state(make.STATE, at(1), [float("nan"), 0.0], [0.0, 0.0])
    make.write_ros2(path, said)
    return "not finite"


def other_joints(path: Path) -> str:
    said = drive()
    said[3] = make.joint_state(make.STATE, at(1), [1.0], [])
    make.write_ros2(path, said)
    return "speaks of other joints"


def twice(path: Path) -> str:
    said = drive()
    said[0] = said[0]._replace(value={**said[0].value, "name": ["hip", "hip"]})
    make.write_ros2(path, said)
    return "names a joint twice"


def long_ago(path: Path) -> str:
    said = drive()
    make.write_ros2(path, [*said[3:], *(message._replace(time=0) for message in said[:3])])
    return "steps; expected 1 to"


def apart(path: Path) -> str:
    said = drive()
    late = [m._replace(time=m.time + 10**12) for m in said if m.topic == make.CAMERA]
    make.write_ros2(path, [m for m in said if m.topic != make.CAMERA] + late)
    return "do not overlap"


@pytest.mark.parametrize("damage", [no_mcap, empty, nan, other_joints, twice, long_ago, apart])
def test_a_broken_file_costs_only_itself_and_the_report_says_why(
    tmp_path: Path, imported: Imported, damage: Callable[[Path], str]
) -> None:
    (tmp_path / "bags").mkdir()
    for name in "abc":
        make.write_ros2(tmp_path / "bags" / f"{name}.mcap", drive())
    why = damage(tmp_path / "bags" / "b.mcap")
    report = imported(tmp_path / "bags")
    assert report.kept == ("a.mcap", "c.mcap")
    (skipped,) = report.skipped
    assert skipped.name == "b.mcap" and why in skipped.why and "\n" not in skipped.why
