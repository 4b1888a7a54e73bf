"""Writes a LeRobot v3.0 dataset, one episode at a time.

A commit puts the new episode's files in their places, then the indices, then info.json: from
that last rename on, and not before, the episode belongs to the dataset. Data and videos that
belong to it are never written again, so a kill or a full disk cannot touch them.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.durable import exclusive, move_file, remove_file, replace_file
from demoloop.datasets.episode import Episode
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_index import EpisodeIndex
from demoloop.datasets.lerobot_info import read_info
from demoloop.datasets.staging import StagedEpisode, disk_error, stage_episode
from demoloop.robot import RobotSpec


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
        _check_folder(self.root)
        try:
            self._held.enter_context(exclusive(self.root / layout.LOCK, wait=False))
            try:
                self._open()
            except BaseException:
                self._held.close()
                raise
        except OSError as error:
            raise disk_error(self.root, error, self.num_episodes) from error
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
            raise disk_error(self.root, error, episode) from error
        finally:
            shutil.rmtree(staged.folder, ignore_errors=True)
        return episode

    def _open(self) -> None:
        if (self.root / layout.INFO).exists():
            _check_same(self.root, read_info(self.root).spec, self.spec)
            self._index.load()
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
        remove_file(layout.data_file(self.root, episode))
        for camera in self.spec.camera_names:
            remove_file(layout.video_file(self.root, camera, episode))


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


def _check_folder(root: Path) -> None:
    """Raises DatasetError when something else is in the folder."""
    if root.exists() and not (root / layout.INFO).exists():
        # A writer killed while creating the dataset leaves its lock, and an empty meta at most.
        known = {layout.LOCK.name, layout.INFO.parent.name}
        if not root.is_dir() or any(entry.name not in known for entry in root.iterdir()):
            raise DatasetError(f"{root} is not empty and no dataset; record into a new folder")


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
