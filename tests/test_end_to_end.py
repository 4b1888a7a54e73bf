"""The whole way as a stranger goes it: show, learn, export, judge, by the verbs alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import pytest


def demoloop(*words: object) -> str:
    """Runs a verb in a process of its own and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "demoloop", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_stranger_shows_trains_exports_and_judges_by_the_verbs_alone(tmp_path: Path) -> None:
    data, run, judged = tmp_path / "data", tmp_path / "policy", tmp_path / "judged"
    policy = run / "policy.onnx"

    said = demoloop("record", "--out", data, "--episodes", 4)
    assert f"next: demoloop train --data {data} --out {run}" in said  # that is what comes now

    tiny = ["--steps", 30, "--batch-size", 8, "--image-size", 32, 32, "--sizes", "width", 4]
    said = demoloop("train", "--data", data, "--out", run, *tiny)
    assert f"next: demoloop export {run} {policy}" in said
    assert (run / "curves.png").stat().st_size > 1000

    said = demoloop("export", run, policy)
    assert f"next: demoloop evaluate {policy}" in said

    said = demoloop("evaluate", policy, "--episodes", 2, "--out", judged)
    assert "of 2 succeeded (95 % interval" in said  # how many, so short a training cannot say

    result = json.loads((judged / "evaluation.json").read_text())
    low, high = result["interval"]
    assert 0 <= low <= result["successes"] / 2 <= high <= 1
    assert [episode["seed"] for episode in result["results"]] == [0, 1]
    for episode in result["results"]:
        with av.open(str(judged / episode["video"])) as film:
            assert len(list(film.decode(video=0))) == pytest.approx(episode["num_steps"] / 2, abs=1)
