"""Datasets, runs and policy files small enough to be made in seconds, and how a verb complains."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from demoloop.__main__ import main
from demoloop.datasets import DatasetWriter, Episode
from demoloop.robot import CameraSpec, JointSpec, RobotSpec
from demoloop.robot.arms.so101 import SO101

FOREIGN = RobotSpec(
    "g2",
    (JointSpec("hip", -1.0, 1.0, 2.0, 10.0), JointSpec("knee", -1.0, 1.0, 2.0, 10.0)),
    (CameraSpec("head", 32, 32),),
    30.0,
)
Start = Callable[..., "subprocess.Popen[str]"]
TINY = ["--steps", "3", "--batch-size", "4", "--horizon", "4", "--image-size", "16", "16"]
TINY += ["--sizes", "width", "4", "hidden_dim", "16"]


def write_dataset(folder: Path, spec: RobotSpec, num_episodes: int = 2, steps: int = 8) -> Path:
    """An arm that trembles before a flickering wall."""
    rng = np.random.default_rng(0)
    with DatasetWriter(folder, spec) as writer:
        for seed in range(num_episodes):
            time = np.arange(steps) / spec.control_hz
            positions = rng.uniform(0, 0.1, (steps, spec.action_dim)).astype(np.float32)
            images = {
                c.name: rng.integers(0, 256, (steps, c.height, c.width, 3), dtype=np.uint8)
                for c in spec.cameras
            }
            writer.add(
                Episode(
                    task="tremble",
                    time=time,
                    proprioception=np.concatenate([positions, 0 * positions], axis=1),
                    actions=positions,
                    images=images,
                    image_times=dict.fromkeys(images, time),
                    success=True,
                    seed=10_000 + seed,
                )
            )
    return folder


@pytest.fixture
def tiny() -> list[str]:
    """Options of `train` that make a run last seconds."""
    return TINY.copy()


@pytest.fixture(scope="session")
def so101_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes of the SO-101; not to be changed."""
    return write_dataset(tmp_path_factory.mktemp("cli") / "so101", SO101)


@pytest.fixture(scope="session")
def foreign_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes of a robot that has other joints and cameras; not to be changed."""
    return write_dataset(tmp_path_factory.mktemp("cli") / "foreign", FOREIGN)


@pytest.fixture
def make_data(tmp_path: Path) -> Callable[..., Path]:
    """Writes a dataset of the SO-101 that may be spoilt."""

    def make(num_episodes: int = 2, name: str = "data") -> Path:
        return write_dataset(tmp_path / name, replace(SO101), num_episodes)

    return make


def trained(data: Path, folder: Path) -> Path:
    assert main(["train", "--data", str(data), "--out", str(folder), *TINY]) == 0
    return folder


@pytest.fixture(scope="session")
def so101_run(so101_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder; not to be changed."""
    return trained(so101_data, tmp_path_factory.mktemp("cli") / "run")


@pytest.fixture(scope="session")
def so101_policy(so101_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported policy of the SO-101; not to be changed."""
    path = tmp_path_factory.mktemp("cli") / "so101.onnx"
    assert main(["export", str(so101_run), str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def foreign_policy(foreign_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported policy of another robot; not to be changed."""
    folder = tmp_path_factory.mktemp("cli")
    trained(foreign_data, folder / "run")
    assert main(["export", str(folder / "run"), str(folder / "g2.onnx")]) == 0
    return folder / "g2.onnx"


@pytest.fixture
def popen() -> Iterator[Start]:
    """Starts processes, which end at the latest with the test."""
    started: list[subprocess.Popen[str]] = []

    def popen(*words: object, **more: Any) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [str(word) for word in words],
            **{"stdout": pipe, "stderr": pipe, "text": True, "env": environment, **more},
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def start(popen: Start) -> Start:
    """Starts verbs as processes, likewise."""
    return partial(popen, sys.executable, "-m", "demoloop")


@pytest.fixture
def complaint(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a verb on bad input and returns its one sentence."""

    def run(*words: object) -> str:
        capfd.readouterr()
        code = main([str(word) for word in words])
        said = capfd.readouterr().err
        assert code == 2, said
        assert "Traceback" not in said
        sentences = [line for line in said.splitlines() if line.startswith("demoloop: ")]
        assert len(sentences) == 1, said
        return sentences[0]

    return run


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained policy of the SO-101."""
    path = Path(__file__).parents[1] / "deploy" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_policies", path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Path = module.write_policy(tmp_path_factory.mktemp("policy") / "policy.onnx", SO101)
    return found
