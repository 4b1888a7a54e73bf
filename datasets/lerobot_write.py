"""Writes a LeRobot v3.0 dataset, one episode at a time.

A commit puts the new episode's files in their places, then the indices, then info.json: from
that last rename on, and not before, the episode belongs to the dataset. Data and videos that
belong to it are never written again, so a kill or a full disk cannot touch them.
"""

from __future__ import annotations

import errno
import shutil
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.durable import exclusive, move_file, replace_file, sync
from demoloop.datasets.episode import Episode, check_episode
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_index import EpisodeIndex
from demoloop.datasets.stats import FeatureStats, image_stats
from demoloop.robot import RobotSpec
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
    spec = layout.read_info(root).spec
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
                pixel_format=layout.PIXEL_FORMAT,
            ) as video:
                for image in images:
                    video.add(image)
            sync(path)
            stats[layout.IMAGES + camera.name] = image_stats(images)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        cause = error.__cause__ if isinstance(error, VideoError) else error
        if isinstance(cause, OSError):
            raise _disk_error(root, cause, layout.read_info(root).total_episodes) from error
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


class DatasetWriter:
    """Appends episodes to a dataset, new or begun before. One writer at a time.

    `with DatasetWriter(root, spec) as writer: writer.add(episode)`
    """

    def __init__(self, root: Path, spec: RobotSpec) -> None:
        self.root, self.spec = Path(root), spec
        self._index = EpisodeIndex(self.root, spec)
        self._held = ExitStack()

    @property
    def num_episodes(self) -> int:
        """Episodes committed so far, those of earlier sessions included."""
        return self._index.num_episodes

    def __enter__(self) -> DatasetWriter:
        """Creates the dataset or goes on with it; raises DatasetError when the specs differ."""
        _check_spec(self.spec)
        try:
            self._held.enter_context(exclusive(self.root / layout.LOCK, wait=False))
            try:
                self._open()
            except BaseException:
                self._held.close()
                raise
        except OSError as error:
            raise _disk_error(self.root, error, self.num_episodes) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Lets go of the dataset; nothing is left to write."""
        shutil.rmtree(self.root / layout.STAGING, ignore_errors=True)
        self._held.close()

    def add(self, episode: Episode) -> int:
        """Commits one episode and returns its index."""
        return self.commit(stage_episode(self.root, episode))

    def commit(self, staged: StagedEpisode) -> int:
        """Makes a staged episode part of the dataset and returns its index.

        Raises:
            DatasetError: The disk is full; what was committed before is safe.
        """
        episode = self.num_episodes
        try:
            self._place(staged, episode)
            self._index.append(
                length=len(staged.actions),
                task=staged.task,
                success=staged.success,
                seed=staged.seed,
                stats=staged.stats,
            )
        except OSError as error:
            self._discard(episode)
            raise _disk_error(self.root, error, episode) from error
        finally:
            shutil.rmtree(staged.folder, ignore_errors=True)
        return episode

    def _open(self) -> None:
        if (self.root / layout.INFO).exists():
            _check_same(self.root, layout.read_info(self.root).spec, self.spec)
            self._index.load()
        elif any(entry.name != layout.LOCK.name for entry in self.root.iterdir()):
            raise DatasetError(f"{self.root} is not empty and no dataset; record into a new folder")
        else:
            self._index.create()
        # What a killed session had not committed: staged episodes, and half a commit.
        shutil.rmtree(self.root / layout.STAGING, ignore_errors=True)
        self._discard(self.num_episodes)

    def _place(self, staged: StagedEpisode, episode: int) -> None:
        for camera in self.spec.camera_names:
            source = staged.folder / f"{camera}.mp4"
            move_file(source, layout.video_file(self.root, camera, episode))
        table = _data_table(
            staged,
            fps=int(self.spec.control_hz),
            episode=episode,
            first_frame=self._index.num_frames,
            task_index=self._index.task_index(staged.task),
        )
        replace_file(layout.data_file(self.root, episode), lambda path: pq.write_table(table, path))

    def _discard(self, episode: int) -> None:
        """Removes the files of an episode that was not committed."""
        layout.data_file(self.root, episode).unlink(missing_ok=True)
        for camera in self.spec.camera_names:
            layout.video_file(self.root, camera, episode).unlink(missing_ok=True)


def _data_table(
    staged: StagedEpisode, *, fps: int, episode: int, first_frame: int, task_index: int
) -> pa.Table:
    """Returns the data file of one episode, columns in the order of info.json."""
    frames = np.arange(len(staged.actions), dtype=np.int64)
    columns = {
        layout.STATE: _vectors(staged.proprioception),
        layout.ACTION: _vectors(staged.actions),
    }
    columns[layout.TIME] = pa.array(staged.time)
    for camera, times in staged.image_times.items():
        columns[layout.CAMERA_TIME + camera] = pa.array(times)
    columns["timestamp"] = pa.array((frames / fps).astype(np.float32))
    columns["frame_index"] = pa.array(frames)
    columns["episode_index"] = pa.array(np.full_like(frames, episode))
    columns["index"] = pa.array(frames + first_frame)
    columns["task_index"] = pa.array(np.full_like(frames, task_index))
    return pa.table(columns)


def _vectors(values: NDArray[np.float32]) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _check_spec(spec: RobotSpec) -> None:
    if spec.control_hz < 1 or spec.control_hz != int(spec.control_hz):
        raise DatasetError(
            f"{spec.name} has a control rate of {spec.control_hz} Hz; a LeRobot dataset needs a "
            "whole number of frames per second"
        )
    for camera in spec.camera_names:
        if "/" in camera:
            raise DatasetError(f"camera {camera!r}: LeRobot allows no '/' in a name; rename it")


def _check_same(root: Path, theirs: RobotSpec | None, ours: RobotSpec) -> None:
    """Raises DatasetError that names the first difference between two specs."""
    if theirs is None:
        raise DatasetError(f"{root} was not written by demoloop; record into a new folder")
    if theirs == ours:
        return
    for what, old, new in (
        ("joint", {j.name: j for j in theirs.joints}, {j.name: j for j in ours.joints}),
        ("camera", {c.name: c for c in theirs.cameras}, {c.name: c for c in ours.cameras}),
    ):
        for name in [*old, *new]:
            if old.get(name) != new.get(name):
                difference = (
                    f"{what} {name!r} is {old.get(name) or 'absent'} in the dataset and "
                    f"{new.get(name) or 'absent'} on the robot"
                )
                break
        else:
            continue
        break
    else:
        difference = (
            f"it holds {theirs.name} at {theirs.control_hz:g} Hz with {theirs.joint_names}, the "
            f"robot is {ours.name} at {ours.control_hz:g} Hz with {ours.joint_names}"
        )
    raise DatasetError(f"{root} is of another robot: {difference}; record into a new folder")


def _disk_error(root: Path, error: OSError, safe: int) -> DatasetError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    what = "the disk is full" if full else f"it cannot be written ({error})"
    return DatasetError(
        f"{root}: {what}; {safe} episodes are safe, the one being written is lost. "
        "Make room and record on"
    )
