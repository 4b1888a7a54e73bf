"""Whether a policy does what is pointed at: `python benchmarks/sort.py`.

Records demonstrations of `sort` by the scripted expert, trains one policy that is told by marks
which cube and where to, exports it, and judges the exported file twice on seeds 0 to 99: with a
person who points at what is meant, and, as the control, with one who points at another cube and
another tray. A policy that listens must succeed in the first and fail in the second. Folders that
are there already are used again. Exit code 1 when a bar is missed.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")
sys.path.insert(0, str(Path(__file__).parent))

import tyro
from trained import trained

from demoloop.cli.evaluate import ExpertAgent, PolicyAgent
from demoloop.cli.record import Options as RecordOptions
from demoloop.cli.record import record_expert
from demoloop.policies.augment import AugmentConfig
from demoloop.policies.train_config import TrainConfig
from demoloop.sim.evaluate import Evaluation, evaluate
from demoloop.sim.seeds import EVALUATION_SEEDS

LEAST, MOST_MISLED = 80, 40  # of 100, the bars: at least, and fewer than


@dataclass(frozen=True)
class Options:
    """Record, train, judge with marks and with misleading marks."""

    demonstrations: int = 800
    """How many to learn from: nine pairs of cube and tray, 90 of each."""
    steps: int = 12_000
    """Of training, 32 frames each: the same weights on a busy machine as on a quiet one."""
    policy: str = "chunk"
    """Which network."""
    sizes: dict[str, int | float] = field(default_factory=dict)
    """Sizes of it that differ from their defaults."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """How images and pointing vary."""
    seed: int = 0
    """Of training."""
    episodes: int = 100
    """To judge on, from seed 0."""
    expert: bool = True
    """Judge the expert as well."""
    out: Path = Path("runs/sort")
    """Where dataset, runs and judgements go."""
    name: str = "policy"
    """Of the run's folder."""


def main(options: Options) -> int:
    """Prints three success rates and the bars."""
    seeds = EVALUATION_SEEDS[: options.episodes]
    if options.expert:
        expert = evaluate("sort", ExpertAgent(), seeds, video=False)
        print(f"expert      {expert.summary()}", flush=True)
    path = _trained(options)
    agent = PolicyAgent(path)
    told = evaluate("sort", agent, seeds, folder=options.out / options.name / "told")
    print(f"policy      {told.summary()}", flush=True)
    misled = evaluate(
        "sort", agent, seeds, folder=options.out / options.name / "misled", misleads=True
    )
    print(f"misled      {misled.summary()}")
    is_met = _percent(told) >= LEAST and _percent(misled) < MOST_MISLED
    print(
        f"bars: at least {LEAST} %, {_percent(told):.0f}; fewer than {MOST_MISLED} % misled, "
        f"{_percent(misled):.0f}: {'met' if is_met else 'MISSED'}"
    )
    return 0 if is_met else 1


def _trained(options: Options) -> Path:
    """Returns the exported policy; prints how it came to be."""
    data, run = options.out / "dataset", options.out / options.name
    if not (run / "policy.onnx").exists():
        record_expert(RecordOptions(data, task="sort", episodes=options.demonstrations))
    config = TrainConfig(
        data=data,
        out=run,
        policy=options.policy,
        sizes=options.sizes,
        augment=options.augment,
        steps=options.steps,
        max_episodes=options.demonstrations,
        seed=options.seed,
    )
    return trained(config)


def _percent(judged: Evaluation) -> float:
    return 100 * judged.num_successes / len(judged.episodes)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
