"""Laws of the verb takeover: the page hands the arm over, and the dataset says who decided."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.teleop.web.wire import Wire

from demoloop.datasets import open_dataset

pytestmark = pytest.mark.realtime


@pytest.mark.parametrize("robot", ["sim", "so101:emulated"])
def test_a_page_hands_the_arm_over_and_each_step_says_who_decided(
    robot: str, policy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "corrections"
    command = [sys.executable, "-m", "demoloop", "takeover", str(policy), "--out", str(out)]
    command += ["--episodes", "1", "--robot", robot, "--agent", "keyboard", "--countdown-s", "0"]
    with subprocess.Popen(
        [*command, "--panel.no-browser"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            with Wire(process.stdout.readline().split()[1]) as page:
                page.until_phase("ready")
                page.command("start")
                page.until_phase("recording")
                for word, who in (("take", "person"), ("give_back", "policy"), ("take", "person")):
                    step = page.header["step"]
                    page.until(lambda it, step=step: it.header["step"] > step + 3, "some steps")
                    page.command(word)
                    page.until(lambda it, who=who: it.header["who"] == who, who)
                page.press("KeyE")
                page.until(lambda it: it.header["engaged"], "engaged")
                page.command("stop")
                page.until_phase("review")
                page.command("keep")
                page.until_phase("finished")
            assert process.wait(60) == 0
        finally:
            process.kill()
    episode = open_dataset(out).episode(0)
    assert episode.is_takeover is not None
    assert set(np.unique(episode.is_takeover)) == {False, True}
    assert episode.success is False
    # Whoever takes over begins where the arm was sent last: nothing leaps.
    taken = np.flatnonzero(np.diff(episode.is_takeover.astype(int)) == 1)
    for at in taken:
        assert np.abs(episode.actions[at + 1] - episode.actions[at]).max() < 0.2
