"""Episodes on their way into a dataset: ended, whole, and not yet numbered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.camera_stream import (
    file_sha256,
    rebuild_video,
    video_path,
    whole_frames,
)
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.stats import FeatureStats, ImageStats
from demoloop.datasets.step_log import Picture, Steps, content_hash, goal_rows, read_steps
from demoloop.robot.video import VideoError, read_frames

MIN_RECOVERED_S = 1.0
"""Of an episode that was cut off: what is shorter shows nothing, and goes to the trash."""


@dataclass(frozen=True)
class StagedEpisode:
    """An episode whose videos are finished and wait in `folder` for their number."""

    folder: Path
    steps: Steps
    video_sha256: Mapping[str, str]  # camera -> of its mp4
    stats: Mapping[str, FeatureStats]  # feature -> of this episode
    success: bool | None
    recovered: bool = False

    @property
    def sha256(self) -> str:
        """Of what was recorded, whatever number the episode gets."""
        return content_hash(self.steps, self.video_sha256)

    @property
    def drops(self) -> dict[str, int]:
        """Camera -> pictures for which there was no room in the queue."""
        return {
            camera: int((kinds == Picture.DROPPED).sum())
            for camera, kinds in self.steps.pictures.items()
        }


def seal(
    folder: Path,
    steps: Steps,
    image_stats: Mapping[str, FeatureStats],
    *,
    success: bool | None,
    recovered: bool = False,
) -> StagedEpisode:
    """Returns an open episode whose files are closed and on the disk, ready to be committed."""
    stats = {
        layout.STATE: FeatureStats.of(steps.proprioception),
        layout.ACTION: FeatureStats.of(steps.actions),
    }
    if steps.goal is not None:
        stats[layout.GOAL] = FeatureStats.of(goal_rows(steps))
    stats |= {layout.IMAGES + camera: image_stats[camera] for camera in steps.spec.camera_names}
    hashes = {camera: file_sha256(video_path(folder, camera)) for camera in steps.spec.camera_names}
    return StagedEpisode(folder, steps, hashes, stats, success, recovered)


def salvage(folder: Path, *, success: bool | None = None) -> StagedEpisode | None:
    """Makes an episode of what a kill, a power cut or a full disk left, up to its shortest part.

    Returns None when that is shorter than `MIN_RECOVERED_S`.
    """
    try:
        steps = read_steps(folder)
        counts = [sum(1 for _ in whole_frames(folder, name)) for name in steps.spec.camera_names]
    except (DatasetError, OSError, ValueError):
        return None
    length = min([len(steps), *counts])
    if length < MIN_RECOVERED_S * steps.spec.control_hz:
        return None
    image_stats = {}
    try:
        for camera in steps.spec.camera_names:
            rebuild_video(folder, camera, int(steps.spec.control_hz), length)
            gathered = ImageStats()
            for picture in read_frames(video_path(folder, camera)):
                gathered.add(picture)
            image_stats[camera] = gathered.stats()
    except (DatasetError, VideoError):  # a disk that is full is said by whoever asked
        return None
    return seal(folder, steps.up_to(length), image_stats, success=success, recovered=True)
