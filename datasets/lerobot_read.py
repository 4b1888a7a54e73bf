"""Reads a LeRobot dataset, ours or anybody's in v3.0 or v2.1, as its edits leave it.

Opening reads indices and the ends of files only; numbers and pictures are read when asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.contents import Contents
from demoloop.datasets.episode import Episode
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_files import EpisodeFiles, EpisodeInfo, VideoPart
from demoloop.datasets.lerobot_rows import Lowdim, flags, read_lowdim, read_rows, scalars, words
from demoloop.datasets.view import edited_contents
from demoloop.robot.frame_reader import OPEN_READERS
from demoloop.robot.marked import count_marks
from demoloop.robot.video import VideoError, read_frames


class Dataset:
    """The episodes of a folder that are whole and kept. Opened by `open_dataset`; no file is open.

    `episodes[i]` is what `episode(i)`, `lowdim(i)` and `frames(i, camera)` read: i counts the
    episodes that are present; `episodes[i].index` is the number in the folder.
    """

    def __init__(self, contents: Contents) -> None:
        self.root = contents.root
        self.spec = contents.spec
        self.has_own_spec = contents.has_own_spec  # else the spec is guessed from the data
        self.fps = contents.fps
        self.missing = tuple(contents.missing)  # one sentence per episode that cannot be read
        self.proprioception_names = contents.proprioception_names
        self.marks = contents.marks  # what was pointed at in each episode; None: nobody pointed
        self._files = tuple(contents.episodes)

    @property
    def episodes(self) -> tuple[EpisodeInfo, ...]:
        """The episodes that are present."""
        return tuple(files.info for files in self._files)

    @property
    def num_frames(self) -> int:
        """Steps of all present episodes together."""
        return sum(files.info.length for files in self._files)

    def lowdim(self, i: int) -> Lowdim:
        """Returns the numbers of episode i; no video is touched.

        Raises:
            DatasetError: They are damaged; the message names the episode.
        """
        files = self._files[i]
        try:
            num_readings, num_marks = len(self.proprioception_names), count_marks(self.marks)
            sizes = (num_readings, self.spec.action_dim, num_marks)
            return read_lowdim(files, *sizes)
        except DatasetError as error:
            raise self._damaged(i, str(error)) from error

    def rows(self, i: int) -> pa.Table:
        """Returns the columns of episode i as they are, those of others included."""
        try:
            return read_rows(self._files[i])
        except DatasetError as error:
            raise self._damaged(i, str(error)) from error

    def files(self, i: int) -> EpisodeFiles:
        """Returns where episode i is as it was recorded, before it was trimmed."""
        return self._files[i]

    def videos(self, i: int) -> Mapping[str, VideoPart]:
        """Returns where the kept pictures are: `episodes[i].length` from each `first` on."""
        files = self._files[i]
        return {
            camera: VideoPart(part.path, part.first + files.info.first)
            for camera, part in files.videos.items()
        }

    def frames(
        self, i: int, camera: str, start: int = 0, stop: int | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """Yields the (height, width, 3) uint8 RGB pictures of one camera, in order.

        Args:
            i: Of the episodes that are present.
            camera: Name of the camera.
            start: First step.
            stop: Step after the last one; all steps when None.
        """
        part = self._video(i, camera)
        stop = self._files[i].info.length if stop is None else stop
        try:
            yield from read_frames(part.path, part.first + start, part.first + stop)
        except VideoError as error:
            raise self._damaged(i, f"camera {camera}: {error}") from error

    def frame(self, i: int, camera: str, step: int) -> NDArray[np.uint8]:
        """Returns the (height, width, 3) uint8 RGB picture of one step; its file stays open.

        For looking here and there; `frames` is quicker for one step after the other.
        """
        info, part = self._files[i].info, self._video(i, camera)
        if not 0 <= step < info.length:
            raise DatasetError(f"episode {info.index} has steps 0 to {info.length - 1}, not {step}")
        try:
            return OPEN_READERS.frame(part.path, part.first + step)
        except VideoError as error:
            raise self._damaged(i, f"camera {camera}: {error}") from error

    def episode(self, i: int) -> Episode:
        """Returns episode i with all its pictures decoded."""
        files, lowdim, table = self._files[i], self.lowdim(i), self.rows(i)
        try:
            image_times = {
                camera: scalars(table, layout.CAMERA_TIME + camera, lowdim.time)
                for camera in files.videos
            }
            is_takeover = flags(table, layout.TAKEOVER)
        except DatasetError as error:
            raise self._damaged(i, str(error)) from error
        return Episode(
            task=files.info.task,
            time=lowdim.time,
            proprioception=lowdim.proprioception,
            actions=lowdim.actions,
            images={camera: np.stack(list(self.frames(i, camera))) for camera in files.videos},
            image_times=image_times,
            success=files.info.success,
            seed=files.info.seed,
            is_takeover=is_takeover,
            events=words(table, layout.EVENT),
            goal=None if lowdim.goal is None else lowdim.goal[0],
        )

    def view_hash(self) -> str:
        """16 hex digits that change when what is learnt from changes, and only then.

        That is: the spec, which episodes there are and their order, what was recorded of each,
        the steps kept, the task, the success and the weight. A tag does not count, and neither
        does the name of a split: what `open_dataset` selects by it does. No file is read: an
        episode of ours is known by its `sha256`, one of others by its `uuid`.
        """
        digest = hashlib.sha256(self.spec.fingerprint().encode())
        for files in self._files:
            it = files.info
            recorded = it.sha256 or it.uuid
            kept = (recorded, it.first, it.length, it.task, it.success, it.weight)
            digest.update(f"{kept!r}\n".encode())
        return digest.hexdigest()[:16]

    def _video(self, i: int, camera: str) -> VideoPart:
        videos = self.videos(i)
        if camera not in videos:
            raise DatasetError(
                f"{self.root} has no camera {camera!r}; it has {', '.join(videos) or 'none'}"
            )
        return videos[camera]

    def _damaged(self, i: int, what: str) -> DatasetError:
        index = self._files[i].info.index
        return DatasetError(
            f"episode {index} of {self.root} is damaged: {what}; copy it again, or leave it out "
            f"by `demoloop dataset drop {self.root} {index}`"
        )


def open_dataset(path: Path, split: str | None = None) -> Dataset:
    """Opens a dataset folder or a collection of them, as its edits leave it.

    Episodes whose files are absent or cut short are left out, one sentence each in `missing`.

    Args:
        path: The folder.
        split: Only the episodes that an edit put in this split; all when None.

    Raises:
        DatasetError: The folder is no dataset, or no episode is left to read.
    """
    return Dataset(edited_contents(Path(path), split))
