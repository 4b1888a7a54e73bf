"""A small robot, a dataset of it, and networks that train in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from demoloop.datasets import Batch, DatasetWriter, Episode
from demoloop.policies import PolicyShape, TrainingRanges
from demoloop.policies.train import train
from demoloop.policies.train_config import TrainConfig
from demoloop.robot import CameraSpec, JointSpec, RobotSpec

SPEC = RobotSpec(
    "tiny",
    (
        JointSpec("pan", -1.0, 1.0, 2.0, 10.0),
        JointSpec("lift", -0.5, 1.5, 2.0, 10.0),
        JointSpec("gripper", 0.0, 1.0, 3.0, 20.0, "opening"),
    ),
    (CameraSpec("front", 32, 48), CameraSpec("wrist", 32, 32)),
    25.0,
)
SIZES: dict[str, dict[str, int | float]] = {
    "chunk": {"width": 4, "num_keypoints": 4, "coarse_dim": 8, "hidden_dim": 16},
    "act": {
        "resnet_width": 4,
        "dim": 16,
        "num_heads": 2,
        "feedforward_dim": 16,
        "num_encoder_layers": 1,
        "num_vae_layers": 1,
        "latent_dim": 4,
    },
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors this small are slower with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def spec() -> RobotSpec:
    return SPEC


@pytest.fixture(scope="session")
def sizes() -> dict[str, dict[str, int | float]]:
    """Sizes per policy that make it tiny; one without an entry keeps its defaults."""
    return SIZES


def make_episode(seed: int, steps: int = 20) -> Episode:
    """A wave through the joints; the picture shows where the pan joint is."""
    rng = np.random.default_rng(seed)
    phase = np.linspace(0, 3, steps)[:, None] + rng.uniform(0, 1, 3)
    positions = (0.4 * np.sin(phase)).astype(np.float32) + 0.4  # (T, 3)
    velocity = np.gradient(positions, 1 / SPEC.control_hz, axis=0).astype(np.float32)
    images = {
        c.name: rng.integers(0, 256, (steps, c.height, c.width, 3), dtype=np.uint8)
        for c in SPEC.cameras
    }
    time = 10.0 + np.arange(steps) / SPEC.control_hz
    return Episode(
        task="wave",
        time=time,
        proprioception=np.concatenate([positions, velocity], axis=1),
        actions=np.concatenate([positions[1:], positions[-1:]]),
        images=images,
        image_times={camera: time for camera in SPEC.camera_names},
        success=True,
        seed=seed,
    )


def write_dataset(folder: Path, num_episodes: int = 3, spec: RobotSpec = SPEC) -> Path:
    with DatasetWriter(folder, spec) as writer:
        for seed in range(num_episodes):
            writer.add(make_episode(seed))
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three episodes of 20 steps; not to be changed."""
    return write_dataset(tmp_path_factory.mktemp("policies") / "data")


@pytest.fixture(scope="session")
def make_wave() -> Callable[..., Episode]:
    return make_episode


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Path]:
    return write_dataset


@pytest.fixture
def config(data: Path, tmp_path: Path) -> TrainConfig:
    """Twelve steps of a tiny `chunk`."""
    return TrainConfig(
        data, tmp_path / "run", sizes=SIZES["chunk"], steps=12, batch_size=8, horizon=4,
        image_size=(16, 24), warmup_steps=3,
    )  # fmt: skip


@pytest.fixture(scope="session")
def run_of(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Trains each policy once, for a few steps; the run folders are not to be changed."""
    runs: dict[str, Path] = {}

    def run(policy: str) -> Path:
        if policy not in runs:
            torch.set_num_threads(1)
            out = tmp_path_factory.mktemp("runs") / policy
            config = TrainConfig(
                data, out, policy=policy, sizes=SIZES.get(policy, {}), steps=6, batch_size=8,
                horizon=4, image_size=(16, 24), warmup_steps=1, learning_rate=1e-2,
            )  # fmt: skip
            runs[policy] = train(config, progress=False)
        return runs[policy]

    return run


@pytest.fixture
def shape() -> PolicyShape:
    return PolicyShape(SPEC, proprioception_dim=6, horizon=4, image_size=(16, 24))


@pytest.fixture
def ranges() -> TrainingRanges:
    rng = np.random.default_rng(0)
    return TrainingRanges(
        rng.uniform(-0.2, 0.2, 6).astype(np.float32),
        rng.uniform(0.1, 2.0, 6).astype(np.float32),
        rng.uniform(-0.1, 0.1, (4, 3)).astype(np.float32),
        rng.uniform(0.05, 0.5, (4, 3)).astype(np.float32),
    )


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    def make(size: int = 4, seed: int = 0, **changes: Any) -> Batch:
        rng = np.random.default_rng(seed)
        batch = Batch(
            index=torch.arange(size),
            images={
                c.name: torch.from_numpy(
                    rng.integers(0, 256, (size, c.height, c.width, 3), dtype=np.uint8)
                )
                for c in SPEC.cameras
            },
            proprioception=torch.from_numpy(rng.uniform(-0.5, 0.5, (size, 6)).astype(np.float32)),
            actions=torch.from_numpy(rng.uniform(0, 1, (size, 4, 3)).astype(np.float32)),
            is_pad=torch.arange(4).expand(size, 4) >= torch.arange(1, size + 1)[:, None],
        )
        return replace(batch, **changes)

    return make


@pytest.fixture
def make_foreign(tmp_path: Path) -> Callable[[], Path]:
    """A dataset as others write it: bare joint names, no velocities, no spec of ours."""

    def make() -> Path:
        folder = write_dataset(tmp_path / "foreign")
        path = folder / "meta/info.json"
        info = json.loads(path.read_text())
        del info["demoloop"]
        state = info["features"]["observation.state"]
        state.update(shape=[3], names=list(SPEC.joint_names))
        path.write_text(json.dumps(info))
        for file in folder.glob("data/*/*.parquet"):
            table = pq.read_table(file)
            at = table.column_names.index("observation.state")
            values = [row[:3] for row in table["observation.state"].to_pylist()]
            column = pa.array(values, pa.list_(pa.float32()))
            pq.write_table(table.set_column(at, "observation.state", column), file)
        return folder

    return make
