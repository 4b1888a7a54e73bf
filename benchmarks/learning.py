"""What a policy learns from how much: `python benchmarks/learning.py TASK [options]`.

Records demonstrations once, then for each number of them and each training seed trains, exports,
and judges the exported file on seeds 0 to 99. Prints a line per run and the throughput. Folders
that are there already are used again, so a run that was stopped goes on.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")

import tyro

from demoloop.cli.evaluate import PolicyAgent
from demoloop.cli.record import Options as RecordOptions
from demoloop.cli.record import record_expert
from demoloop.deploy.chunks import REPLAN_EVERY
from demoloop.policies.export import export
from demoloop.policies.train import train
from demoloop.policies.train_config import TrainConfig
from demoloop.sim.evaluate import Evaluation, evaluate
from demoloop.sim.seeds import EVALUATION_SEEDS


@dataclass(frozen=True)
class Options:
    """Train and judge: every number of demonstrations with every seed."""

    task: tyro.conf.Positional[str] = "pick_place"
    """What to learn."""
    demonstrations: tuple[int, ...] = (200,)
    """How many to learn from; the largest number is recorded."""
    seeds: tuple[int, ...] = (0,)
    """Of training."""
    minutes: float = 10.0
    """Of training."""
    steps: int | None = None
    """Train for so many steps instead, as on a machine that others use too."""
    policy: str = "chunk"
    """Which network."""
    replan_every: int = REPLAN_EVERY
    """Steps to follow one chunk."""
    out: Path = Path("runs/learning")
    """Where datasets, runs and judgements go."""


def main(options: Options) -> None:
    """Prints a line per run."""
    data = options.out / options.task / "dataset"
    record_expert(RecordOptions(data, options.task, max(options.demonstrations)))
    for count in options.demonstrations:
        for seed in options.seeds:
            run = options.out / options.task / f"{options.policy}-{count}-seed-{seed}"
            result = _train_and_judge(options, data, run, count, seed)
            print(f"{count} demonstrations, training seed {seed}: {result.summary()}; {_pace(run)}")


def _train_and_judge(options: Options, data: Path, run: Path, count: int, seed: int) -> Evaluation:
    policy = run / "policy.onnx"
    if not policy.exists():
        config = TrainConfig(
            data=data,
            out=run,
            policy=options.policy,
            budget_minutes=options.minutes,
            steps=options.steps,
            max_episodes=count,
            seed=seed,
        )
        export(train(config), policy)
    agent = PolicyAgent(policy, options.replan_every)
    return evaluate(options.task, agent, EVALUATION_SEEDS[:100], folder=run / "judged")


def _pace(run: Path) -> str:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "loss" in line]
    speed = sorted(line["samples_per_s"] for line in lines)[len(lines) // 2]
    loader = sorted(line["loader_share"] for line in lines)[len(lines) // 2]
    return (
        f"{lines[-1]['seconds'] / 60:.1f} minutes, {lines[-1]['step']} steps, median "
        f"{speed:.0f} samples/s, loader {100 * loader:.1f} % of the time (bar: 5 %)"
    )


if __name__ == "__main__":
    main(tyro.cli(Options))
