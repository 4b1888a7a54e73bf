"""The stack is not tied to one arm: real recordings of a humanoid go through all of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from demoloop.__main__ import main
from demoloop.datasets import open_dataset


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, since training leaves its cache in the dataset."""
    recorded = Path(__file__).parents[2] / ".." / "shared" / "data" / "lerobot_v21_g1"
    if not recorded.exists():
        pytest.skip("recorded data lerobot_v21_g1 is not beside the repository")
    root = tmp_path_factory.mktemp("g1") / "g1"
    for source in (path for path in recorded.rglob("*") if path.is_file()):
        target = root / source.relative_to(recorded)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return root


@pytest.fixture(scope="module")
def policy(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained for three steps on the first episode there is, and exported."""
    run = tmp_path_factory.mktemp("run")
    words = ["train", "--data", str(copy), "--out", str(run / "g1"), "--held-out", "1"]
    sizes = ["--image-size", "48", "64", "--horizon", "8", "--batch-size", "4"]
    assert main([*words, *sizes, "--steps", "3"]) == 0
    assert main(["export", str(run / "g1"), str(run / "g1.onnx")]) == 0
    return run / "g1.onnx"


def test_readings_without_a_suffix_are_the_positions_of_the_joints(copy: Path) -> None:
    dataset = open_dataset(copy)
    names = dataset.spec.proprioception_names[: dataset.spec.action_dim]
    assert dataset.proprioception_names == names


def test_absent_episodes_are_said_in_a_few_lines(
    copy: Path, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["open-loop", str(policy), "--data", str(copy), "--out", str(tmp_path)]
    assert main(words) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert said[0].startswith("demoloop: episode 0 is left out: ")
    assert len(said) == 4 and "95 more episodes" in said[3]
    report = json.loads((tmp_path / "open_loop.json").read_text())
    assert len(report["left_out"]) == 98


def test_the_exported_file_is_compared_on_the_held_out_episode_with_doing_nothing(
    copy: Path, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["open-loop", str(policy), "--data", str(copy), "--out", str(tmp_path)]
    assert main(words) == 0
    report = json.loads((tmp_path / "open_loop.json").read_text())
    assert report["episodes"] == [2] and report["trained_on"] == []
    assert set(report["errors"]) == {"policy", "stay where you are", "repeat the last action"}
    assert len(report["errors"]["policy"]["joints"]) == 26
    # 343 frames, 8 steps ahead, those past the end not counted
    assert report["compared_actions"] == 8 * 343 - sum(range(8))
    assert (tmp_path / "open_loop.png").stat().st_size > 10_000
    assert "episode 2 (not trained on)" in capsys.readouterr().out


def test_an_episode_the_policy_was_trained_on_is_called_so(
    copy: Path, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["open-loop", str(policy), "--data", str(copy), "--out", str(tmp_path)]
    assert main([*words, "--episodes", "0"]) == 0
    assert "episode 1 (trained on)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--episodes", "2"], "has episodes 0 to 1, counted among those that are present"),
        (["--out", "pyproject.toml"], "--out pyproject.toml cannot be a folder"),
    ],
)
def test_bad_words_get_one_sentence(
    copy: Path,
    policy: Path,
    words: list[str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    assert main(["open-loop", str(policy), "--data", str(copy), *words]) == 2
    assert expected in capsys.readouterr().err.splitlines()[-1]


def test_a_dataset_of_another_robot_gets_one_sentence(
    policy: Path, lerobot_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["open-loop", str(policy), "--data", str(lerobot_sample), "--out", str(tmp_path)]
    assert main(words) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "moves 26 (kLeftShoulderPitch, " in said and "records 6 (shoulder_pan, " in said
