"""Laws of resuming: a run that was stopped, however rudely, ends as one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from demoloop.policies import Policy, PolicyError
from demoloop.policies.checkpoint import NAME, Checkpoint
from demoloop.policies.train import train
from demoloop.policies.train_config import TrainConfig

STEPS = 250


class Stop(Exception):
    """Stands for whatever ends a process."""


def stopped(config: TrainConfig, num_steps: int) -> None:
    """Trains until just after step `num_steps`, with a checkpoint after every step."""

    def stop(policy: Policy) -> dict[str, float]:
        raise Stop

    assert config.steps is not None
    judgements = config.steps // num_steps
    with pytest.raises(Stop):
        train(
            replace(config, checkpoint_every_s=0.0, num_judgements=judgements),
            stop,
            progress=False,
        )


def metrics(run: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines]


def assert_same(run: Path, other: Path) -> None:
    one, two = Checkpoint.load(run), Checkpoint.load(other)
    assert one.tensors.keys() == two.tensors.keys()
    different = [n for n in one.tensors if not torch.equal(one.tensors[n], two.tensors[n])]
    assert not different
    assert one.info["sampler"] == two.info["sampler"]
    assert metrics(run) == metrics(other)


@pytest.mark.parametrize("policy", ["chunk", "act"])
def test_stopped_and_resumed_run_equals_one_without_a_break(
    config: TrainConfig, tmp_path: Path, policy: str, sizes: dict[str, dict[str, int | float]]
) -> None:
    config = replace(config, policy=policy, sizes=sizes[policy])
    whole = train(config, progress=False)
    broken = replace(config, out=tmp_path / "broken")
    stopped(broken, 4)
    assert 4 <= Checkpoint.load(broken.out).info["progress"]["step"] < 12
    assert_same(train(replace(broken, resume=True), progress=False), whole)


@pytest.fixture(scope="module")
def whole(
    data: Path, sizes: dict[str, dict[str, int | float]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The run that `started` starts, without a break."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("whole") / "run"
    config = TrainConfig(
        data, out, sizes=sizes["chunk"], steps=STEPS, batch_size=8, horizon=4,
        image_size=(16, 24), warmup_steps=3,
    )  # fmt: skip
    return train(config, progress=False)


def started(config: TrainConfig, out: Path, *more: str) -> subprocess.Popen[bytes]:
    """A process of its own that trains."""
    sizes = [str(word) for size in config.sizes.items() for word in size]
    command = [sys.executable, "-m", "demoloop", "train", "--data", str(config.data)]
    command += ["--out", str(out), "--sizes", *sizes, "--steps", str(STEPS)]
    command += ["--batch-size", "8", "--horizon", "4", "--image-size", "16", "24"]
    return subprocess.Popen(
        [*command, "--warmup-steps", "3", *more],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def wait_for(process: subprocess.Popen[bytes], is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_there():
        assert process.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_killed_process_resumes_to_the_bit(
    config: TrainConfig, tmp_path: Path, whole: Path
) -> None:
    run = tmp_path / "killed"
    process = started(config, run, "--checkpoint-every-s", "0")
    lines = run / "metrics.jsonl"
    wait_for(process, lambda: (run / NAME).exists() and lines.exists())
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    with lines.open("a") as file:  # written after the checkpoint, and cut short by the kill
        file.write('{"step": 240, "loss": 9.0}\n{"step": 4')
    assert_same(train(replace(config, out=run, steps=STEPS, resume=True), progress=False), whole)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_saves_what_was_learnt_and_resumes_to_the_bit(
    config: TrainConfig, tmp_path: Path, whole: Path
) -> None:
    run = tmp_path / "stopped"
    process = started(config, run)
    wait_for(process, lambda: (run / "metrics.jsonl").exists())  # 100 steps, no checkpoint yet
    assert not (run / NAME).exists()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"--resume goes on" in said
    assert b"Traceback" not in said
    assert_same(train(replace(config, out=run, steps=STEPS, resume=True), progress=False), whole)


def test_resuming_a_finished_run_changes_nothing(config: TrainConfig) -> None:
    run = train(config, progress=False)
    before, lines = Checkpoint.load(run), metrics(run)
    train(replace(config, resume=True), progress=False)
    after = Checkpoint.load(run)
    assert all(torch.equal(before.tensors[n], after.tensors[n]) for n in before.tensors)
    assert metrics(run) == lines


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sizes": {"width": 8}}, "sizes"),
        ({"policy": "act", "sizes": {"dim": 16}}, "policy"),
        ({"horizon": 5}, "horizon"),
        ({"image_size": (16, 16)}, "image_size"),
        ({"seed": 1}, "seed"),
        ({"batch_size": 4}, "batch_size"),
        ({"held_out": (0,)}, "held_out"),
        ({"max_episodes": 2}, "max_episodes"),
    ],
)
def test_resuming_as_another_run_is_refused_by_what_differs(
    config: TrainConfig, change: dict[str, Any], named: str
) -> None:
    train(config, progress=False)
    with pytest.raises(PolicyError, match=f"cannot resume .*: its {named} was"):
        train(replace(config, resume=True, **change), progress=False)


def test_resuming_with_another_dataset_is_refused(
    config: TrainConfig, tmp_path: Path, make_dataset: Callable[..., Path]
) -> None:
    train(config, progress=False)
    other = make_dataset(tmp_path / "other", 2)
    with pytest.raises(PolicyError, match=r"it learned from .* choose another --out"):
        train(replace(config, data=other, resume=True), progress=False)


def test_resuming_nothing_is_refused(config: TrainConfig) -> None:
    with pytest.raises(PolicyError, match="no checkpoint in"):
        train(replace(config, resume=True), progress=False)
