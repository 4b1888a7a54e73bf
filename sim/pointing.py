"""What a person points at, as image coordinates: the world's points seen by a camera."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot import RobotSpec
from demoloop.sim.task import Pointing

POINTING_ERROR = 0.01
"""Of the picture, standard deviation per axis: a fingertip or a mouse is some 1 % off, a pixel of
a 96 px camera, 3 mm on the table. It is in demonstrations and in judged episodes alike."""


def point_at(
    pointing: Pointing,
    spec: RobotSpec,
    model: mujoco.MjModel,
    data: mujoco.MjData,
    seed: int,
    *,
    misleads: bool = False,
) -> NDArray[np.float32]:
    """Returns the marks (num_marks, 2), x right and y down from 0 to 1, of a person of that seed.

    Args:
        pointing: Of the task.
        spec: Whose camera it is that the person looks through.
        model: The world.
        data: Its state, when the episode starts.
        seed: Of the episode. Its own stream: what lies where does not change with it.
        misleads: Points at things that are not meant.
    """
    rng = np.random.default_rng((seed, 11))
    error = rng.normal(0.0, POINTING_ERROR, (len(pointing.marks.names), 2))
    points = pointing.pointed_at(data, rng if misleads else None)
    seen = _seen(pointing.marks.camera, spec, model, data, points)
    return np.clip(seen + error, 0, 1).astype(np.float32)


def _seen(
    camera: str,
    spec: RobotSpec,
    model: mujoco.MjModel,
    data: mujoco.MjData,
    points: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Projects points (N, 3) [m] into a camera: (N, 2), a pinhole without distortion."""
    eye = data.camera(camera)
    inside = (points - eye.xpos) @ eye.xmat.reshape(3, 3)  # x right, y up, looking along -z
    half_height = np.tan(np.deg2rad(float(model.camera(camera).fovy[0])) / 2)
    size = next(one for one in spec.cameras if one.name == camera)
    half = half_height * np.array([size.width / size.height, 1.0])
    seen: NDArray[np.float64] = 0.5 + 0.5 * inside[:, :2] * [1, -1] / (-inside[:, 2:] * half)
    return seen
