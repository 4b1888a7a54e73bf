"""Laws of a calibration's file: whole or not at all, unchanged or refused, and of which arm."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.robot.calibration.person import Person

from demoloop.datasets import DatasetWriter, EpisodeRecorder, open_dataset
from demoloop.robot import Observation, RobotError, RobotSpec
from demoloop.robot.arms import ARMS
from demoloop.robot.calibration import (
    Calibration,
    Procedure,
    calibration_file,
    load_calibration,
    port_serial,
    save_calibration,
)
from demoloop.robot.calibration.store import forget_progress, load_progress, save_progress

SO101 = ARMS["so101"]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    person, procedure = Person(SO101, SO101.servos), Procedure(SO101)
    while procedure.step is not None:
        person.obey(procedure)
    return procedure.calibration("5A460849")


def test_file_brings_back_what_was_saved(calibration: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "so101-1.json"
    save_calibration(path, calibration)
    assert load_calibration(path) == calibration


def test_file_can_be_read_by_everybody_whatever_the_umask(
    calibration: Calibration, tmp_path: Path
) -> None:
    old = os.umask(0o077)
    try:
        save_calibration(tmp_path / "c.json", calibration)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "c.json").stat().st_mode) == 0o644


def test_hash_changes_with_anything_measured(calibration: Calibration) -> None:
    changed = [
        replace(calibration, serial="other"),
        replace(calibration, arm="so100"),
        *(
            replace(
                calibration,
                joints=(
                    replace(joint, first_tick=joint.first_tick + 1),
                    *calibration.joints[1:],
                ),
            )
            for joint in calibration.joints[:1]
        ),
    ]
    assert len({it.sha256 for it in (calibration, *changed)}) == 4


def test_hash_is_that_of_the_canonical_json(calibration: Calibration) -> None:
    value = calibration.to_json()
    said = value.pop("sha256")
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    assert said == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"serial": "x"}, "it was changed since it was measured"),
        ({"schema": 2}, "it has schema 2, this demoloop reads 1"),
        ({"joints": [{}]}, "not a calibration"),
        ({"joints": None}, "not a calibration"),
        ({"sha256": 5}, "it was changed"),
    ],
)
def test_changed_file_is_refused(
    change: dict[str, object], sentence: str, calibration: Calibration, tmp_path: Path
) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**calibration.to_json(), **change}))
    with pytest.raises(RobotError, match=sentence) as error:
        load_calibration(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": 1}', "\x00"])
def test_damaged_file_is_refused_with_its_path(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(RobotError, match=str(path)):
        load_calibration(path)


def test_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(RobotError, match=r"there is no calibration .*demoloop calibrate ARM:PORT"):
        load_calibration(tmp_path / "none.json")


def test_calibration_of_another_arm_is_refused(calibration: Calibration) -> None:
    with pytest.raises(RobotError, match="is of arm 'so101', not of 'so100'"):
        calibration.servos(ARMS["so100"])


def test_calibration_of_another_servo_is_refused(calibration: Calibration) -> None:
    joints = (replace(calibration.joints[0], id=9), *calibration.joints[1:])
    with pytest.raises(RobotError, match="shoulder_pan: calibrated as servo 9"):
        replace(calibration, joints=joints).servos(SO101)


def test_progress_is_kept_and_forgotten(calibration: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "so101-1.json"
    assert load_progress(path) == ()
    save_progress(path, calibration.joints[:2])
    assert load_progress(path) == calibration.joints[:2]
    assert not path.exists()
    forget_progress(path)
    assert load_progress(path) == ()


def test_file_stands_below_the_users_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/cfg")
    assert calibration_file("so101", "5A") == Path("/cfg/demoloop/calibration/so101-5A.json")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert calibration_file("so101", "5A") == Path(
        "/home/me/.config/demoloop/calibration/so101-5A.json"
    )


def test_arm_is_known_by_its_adapter_and_not_by_its_port(tmp_path: Path) -> None:
    usb = tmp_path / "devices" / "usb1" / "1-1"
    interface = usb / "1-1:1.0" / "tty" / "ttyACM7"
    interface.mkdir(parents=True)
    (usb / "serial").write_text("5A46/0849\n")
    (tmp_path / "class" / "ttyACM7").mkdir(parents=True)
    (tmp_path / "class" / "ttyACM7" / "device").symlink_to(interface.parent.parent)
    assert port_serial("/dev/ttyACM7", tmp_path / "class") == "5A46_0849"


def test_port_without_a_serial_number_is_known_by_its_name(tmp_path: Path) -> None:
    assert port_serial("/dev/ttyS9", tmp_path) == "ttyS9"
    link = tmp_path / "emulated-so101"
    link.symlink_to("/dev/pts/999")
    assert port_serial(str(link), tmp_path) == "emulated-so101"


def test_hash_goes_with_an_episode(calibration: Calibration, tmp_path: Path) -> None:
    spec = RobotSpec("so101", SO101.spec.joints, cameras=(), control_hz=25)
    root = tmp_path / "d"
    with (
        DatasetWriter(root, spec) as writer,
        EpisodeRecorder(root, task="wave", waits=True) as recorder,
    ):
        recorder.note(calibration.event)
        for step in range(3):
            seen = Observation(step / 25, np.zeros(12, np.float32), {}, {})
            recorder(seen, np.zeros(6, np.float32))
        writer.commit(recorder.finish(success=True))
    episode = open_dataset(root).episode(0)
    assert episode.events == ((0, f"calibration so101 {calibration.sha256}"),)
