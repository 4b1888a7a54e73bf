"""An arm that waves in front of two cameras, and datasets of it, whole or spoilt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from demoloop.datasets import Dataset, DatasetWriter, Episode, open_dataset
from demoloop.robot import CameraSpec, JointSpec, RobotSpec

STEPS = 120


@pytest.fixture(scope="module")
def spec() -> RobotSpec:
    return RobotSpec(
        name="waving_arm",
        joints=(
            JointSpec("shoulder", -2.0, 2.0, 4.0, 40.0),
            JointSpec("elbow", -2.0, 2.0, 4.0, 40.0),
            JointSpec("gripper", 0.0, 1.0, 4.0, 40.0, "opening"),
        ),
        cameras=(CameraSpec("front", 48, 64), CameraSpec("wrist", 48, 64)),
        control_hz=30.0,
    )


def view(shoulder: float, elbow: float) -> np.ndarray:
    """(48, 64, 3): a dark arm before a light wall, further along the more the joints turn."""
    rows, columns = np.mgrid[:48, :64]
    picture = np.full((48, 64, 3), 170, np.uint8)
    picture[(np.abs(columns - 32 - 40 * shoulder) < 5) & (rows > 10)] = (60, 40, 30)
    picture[(np.abs(rows - 24 - 30 * elbow) < 4) & (columns > 40)] = (40, 90, 60)
    return picture


def wave(seed: int) -> Episode:
    """Starts and stops at uneven times, so that no shift but the right one fits."""
    rng = np.random.default_rng(seed)
    time = 50.0 + np.arange(STEPS) / 30.0
    corners = np.sort(rng.choice(np.arange(4, STEPS - 4), 12, replace=False))
    goals = rng.uniform(-0.45, 0.45, (14, 2))
    places = np.searchsorted(corners, np.arange(STEPS))
    wanted = np.concatenate([goals[places], np.full((STEPS, 1), 0.5)], axis=1)
    wanted[STEPS // 2 :, 2] = 0.2
    readings = np.empty((STEPS, 3))
    readings[0] = wanted[0]
    for t in range(1, STEPS):
        readings[t] = readings[t - 1] + np.clip(0.3 * (wanted[t] - readings[t - 1]), -0.06, 0.06)
    # Nothing that is measured stands quite still.
    readings += rng.normal(0, 2e-4, readings.shape)
    velocity = np.gradient(readings, 1 / 30.0, axis=0)
    pictures = np.stack([view(*row[:2]) for row in readings])
    return Episode(
        task="wave",
        time=time,
        proprioception=np.concatenate([readings, velocity], axis=1).astype(np.float32),
        actions=wanted.astype(np.float32),
        images={"front": pictures, "wrist": pictures[:, :, ::-1].copy()},
        image_times={"front": time - 0.01, "wrist": time - 0.02},
        success=True,
        seed=seed,
    )


@pytest.fixture
def episode() -> Episode:
    return wave(1)


@pytest.fixture
def make_dataset(tmp_path: Path, spec: RobotSpec) -> Callable[..., Dataset]:
    """Writes the given episodes, or two whole ones, into a new folder."""

    def make(*episodes: Episode) -> Dataset:
        folder = tmp_path / "waving"
        with DatasetWriter(folder, spec) as writer:
            for one in episodes or (wave(1), wave(2)):
                writer.add(one)
        return open_dataset(folder)

    return make


@pytest.fixture
def frozen(episode: Episode) -> Episode:
    """The front camera shows the same picture from step 30 to step 59."""
    pictures = episode.images["front"].copy()
    pictures[30:60] = pictures[30]
    return replace(episode, images={**episode.images, "front": pictures})


@pytest.fixture(scope="module")
def waves() -> Callable[[int], Episode]:
    """Another seed, other movements."""
    return wave
