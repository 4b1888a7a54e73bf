"""One episode as arrays over time, and the listener that records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.errors import DatasetError
from demoloop.robot import Action, Observation, RobotSpec


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

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.actions)


class EpisodeRecorder:
    """Listens to `run_episode` and keeps what it hears until `finish` makes an Episode of it."""

    def __init__(self) -> None:
        self._steps: list[tuple[Observation, Action]] = []

    def __len__(self) -> int:
        """Number of steps heard since the last `finish` or `clear`."""
        return len(self._steps)

    def __call__(self, observation: Observation, action: Action) -> None:
        """Keeps a copy of one step: a robot may reuse the memory of its pictures."""
        kept = Observation(
            time=observation.time,
            proprioception=observation.proprioception.astype(np.float32),
            images={camera: image.copy() for camera, image in observation.images.items()},
            image_times=dict(observation.image_times),
        )
        self._steps.append((kept, action.astype(np.float32)))

    def clear(self) -> None:
        """Forgets the steps: this attempt is not to be kept."""
        self._steps.clear()

    def finish(self, *, task: str, success: bool | None = None, seed: int | None = None) -> Episode:
        """Returns the steps as an Episode and forgets them."""
        if not self._steps:
            raise DatasetError("no step was recorded; run an episode before finishing it")
        seen = [observation for observation, _ in self._steps]
        cameras = tuple(seen[0].images)
        for step, observation in enumerate(seen):
            if set(observation.images) != set(cameras):
                raise DatasetError(
                    f"step {step} shows cameras {', '.join(observation.images) or 'none'}, "
                    f"step 0 showed {', '.join(cameras) or 'none'}; check the cameras' cables"
                )
        episode = Episode(
            task=task,
            time=np.array([observation.time for observation in seen], np.float64),
            proprioception=np.stack([observation.proprioception for observation in seen]),
            actions=np.stack([action for _, action in self._steps]),
            images={
                name: np.stack([observation.images[name] for observation in seen])
                for name in cameras
            },
            image_times={
                name: np.array([observation.image_times[name] for observation in seen], np.float64)
                for name in cameras
            },
            success=success,
            seed=seed,
        )
        self.clear()
        return episode


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
