"""Teaching by pointing from end to end: shown, recorded, learned, exported, judged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demoloop.cli.record import Options as RecordOptions
from demoloop.cli.record import record_expert
from demoloop.datasets import open_dataset
from demoloop.policies.export import export
from demoloop.policies.train import train
from demoloop.policies.train_config import TrainConfig


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that learned next to nothing, but from demonstrations with marks."""
    folder = tmp_path_factory.mktemp("sort")
    options = RecordOptions(folder / "data", task="sort", episodes=2, workers=1)
    record_expert(options, progress=False)
    sizes: dict[str, int | float] = {"width": 4, "hidden_dim": 16}
    config = TrainConfig(folder / "data", folder / "run", sizes=sizes, steps=2, batch_size=4)
    export(train(config, progress=False), folder / "policy.onnx")
    return folder / "policy.onnx"


def demoloop(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "demoloop", *words],
        capture_output=True, text=True, check=False, env=os.environ | {"LP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_demonstrations_of_sort_hold_what_was_pointed_at(policy: Path) -> None:
    dataset = open_dataset(policy.parent / "data")
    assert dataset.marks is not None
    assert dataset.marks.names == ("object", "place")
    assert dataset.episode(0).goal is not None


def test_policy_is_judged_with_misleading_marks(policy: Path) -> None:
    common = ("evaluate", str(policy), "--task", "sort", "--episodes", "1", "--workers", "1")
    misled = demoloop(*common, "--misleading-marks")
    assert misled.returncode == 0, misled.stderr
    assert "sort: 0 of 1 succeeded with misleading marks (95 %" in misled.stdout


def test_policy_that_is_told_by_marks_says_so_where_nobody_points(policy: Path) -> None:
    judged = demoloop("evaluate", str(policy), "--episodes", "1", "--workers", "1")
    assert judged.returncode == 2
    assert "does what is pointed at, and nobody has pointed" in judged.stderr
    assert "Traceback" not in judged.stderr
