"""Laws of the verb takeover: keys hand the arm over, and the dataset says who decided."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np

from demoloop.datasets import open_dataset


def test_keys_hand_the_emulated_arm_over_and_each_step_says_who_decided(
    policy: Path, tmp_path: Path
) -> None:
    hand, terminal = pty.openpty()
    out = tmp_path / "corrections"
    command = [sys.executable, "-m", "demoloop", "takeover", str(policy), "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--episodes", "1"],
        stdin=terminal,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    os.close(terminal)
    assert process.stdout is not None
    try:
        for answer, key in (
            ("t takes over", "t"),
            ("yours", "g"),
            ("policy's", "t"),
            ("yours", "\r"),
        ):
            for line in process.stdout:
                if answer in line:
                    break
            os.write(hand, key.encode())
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        os.close(hand)
    episode = open_dataset(out).episode(0)
    assert episode.is_takeover is not None
    assert set(np.unique(episode.is_takeover)) == {False, True}
    assert episode.success is False
    # Whoever takes over begins where the arm was sent last: nothing leaps.
    taken = np.flatnonzero(np.diff(episode.is_takeover.astype(int)) == 1)
    for at in taken:
        assert np.abs(episode.actions[at + 1] - episode.actions[at]).max() < 0.2
