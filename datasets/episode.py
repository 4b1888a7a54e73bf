"""One episode as arrays over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.errors import DatasetError
from demoloop.robot import Observation, RobotSpec


@dataclass(frozen=True)
class Episode:
    """What happened from one reset to the next.

    `episode.actions[t]` is the command sent after seeing `episode.proprioception[t]` and
    `episode.images[camera][t]`.
    """

    task: str  # what was asked for, in a sentence
    time: NDArray[np.float64]  # (T,) s, monotonic, when the joints were read
    proprioception: NDArray[np.float32]  # (T, P)
    actions: NDArray[np.float32]  # (T, action_dim)
    images: Mapping[str, NDArray[np.uint8]]  # camera -> (T, height, width, 3) RGB
    image_times: Mapping[str, NDArray[np.float64]]  # camera -> (T,) s, same clock as `time`
    success: bool | None = None  # None: nobody judged
    seed: int | None = None  # of the simulation; None on a real robot
    is_takeover: NDArray[np.bool_] | None = None  # (T,) who decided; None: nobody took over
    events: tuple[tuple[int, str], ...] = ()  # (step, what happened)
    goal: NDArray[np.float32] | None = None  # (num_marks, 2), see Observation; None: nobody pointed

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.actions)

    def observation(self, step: int) -> Observation:
        """Returns what was seen before `actions[step]` was sent."""
        return Observation(
            time=float(self.time[step]),
            proprioception=self.proprioception[step],
            images={camera: images[step] for camera, images in self.images.items()},
            image_times={camera: float(times[step]) for camera, times in self.image_times.items()},
            goal=self.goal,
        )


def check_episode(spec: RobotSpec, episode: Episode) -> None:
    """Raises DatasetError that names the joint or camera in which the two do not fit."""
    steps = len(episode)
    if steps == 0:
        raise DatasetError("the episode has no step; record at least one")
    _check_numbers("actions", episode.actions, (steps, spec.action_dim), spec.joint_names)
    names = spec.proprioception_names
    _check_numbers("proprioception", episode.proprioception, (steps, len(names)), names)
    _check_numbers("time", episode.time, (steps,), ("time",))
    extra = sorted(set(episode.images) - set(spec.camera_names))
    if extra:
        raise DatasetError(
            f"{spec.name} has no camera {extra[0]!r}; it has {', '.join(spec.camera_names)}"
        )
    for camera in spec.cameras:
        expected = (steps, camera.height, camera.width, 3)
        images = episode.images.get(camera.name)
        if images is None:
            raise DatasetError(f"camera {camera.name!r} of {spec.name} is not in the episode")
        if images.shape != expected or images.dtype != np.uint8:
            raise DatasetError(
                f"camera {camera.name!r} gave {images.dtype} {images.shape}, expected uint8 "
                f"{expected}"
            )
        times = episode.image_times.get(camera.name)
        if times is None or times.shape != (steps,) or not np.isfinite(times).all():
            raise DatasetError(f"camera {camera.name!r} needs {steps} finite capture times")


def _check_numbers(
    what: str,
    values: NDArray[np.float32] | NDArray[np.float64],
    expected: tuple[int, ...],
    names: tuple[str, ...],
) -> None:
    if values.shape != expected:
        raise DatasetError(
            f"{what} of shape {values.shape}, expected {expected} for {', '.join(names)}"
        )
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        name = names[bad[0][1]] if values.ndim > 1 else names[0]
        raise DatasetError(f"{what}: {name} is not a number at step {bad[0][0]}; drop the episode")
