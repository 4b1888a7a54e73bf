"""`demoloop train`: from a dataset to a run folder."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from demoloop.datasets import Dataset, open_dataset
from demoloop.policies import PolicyError
from demoloop.policies.train import Judge, train
from demoloop.policies.train_config import TrainConfig


@dataclass(frozen=True)
class Options:
    """Leaves a checkpoint, its config, metrics.jsonl and curves.png in the run folder.

    Ctrl-C saves; --resume goes on from there. `torchrun --nproc-per-node N -m demoloop train ...`
    shares each batch among N processes.
    """

    config: Annotated[TrainConfig, tyro.conf.arg(name="")]
    judge: str | None = None
    """Task to try the half-trained policy at in simulation, for the success curve: that often as
    `--num-judgements` says."""
    judge_episodes: int = 20
    """Episodes of each such trial."""


def main(options: Options) -> int:
    """Trains; exit code 0."""
    dataset = open_dataset(options.config.data, options.config.split)
    if os.environ.get("RANK", "0") == "0":  # the first process speaks for all
        for sentence in left_out(dataset):
            print(f"demoloop: {sentence}", file=sys.stderr)
    run = train(options.config, make_judge(options, dataset))
    print(f"trained: {run}/checkpoint.safetensors, {run}/curves.png")
    print(f"next: demoloop export {run} {run}/policy.onnx")
    return 0


def make_judge(options: Options, dataset: Dataset) -> Judge | None:
    """Returns who tries the half-trained policy, None when nobody shall.

    Raises:
        PolicyError: A judge without judgements or the reverse, or a robot that cannot be simulated.
        SimError: There is no such task.
    """
    wanted = options.config.num_judgements
    if (options.judge is None) != (wanted == 0):
        raise PolicyError(
            f"--judge is {options.judge} and --num-judgements {wanted}; the success curve takes "
            "both, such as --judge pick_place --num-judgements 4"
        )
    if options.judge is None:
        return None
    from demoloop.cli.judge import SimJudge

    judge = SimJudge(options.judge, options.judge_episodes)
    judge.check(dataset.spec)
    return judge


def left_out(dataset: Dataset, at_most: int = 3) -> list[str]:
    """Returns a sentence per episode that cannot be read, the last counting those left over."""
    sentences = list(dataset.missing[:at_most])
    if len(dataset.missing) > at_most:
        sentences.append(f"{len(dataset.missing) - at_most} more episodes are left out")
    return sentences
