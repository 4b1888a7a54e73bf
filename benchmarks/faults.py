"""Every fault of the list through bytes, and what comes of it: `python benchmarks/faults.py`.

An emulated SO-101 on a pseudo-terminal, paced at 1 Mbaud, under `Supervised` with its usual limits
and a loop of 100 Hz. What must not stop the arm is watched for --seconds; of what must, the time
until it did is the median of --rounds. Exit code 1 when one comes out otherwise than it should.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from demoloop.robot.arms.so101 import ARM
from demoloop.robot.emulator.emulator import emulated_arm
from demoloop.robot.realtime import realtime
from demoloop.robot.safety import Limits

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = str(ROOT / "src")  # of the second process on the port

from tests.robot.safety.listed_faults import CASES, befall  # noqa: E402

LIMITS = Limits(arm_s=0.2, relax_s=0.2)


@dataclass(frozen=True)
class Options:
    """Prints one row per fault."""

    rounds: int = 5
    """How often each befalls the arm."""
    seconds: float = 10.0
    """For which an arm that must keep running is watched."""
    realtime: bool = True
    """The loop runs as that of `demoloop run` does, where the system lets it."""


def main(options: Options) -> int:
    """Returns the exit code."""
    print(f"load {os.getloadavg()[0]:.1f}, {options.rounds} rounds")
    print(f"{'fault':16} {'how':38} {'while':10} {'right':>6} {'state':12} {'ms':>6}  sentence")
    num_wrong = 0
    with emulated_arm(ARM) as emulator, realtime() if options.realtime else nullcontext():
        for case in CASES:
            stays_s = options.seconds / options.rounds
            outcomes = [
                befall(case, emulator, LIMITS, stays_s=stays_s) for _ in range(options.rounds)
            ]
            right = sum(outcome.is_right for outcome in outcomes)
            shown = next((it for it in outcomes if not it.is_right), outcomes[0])
            took = 1e3 * float(np.median([outcome.seconds for outcome in outcomes]))
            num_wrong += right < options.rounds
            print(
                f"{case.name:16} {case.how:38} {case.at:10} {right:3}/{options.rounds:<2} "
                f"{shown.state:12} {took:6.0f}  {shown.sentence}",
                flush=True,
            )
    print(f"{len(CASES) - num_wrong} of {len(CASES)} always right")
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
