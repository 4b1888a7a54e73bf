"""`demoloop train`: from a dataset to a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from demoloop.policies.train import train
from demoloop.policies.train_config import TrainConfig


@dataclass(frozen=True)
class Options:
    """Train a policy on a dataset by behaviour cloning."""

    config: Annotated[TrainConfig, tyro.conf.arg(name="")]
    judge: str | None = None
    """Task to try the half-trained policy at in simulation, for the success curve."""
    judge_episodes: int = 20
    """Episodes of each such trial."""


def main(options: Options) -> int:
    """Trains; exit code 0."""
    judge = None
    if options.judge is not None:
        from demoloop.cli.judge import SimJudge

        judge = SimJudge(options.judge, options.judge_episodes)
    run = train(options.config, judge)
    print(f"trained: {run}/checkpoint.safetensors, {run}/curves.png")
    print(f"next: demoloop export {run} {run}/policy.onnx")
    return 0
