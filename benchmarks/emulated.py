"""The same policy on the same seeds, in plain simulation and on the emulated arm.

    python benchmarks/emulated.py policy.onnx --episodes 100

The emulated arm lives in real time: about 8 s an episode, and whatever else this computer does
counts against it. Exit code 1 when the two success rates differ by more than 5 points.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

os.environ.setdefault("MUJOCO_GL", "egl")

from demoloop.cli.evaluate import PolicyAgent
from demoloop.sim.evaluate import Evaluation, evaluate
from demoloop.sim.evaluate_live import evaluate_emulated

BAR_POINTS = 5.0


@dataclass(frozen=True)
class Options:
    """Judges a policy twice."""

    policy: tyro.conf.Positional[Path]
    """ONNX file that `demoloop export` wrote."""
    task: str = "pick_place"
    """What it was trained for."""
    episodes: int = 100
    """How many, each with a seed of its own."""
    seed: int = 0
    """Of the first."""
    workers: int = 2
    """Processes for the simulation."""


def main(options: Options) -> int:
    """Prints both rates and who did better where."""
    agent = PolicyAgent(options.policy)
    seeds = range(options.seed, options.seed + options.episodes)
    plain = evaluate(options.task, agent, seeds, workers=options.workers, video=False)
    print(f"simulation  {plain.summary()}", flush=True)
    emulated = evaluate_emulated(options.task, agent, seeds)
    print(f"emulated    {emulated.summary()}")
    print(f"only in simulation: {_only(plain, emulated)}; only emulated: {_only(emulated, plain)}")
    points = 100 * (emulated.num_successes - plain.num_successes) / options.episodes
    is_met = abs(points) <= BAR_POINTS
    print(f"difference {points:+.1f} points, bar {BAR_POINTS:g}: {'met' if is_met else 'MISSED'}")
    return 0 if is_met else 1


def _only(one: Evaluation, other: Evaluation) -> str:
    """The seeds that the one solved and the other did not."""
    pairs = zip(one.episodes, other.episodes, strict=True)
    seeds = [str(a.seed) for a, b in pairs if a.success and not b.success]
    return ", ".join(seeds) or "none"


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
