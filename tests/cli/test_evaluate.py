"""Laws of `demoloop evaluate`: a bad file or wish is refused before anything is simulated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

Complaint = Callable[..., str]


def test_missing_file_is_named(complaint: Complaint, tmp_path: Path) -> None:
    said = complaint("evaluate", tmp_path / "nowhere.onnx", "--episodes", 1)
    assert f"cannot read the policy {tmp_path / 'nowhere.onnx'}" in said


def test_file_without_a_card_is_refused(complaint: Complaint, tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [])
    onnx.save(helper.make_model(graph), tmp_path / "bare.onnx")
    said = complaint("evaluate", tmp_path / "bare.onnx", "--episodes", 1)
    assert "carries no policy card" in said


def test_file_that_is_no_onnx_is_refused(complaint: Complaint, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a policy at all\n")
    said = complaint("evaluate", tmp_path / "notes.txt", "--episodes", 1)
    assert "not an ONNX file, or cut short" in said


def test_another_robots_policy_is_refused_with_what_differs(
    complaint: Complaint, foreign_policy: Path
) -> None:
    said = complaint("evaluate", foreign_policy, "--episodes", 1)
    assert "does not fit the robot so101: it was trained on g2" in said
    assert "joints hip, knee" in said


@pytest.mark.parametrize("where", [0.3, 0.999])
def test_edited_file_is_refused(
    complaint: Complaint, so101_policy: Path, tmp_path: Path, where: float
) -> None:
    data = bytearray(so101_policy.read_bytes())
    data[int(where * len(data))] ^= 1  # among the weights, and in the card at the end
    (tmp_path / "edited.onnx").write_bytes(data)
    said = complaint("evaluate", tmp_path / "edited.onnx", "--episodes", 1)
    assert "edited.onnx" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--task", "juggle"], "no task 'juggle'; there are pick_place"),
        (["--episodes", "0"], "no seed to judge on"),
        (["--episodes", "-3"], "no seed to judge on"),
        (["--seed", "9999", "--episodes", "2"], "seed 10000 is not for judging"),
        (["--workers", "0"], "0 workers cannot judge anything"),
        (["--replan-every", "0"], "replan"),
    ],
)
def test_impossible_wish_is_answered_in_a_sentence(
    complaint: Complaint, so101_policy: Path, words: list[str], sentence: str
) -> None:
    assert sentence in complaint("evaluate", so101_policy, *words)


def test_file_in_the_place_of_the_folder_is_refused(
    complaint: Complaint, so101_policy: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("precious")
    said = complaint("evaluate", so101_policy, "--episodes", 1, "--out", tmp_path / "out")
    assert "choose another folder for the videos" in said
    assert (tmp_path / "out").read_text() == "precious"
