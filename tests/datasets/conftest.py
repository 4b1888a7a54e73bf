"""A small robot, episodes that carry their own numbers, and the recorded data of others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from demoloop.datasets import DatasetWriter, Episode
from demoloop.robot import CameraSpec, JointSpec, RobotSpec

RECORDED = Path(__file__).parents[2] / ".." / "shared" / "data"


@pytest.fixture(scope="session")
def spec() -> RobotSpec:
    return RobotSpec(
        name="two_joints",
        joints=(
            JointSpec("shoulder", -2.0, 2.0, 3.0, 10.0),
            JointSpec("gripper", 0.0, 1.0, 3.0, 10.0, "opening"),
        ),
        cameras=(CameraSpec("front", 32, 48), CameraSpec("wrist", 32, 48)),
        control_hz=30.0,
    )


def bars(number: int, camera: int) -> np.ndarray:
    """(32, 48, 3): bar b is white if bit b of `number` is set; the second camera is upside down."""
    bits = (number >> np.arange(12)) & 1
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16] = np.repeat(bits, 4)[None, :, None] * 255
    return picture if camera == 0 else picture[::-1].copy()


def read_bars(picture: np.ndarray, camera: int) -> int:
    """Returns the number `bars` drew."""
    row = (picture if camera == 0 else picture[::-1])[8, 2::4].mean(axis=-1)
    return int(((row > 127) << np.arange(12)).sum())


@pytest.fixture(scope="session")
def make_episode(spec: RobotSpec) -> Callable[..., Episode]:
    def make(seed: int = 0, steps: int = 6, task: str = "pick the cube") -> Episode:
        rng = np.random.default_rng(seed)
        time = 100.0 + np.cumsum(rng.uniform(0.03, 0.04, steps))
        return Episode(
            task=task,
            time=time,
            proprioception=rng.normal(size=(steps, 4)).astype(np.float32),
            actions=rng.normal(size=(steps, 2)).astype(np.float32),
            images={
                camera.name: np.stack([bars(100 * seed + t, c) for t in range(steps)])
                for c, camera in enumerate(spec.cameras)
            },
            image_times={camera: time - 0.001 for camera in spec.camera_names},
            success=None if seed == 0 else seed % 2 == 0,
            seed=None if seed == 0 else seed,
        )

    return make


@pytest.fixture(scope="session")
def recorded_once(
    tmp_path_factory: pytest.TempPathFactory, spec: RobotSpec, make_episode: Callable[..., Episode]
) -> Path:
    folder = tmp_path_factory.mktemp("datasets") / "dataset"
    with DatasetWriter(folder, spec) as writer:
        for seed in (1, 2, 3):
            writer.add(make_episode(seed, steps=4 + seed))
    return folder


@pytest.fixture
def root(tmp_path: Path, recorded_once: Path) -> Path:
    """A dataset of three episodes of 5, 6 and 7 steps, seeds 1, 2 and 3; may be spoilt."""
    return Path(shutil.copytree(recorded_once, tmp_path / "dataset"))


@pytest.fixture
def numbers() -> Callable[[np.ndarray, int], int]:
    """Reads the number a frame of `make_episode` carries."""
    return read_bars


def recorded(name: str) -> Path:
    folder = RECORDED / name
    if not folder.exists():
        pytest.skip(f"recorded data {name} is not beside the repository")
    return folder


@pytest.fixture
def lerobot_sample() -> Path:
    return recorded("lerobot_v30_sample")


@pytest.fixture
def g1() -> Path:
    return recorded("lerobot_v21_g1")
