"""The verbs at a port, in processes of their own, as with an arm on the desk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.cli.test_robots import measured
from tests.teleop.web.wire import Wire

from demoloop.datasets import open_dataset
from demoloop.robot.arms import ARMS
from demoloop.robot.calibration import save_calibration
from demoloop.robot.emulator.emulator import Emulator, emulated_arm

pytestmark = pytest.mark.realtime

AT_PORT = [sys.executable, str(Path(__file__).with_name("at_port.py"))]
FOLLOWER, LEADER = ARMS["so101"], ARMS["so101_leader"]


class Desk:
    """A follower and a leader at two ports, both calibrated."""

    def __init__(self, follower: Emulator, leader: Emulator, folder: Path) -> None:
        self.follower = follower
        self.words: list[str] = [
            *("--robot", f"so101:{self._name(folder / 'ttyACM0', follower)}"),
            *("--cameras", "front=fake:1,wrist=fake:2"),
            *("--calibration", str(folder / "follower.json")),
        ]
        self.leading = [
            *("--leader", f"so101_leader:{self._name(folder / 'ttyACM1', leader)}"),
            *("--leader-calibration", str(folder / "leader.json")),
        ]
        save_calibration(folder / "follower.json", measured(FOLLOWER))
        save_calibration(folder / "leader.json", measured(LEADER))

    @staticmethod
    def _name(link: Path, emulator: Emulator) -> Path:
        link.symlink_to(os.path.realpath(emulator.port))  # the pseudo-terminal itself
        return link

    def run(self, *words: object) -> str:
        """Runs a verb to its end, with nobody at the keyboard; returns what it printed."""
        done = subprocess.run(
            [*AT_PORT, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert not any(servo.has_torque for servo in self.follower.control.state().lines["arm"])
        return done.stdout

    def lead(self, *words: object) -> None:
        """Runs a verb that opens the panel, and has one episode recorded there and kept."""
        command = [*AT_PORT, *map(str, words), "--panel.no-browser", "--countdown-s", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                with Wire(process.stdout.readline().split()[1]) as page:
                    page.until_phase("ready")
                    page.command("start")
                    page.until_phase("review")
                    page.command("keep")
                    page.until_phase("finished")
                assert process.wait(60) == 0
            finally:
                process.kill()
        assert not any(servo.has_torque for servo in self.follower.control.state().lines["arm"])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with emulated_arm(FOLLOWER) as follower, emulated_arm(LEADER) as leader:
        yield Desk(follower, leader, tmp_path_factory.mktemp("desk"))


def test_a_demonstration_is_recorded(desk: Desk, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    desk.lead(
        *("record", "--out", out, "--episodes", 1, "--max-seconds", 2, "--task", "Fold yourself."),
        *(*desk.words, *desk.leading),
    )
    episode = open_dataset(out).episode(0)
    assert episode.task == "Fold yourself."
    assert len(episode) > 10
    assert np.ptp(episode.images["front"].astype(int), axis=0).max() > 100  # pictures go on
    _, noted = episode.events[0]
    assert measured(FOLLOWER).event in noted
    assert "camera wrist exposure=" in noted


def test_a_policy_runs(desk: Desk, policy: Path, tmp_path: Path) -> None:
    bind = f"unix://{tmp_path}/policy.sock"
    command = [*AT_PORT, "serve", str(policy), "--bind", bind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().startswith("ready ")
            said = desk.run(
                *("run", "--server", bind, "--max-seconds", 2, *desk.words),
                *("--control", "tcp://127.0.0.1:*", "--telemetry", "tcp://127.0.0.1:*"),
            )
        finally:
            server.terminate()
    assert "so101 at 25 Hz with policy.onnx" in said


def test_a_person_may_take_over(desk: Desk, policy: Path, tmp_path: Path) -> None:
    out = tmp_path / "corrected"
    desk.lead(
        *("takeover", policy, "--out", out, "--episodes", 1, "--max-seconds", 2),
        *(*desk.words, *desk.leading),
    )
    assert len(open_dataset(out).episode(0)) > 10
