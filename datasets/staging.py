"""The costly part of recording, fit for a worker process: the videos of an episode are encoded."""

from __future__ import annotations

import errno
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.durable import sync
from demoloop.datasets.episode import Episode, check_episode
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_info import read_info
from demoloop.datasets.stats import FeatureStats, image_stats
from demoloop.robot.video import VideoError, VideoWriter


@dataclass(frozen=True)
class StagedEpisode:
    """An episode whose videos are encoded and wait in `folder` for their number."""

    folder: Path
    task: str
    time: NDArray[np.float64]  # (T,) s
    proprioception: NDArray[np.float32]  # (T, P)
    actions: NDArray[np.float32]  # (T, action_dim)
    image_times: dict[str, NDArray[np.float64]]  # camera -> (T,) s
    stats: dict[str, FeatureStats]  # feature -> of this episode
    success: bool | None
    seed: int | None


def stage_episode(root: Path, episode: Episode) -> StagedEpisode:
    """Encodes the videos of an episode into a folder of its own under `root`.

    This is the costly part and may run in any process; `DatasetWriter.commit` does the rest.

    Raises:
        DatasetError: The episode does not fit the dataset, or the disk is full.
    """
    root = Path(root)
    spec = read_info(root).spec
    if spec is None:
        raise DatasetError(f"{root} was not written by demoloop; record into a new folder")
    check_episode(spec, episode)
    folder = root / layout.STAGING / uuid.uuid4().hex
    stats = {
        layout.STATE: FeatureStats.of(episode.proprioception),
        layout.ACTION: FeatureStats.of(episode.actions),
    }
    try:
        folder.mkdir(parents=True)
        for camera in spec.cameras:
            images = episode.images[camera.name]
            path = folder / f"{camera.name}.mp4"
            with VideoWriter(
                path,
                int(spec.control_hz),
                camera.height,
                camera.width,
                crf=layout.CRF,
                pixel_format=layout.PIXEL_FORMAT,
                keyframe_every=layout.KEYFRAME_EVERY,
            ) as video:
                for image in images:
                    video.add(image)
            sync(path)
            stats[layout.IMAGES + camera.name] = image_stats(images)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        cause = error.__cause__ if isinstance(error, VideoError) else error
        if isinstance(cause, OSError):
            raise disk_error(root, cause, read_info(root).total_episodes) from error
        raise
    return StagedEpisode(
        folder=folder,
        task=episode.task,
        time=episode.time,
        proprioception=episode.proprioception,
        actions=episode.actions,
        image_times={name: episode.image_times[name] for name in spec.camera_names},
        stats=stats,
        success=episode.success,
        seed=episode.seed,
    )


def disk_error(root: Path, error: OSError, safe: int) -> DatasetError:
    """Returns what to say when a dataset cannot be written; `safe` episodes are in it."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    what = "the disk is full" if full else f"it cannot be written ({error})"
    return DatasetError(
        f"{root}: {what}; {safe} episodes are safe, the one being written is lost. "
        "Make room and record on"
    )
