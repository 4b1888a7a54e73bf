"""Laws of the verbs a person leads by the panel: what a kill, Ctrl-C and the end leave behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tyro
from tests.teleop.hand_shapes import FPS, bent
from tests.teleop.web.wire import Wire

from demoloop.cli import evaluate, record, takeover
from demoloop.datasets import DatasetWriter, open_dataset
from demoloop.robot.arms.so101 import SO101
from demoloop.teleop.hand_state import HandState


@contextmanager
def begun(*words: object) -> Iterator[tuple[subprocess.Popen[str], Wire]]:
    """A verb in a process of its own, and its page."""
    command = [sys.executable, "-m", "demoloop", *map(str, words)]
    command += ["--panel.no-browser", "--countdown-s", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            with Wire(process.stdout.readline().split()[1]) as page:
                page.until_phase("ready")
                yield process, page
        finally:
            process.kill()


def show_something(page: Wire, steps: int) -> None:
    page.command("start")
    page.until_phase("recording")
    page.press("KeyW", "KeyP")
    page.until(lambda it: it.header["phase"] == "recording" and it.header["step"] >= steps, "steps")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_ended_while_it_records_loses_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    out = tmp_path / "data"
    with begun("record", "--agent", "keyboard", "--out", out) as (process, page):
        show_something(page, 50)
        process.send_signal(number)
        assert process.wait(60) == (-9 if number == signal.SIGKILL else 130)
    with DatasetWriter(out, SO101) as writer:  # which puts together what a kill left open
        assert writer.num_episodes == 1
    episode = open_dataset(out).episode(0)
    assert len(episode) >= 40  # a second at 25 Hz may have been on its way to the disk
    assert episode.actions[-1, -1] < episode.actions[0, -1]  # the gripper closed, as was held


def test_a_person_and_the_expert_are_judged_on_the_same_seeds(tmp_path: Path, policy: Path) -> None:
    words = ["evaluate", policy, "--agent", "keyboard", "--episodes", 2, "--out", tmp_path]
    with begun(*words, "--workers", 1) as (process, page):
        show_something(page, 10)
        page.command("stop")  # gives up
        page.until(lambda it: len(it.state["session"]["episodes"]) == 1, "an episode")
        page.until_phase("ready")
        page.command("finish")
        page.until_phase("finished")
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0
    rows = [line.split() for line in said.splitlines()]
    assert ["keyboard", "0", "of", "1", "0", "to", "79", "%", "-"] in rows
    assert any(row[:4] == ["policy.onnx", "0", "of", "1"] for row in rows)
    kept = json.loads((tmp_path / "comparison.json").read_text())
    assert [kept[name]["results"][0]["seed"] for name in ("keyboard", "policy.onnx")] == [0, 0]


@pytest.mark.parametrize("options", [record.Options, takeover.Options, evaluate.Options])
@pytest.mark.parametrize(("words", "turned"), [("", 0.3), ("--hand.no-roll", None)])
def test_a_turned_hand_turns_the_gripper_unless_it_shall_not(
    options: type[record.Options | takeover.Options | evaluate.Options],
    words: str,
    turned: float | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))  # nobody has practised
    needed = ["policy.onnx"] if options is takeover.Options else []
    needed += [] if options is evaluate.Options else ["--out", "data"]
    chosen = tyro.cli(options, args=[*needed, *words.split()])
    shown: list[HandState] = []
    device = chosen.hand.device(lambda: shown[-1] if shown else None)
    device.engage()
    rolls = []
    for number in range(90):
        turn = 0.3 * min(1.0, max(0.0, number - 10) / 20)  # clockwise in the picture
        shown.append(bent((0, 0, 0, 0), 1.0, number, turn=turn))
        rolls.append(device.read(number / FPS).roll)
    if turned is None:
        assert set(rolls) == {None}
    else:
        assert rolls[-1] - rolls[5] == pytest.approx(turned, abs=0.02)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("record --out d --agent telepathy", "no --agent 'telepathy'; there are expert, keyboard"),
        ("record --out d --agent leader", "--leader so101_leader:/dev/ttyACM1"),
        ("record --out d --agent replay", "--replay FOLDER"),
        ("record --out d --agent keyboard --panel.no-browser --panel.host nowhere", "IP address"),
        ("record --out d --agent keyboard --randomize", "simulated worlds only"),
        ("evaluate --agent keyboard --robot so101:/dev/nothing", "only a world can judge"),
        ("evaluate --agent keyboard --seed 10000", "not for judging"),
    ],
)
def test_a_wrong_word_is_a_sentence(
    words: str,
    sentence: str,
    complaint: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in complaint(*words.split())
