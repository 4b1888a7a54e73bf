"""Laws of `demoloop export`: one checked file, or one sentence and no file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from demoloop.__main__ import main
from demoloop.robot.arms.so101 import SO101
from demoloop.robot.card import verify_seal

Complaint = Callable[..., str]


def test_exported_file_is_sealed_and_for_the_recorded_robot(so101_policy: Path) -> None:
    assert verify_seal(so101_policy.read_bytes()).spec == SO101


def test_int8_calibrates_on_the_dataset_trained_on(
    so101_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "int8.onnx"
    assert main(["export", str(so101_run), str(path), "--int8"]) == 0
    assert "of a joint's range" in capsys.readouterr().out
    assert verify_seal(path.read_bytes()).policy == "chunk-int8"


@pytest.mark.parametrize("int8", [[], ["--int8"]])
def test_folder_that_is_no_run_is_refused(
    complaint: Complaint, tmp_path: Path, int8: list[str]
) -> None:
    said = complaint("export", tmp_path, tmp_path / "policy.onnx", *int8)
    assert f"no checkpoint in {tmp_path}; `demoloop train --out" in said
    assert not list(tmp_path.iterdir())


def test_dataset_in_the_place_of_a_run_is_refused(
    complaint: Complaint, so101_data: Path, tmp_path: Path
) -> None:
    assert "no checkpoint in" in complaint("export", so101_data, tmp_path / "policy.onnx")


def test_cut_checkpoint_is_refused(complaint: Complaint, so101_run: Path, tmp_path: Path) -> None:
    data = (so101_run / "checkpoint.safetensors").read_bytes()
    (tmp_path / "checkpoint.safetensors").write_bytes(data[: len(data) // 2])
    said = complaint("export", tmp_path, tmp_path / "policy.onnx")
    assert "is not a whole checkpoint of demoloop" in said


def test_int8_from_another_robots_dataset_is_refused(
    complaint: Complaint, so101_run: Path, foreign_data: Path, tmp_path: Path
) -> None:
    words = ["--int8", "--data", foreign_data]
    said = complaint("export", so101_run, tmp_path / "policy.onnx", *words)
    assert "give a dataset of the robot it was trained on" in said


def test_int8_whose_dataset_is_gone_is_refused(
    complaint: Complaint, so101_run: Path, tmp_path: Path
) -> None:
    words = ["--int8", "--data", tmp_path / "nowhere"]
    assert "no dataset at" in complaint("export", so101_run, tmp_path / "policy.onnx", *words)


def test_folder_in_the_place_of_the_file_is_refused(
    complaint: Complaint, so101_run: Path, tmp_path: Path
) -> None:
    assert "is a folder; name the ONNX file" in complaint("export", so101_run, tmp_path)
