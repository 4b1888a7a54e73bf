"""Laws of several processes: together they take the steps one takes with the whole batch."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from demoloop.datasets import Batch, open_cache, open_dataset
from demoloop.policies import PolicyError
from demoloop.policies.augment import AugmentConfig
from demoloop.policies.checkpoint import Checkpoint
from demoloop.policies.parallel import Parallel
from demoloop.policies.train import Trainer, train
from demoloop.policies.train_config import TrainConfig


def torchrun(config: TrainConfig, *more: str) -> subprocess.CompletedProcess[str]:
    """Trains in two processes that share every batch by gloo."""
    sizes = [str(word) for size in config.sizes.items() for word in size]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "demoloop", "train"]
    command += ["--data", str(config.data), "--out", str(config.out), "--sizes", *sizes]
    command += ["--steps", str(config.steps), "--batch-size", str(config.batch_size)]
    command += ["--horizon", "4", "--image-size", "16", "24", "--warmup-steps", "3"]
    return subprocess.run(
        [*command, "--augment.colour", "0", *more],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.fixture
def plain(config: TrainConfig) -> TrainConfig:
    """Without augmentation, which every process draws for its own part of a batch."""
    return replace(config, augment=AugmentConfig(colour=0.0))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="gloo over loopback is tried on Linux alone")
def test_two_processes_get_the_gradient_and_the_weights_of_one_with_the_whole_batch(
    plain: TrainConfig, tmp_path: Path
) -> None:
    one = Checkpoint.load(train(replace(plain, steps=1), progress=False)).tensors
    two = replace(plain, out=tmp_path / "two", steps=1)
    done = torchrun(two)
    assert done.returncode == 0, done.stderr
    both = Checkpoint.load(two.out).tensors
    assert both.keys() == one.keys()
    for name in one:
        if name.endswith("exp_avg"):  # after one step, a tenth of the clipped gradient
            # float32, summed in another order.
            torch.testing.assert_close(both[name], one[name], rtol=1e-4, atol=1e-8)
        elif name.startswith("model."):
            # AdamW divides a gradient by its own size: where that is nothing but rounding, a
            # weight may go another way, by no more than the rate of 1e-3 / 3 there and back.
            torch.testing.assert_close(both[name], one[name], rtol=0, atol=7e-4)


class Second(Parallel):
    """One of two processes whose first was told to stop."""

    def __init__(self) -> None:
        self.rank, self.size = 1, 1

    def agree(self, value: float) -> float:
        return math.inf


def test_all_processes_stop_before_the_step_at_which_the_first_was_told_to(
    plain: TrainConfig,
) -> None:
    dataset = open_dataset(plain.data)
    trainer = Trainer(plain, dataset, open_cache(dataset, plain.image_size), Second())
    with pytest.raises(KeyboardInterrupt):
        trainer.run(None, show=False)
    assert trainer.progress.step == 0
    assert not plain.out.exists()  # the first process saves


@pytest.mark.parametrize("size", [2, 3])
def test_parts_of_a_batch_are_disjoint_equal_and_the_whole(
    make_batch: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    batch = make_batch(6)
    parts = []
    for rank in range(size):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(size))
        parts.append(Parallel().slice(batch))
    assert {len(part.index) for part in parts} == {6 // size}
    assert sorted(torch.cat([part.index for part in parts]).tolist()) == list(range(6))
    for part in parts:
        assert torch.equal(part.actions, batch.actions[part.index])
        assert torch.equal(part.is_pad, batch.is_pad[part.index])
        assert torch.equal(part.proprioception, batch.proprioception[part.index])
        assert torch.equal(part.images["front"], batch.images["front"][part.index])


def test_batch_that_cannot_be_shared_equally_is_refused(
    make_batch: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(PolicyError, match=r"--batch-size 6 cannot be shared by 4 processes"):
        Parallel().slice(make_batch(6))


def test_one_process_alone_asks_nobody(make_batch: Callable[..., Batch]) -> None:
    with Parallel() as parallel:
        batch, module = make_batch(3), torch.nn.Linear(2, 2)
        assert parallel.is_first
        assert parallel.slice(batch) is batch
        assert parallel.wrap(module) is module
        assert parallel.agree(0.25) == 0.25
