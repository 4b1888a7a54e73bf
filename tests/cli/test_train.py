"""Laws of `demoloop train`: what bad input gets, and what a torn dataset costs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from demoloop.__main__ import main
from demoloop.cli.train import Options
from demoloop.datasets import DatasetWriter
from demoloop.policies.augment import AugmentConfig
from demoloop.policies.train_config import TrainConfig
from demoloop.robot.arms.so101 import SO101

Complaint = Callable[..., str]


def test_missing_dataset_is_named(complaint: Complaint, tmp_path: Path) -> None:
    said = complaint("train", "--data", tmp_path / "nowhere", "--out", tmp_path / "run")
    assert f"no dataset at {tmp_path / 'nowhere'}" in said
    assert not (tmp_path / "run").exists()


def test_folder_that_is_no_dataset_is_named(complaint: Complaint, tmp_path: Path) -> None:
    said = complaint("train", "--data", tmp_path, "--out", tmp_path / "run")
    assert str(tmp_path) in said


def test_empty_dataset_is_refused(complaint: Complaint, tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "data", SO101):
        pass
    said = complaint("train", "--data", tmp_path / "data", "--out", tmp_path / "run")
    assert "holds no episode yet; record some first" in said


@pytest.mark.parametrize("pattern", ["data/*/*.parquet", "videos/*front*/*/*.mp4"])
def test_dataset_whose_every_file_is_cut_is_refused(
    complaint: Complaint, make_data: Callable[..., Path], tmp_path: Path, pattern: str
) -> None:
    data = make_data()
    for file in data.glob(pattern):
        file.write_bytes(file.read_bytes()[:200])
    said = complaint("train", "--data", data, "--out", tmp_path / "run")
    assert "none of 2 episodes can be read" in said


@pytest.mark.parametrize("pattern", ["data/*/*.parquet", "videos/*front*/*/*.mp4"])
def test_cut_file_costs_its_episode_and_a_sentence_and_the_rest_is_trained_on(
    make_data: Callable[..., Path],
    tmp_path: Path,
    tiny: list[str],
    capfd: pytest.CaptureFixture[str],
    pattern: str,
) -> None:
    data = make_data()
    file = sorted(data.glob(pattern))[1]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    out = tmp_path / "run"
    assert main(["train", "--data", str(data), "--out", str(out), *tiny]) == 0
    said = capfd.readouterr().err
    assert len(re.findall("^demoloop: episode 1 .*left out", said, re.MULTILINE)) == 1
    assert (out / "checkpoint.safetensors").exists()


def test_many_absent_episodes_are_counted_not_listed(
    make_data: Callable[..., Path],
    tmp_path: Path,
    tiny: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = make_data(8)
    for file in sorted(data.glob("data/*/*.parquet"))[1:]:
        file.unlink()
    assert main(["train", "--data", str(data), "--out", str(tmp_path / "run"), *tiny]) == 0
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("demoloop: ")]
    assert len(said) == 4
    assert said[-1] == "demoloop: 4 more episodes are left out"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--policy", "diffusion"], "no policy 'diffusion'; there are chunk, act"),
        (["--sizes", "depth", "3"], "no size 'depth'; it has width, num_keypoints"),
        (["--sizes", "width", "0"], "width is 0; it must be a whole number"),
        (["--held-out", "7"], "has episodes 0 to 1; hold out some of those"),
        (["--held-out", "0", "1"], "all are held out, failed or of weight 0; hold"),
        (["--learning-rate", "nan"], "--learning-rate is nan; it must be greater than 0"),
        (["--judge", "juggle", "--num-judgements", "2"], "no task 'juggle'; there are pick_place"),
        (["--judge", "pick_place"], "the success curve takes both"),
        (["--num-judgements", "2"], "the success curve takes both"),
        (
            ["--judge", "stack", "--num-judgements", "2", "--judge-episodes", "0"],
            "--judge-episodes is 0; it must be 1 to 5000",
        ),
        (["--resume"], "no checkpoint in"),
    ],
)
def test_impossible_wish_is_answered_in_a_sentence_before_anything_is_written(
    complaint: Complaint, so101_data: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    out = tmp_path / "run"
    assert sentence in complaint("train", "--data", so101_data, "--out", out, *words)
    assert not out.exists()


def test_robot_that_cannot_be_simulated_is_not_judged(
    complaint: Complaint, foreign_data: Path, tmp_path: Path
) -> None:
    words = ["--judge", "pick_place", "--num-judgements", "2"]
    said = complaint("train", "--data", foreign_data, "--out", tmp_path / "run", *words)
    assert "does not fit the robot so101: it was trained on g2" in said
    assert not (tmp_path / "run").exists()


def test_file_in_the_place_of_the_run_folder_is_refused(
    complaint: Complaint, so101_data: Path, tmp_path: Path, tiny: list[str]
) -> None:
    (tmp_path / "run").write_text("precious")
    said = complaint("train", "--data", so101_data, "--out", tmp_path / "run", *tiny)
    assert "cannot be written" in said
    assert (tmp_path / "run").read_text() == "precious"


def test_resuming_into_another_dataset_is_refused_and_nothing_lost(
    complaint: Complaint, so101_run: Path, make_data: Callable[..., Path], tiny: list[str]
) -> None:
    before = (so101_run / "checkpoint.safetensors").read_bytes()
    said = complaint("train", "--data", make_data(3), "--out", so101_run, *tiny, "--resume")
    assert "choose another --out, or that very dataset" in said
    assert (so101_run / "checkpoint.safetensors").read_bytes() == before


def names_of_options() -> list[str]:
    names = [f.name for f in (*fields(TrainConfig), *fields(Options))]
    names += [f"augment.{f.name}" for f in fields(AugmentConfig)]
    return [f"--{name.replace('_', '-')}" for name in names if name not in ("config", "augment")]


def test_help_explains_every_option_with_a_sentence_and_a_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "--help"]) == 0
    text = re.sub(r"[│\s]+", " ", capsys.readouterr().out).partition("show this help")[2]
    for option in names_of_options():
        start = re.search(rf" {option}[ ,]", text)
        assert start, option
        sentence = re.split(r"\((?:default|required)", text[start.end() :])[0]
        assert re.search(r"[A-Z][a-z]+.* .+[.:]", sentence), option
        assert len(sentence) < 300, f"{option} has no default of its own"


def test_unknown_policy_is_refused_before_pictures_are_decoded(
    complaint: Complaint, make_data: Callable[..., Path], tmp_path: Path
) -> None:
    data = make_data()
    complaint("train", "--data", data, "--out", tmp_path / "run", "--policy", "diffusion")
    assert not (data / ".cache").exists()
