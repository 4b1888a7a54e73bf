"""Laws of metrics.jsonl and its picture."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from demoloop.policies.curves import plot_curves
from demoloop.policies.metrics import Log
from demoloop.policies.train_config import Progress


def add(log: Log, steps: range) -> None:
    for step in steps:
        progress = Progress(step=step, seconds=0.5 * step)
        log.add(progress, float(step), waited=0.01, taken=0.5, count=8)
        if log.is_due(step):
            log.write(progress)


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_is_the_mean_since_the_line_before(tmp_path: Path) -> None:
    add(Log(tmp_path / "m", enabled=True), range(1, 201))
    first, second = lines(tmp_path / "m")
    assert (first["step"], first["loss"], second["loss"]) == (100, 50.5, 150.5)
    assert second["samples_per_s"] == 16.0
    assert second["loader_share"] == pytest.approx(0.02)
    assert second["seconds"] == 100.0


def test_a_restored_log_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    add(Log(tmp_path / "whole", enabled=True), range(1, 301))
    before = Log(tmp_path / "broken", enabled=True)
    add(before, range(1, 151))
    state = json.loads(json.dumps(before.state()))
    add(before, range(151, 251))  # what the checkpoint does not know of
    after = Log(tmp_path / "broken", enabled=True)
    after.restore(Progress(step=150), state)
    add(after, range(151, 301))
    assert lines(tmp_path / "broken") == lines(tmp_path / "whole")


def test_a_line_cut_short_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "m"
    add(Log(path, enabled=True), range(1, 101))
    whole = path.read_text()
    path.write_text(whole + '{"step": 100, "succ')
    Log(path, enabled=True).restore(Progress(step=100), {})
    assert path.read_text() == whole


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    log = Log(tmp_path / "m", enabled=False)
    add(log, range(1, 101))
    log.judged(Progress(), {"success": 1.0})
    log.restore(Progress(), {})
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("judged", [False, True])
def test_curves_are_a_picture(tmp_path: Path, judged: bool) -> None:
    log = Log(tmp_path / "m", enabled=True)
    add(log, range(1, 301))
    if judged:
        log.judged(Progress(step=300, seconds=150), {"success": 0.5, "low": 0.4, "high": 0.6})
    plot_curves(tmp_path / "m", tmp_path / "curves.png")
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture is not None
    blue, green, red = (picture[..., channel].astype(int) for channel in range(3))
    assert (blue - red > 60).sum() > 100  # the loss is drawn in blue
    assert ((red - blue > 100) & (red - green > 100)).any() == judged  # success in red
