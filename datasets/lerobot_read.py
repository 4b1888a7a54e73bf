"""Reads a LeRobot dataset: ours, or anybody's in v3.0 or v2.1."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.episode import Episode
from demoloop.datasets.errors import DatasetError, one_line
from demoloop.datasets.lerobot_files import EpisodeFiles, EpisodeInfo, VideoPart, find_episodes
from demoloop.datasets.lerobot_info import Info, read_info
from demoloop.datasets.spec_from_data import proprioception_names, spec_from_data
from demoloop.robot import RobotSpec
from demoloop.robot.frame_reader import OPEN_READERS
from demoloop.robot.video import VideoError, read_frames


class Lowdim(NamedTuple):
    """An episode without its pictures."""

    proprioception: NDArray[np.float32]  # (T, P)
    actions: NDArray[np.float32]  # (T, action_dim)
    time: NDArray[np.float64]  # (T,) s


class Dataset:
    """The episodes of a folder that are whole. Opened by `open_dataset`; holds no file open.

    `episodes[i]` is what `episode(i)`, `lowdim(i)` and `frames(i, camera)` read: i counts the
    episodes that are present; `episodes[i].index` is the number in the folder.
    """

    def __init__(
        self,
        root: Path,
        info: Info,
        spec: RobotSpec,
        files: tuple[EpisodeFiles, ...],
        missing: tuple[str, ...],
    ) -> None:
        self.root = root
        self.spec = spec
        self.fps = info.fps
        self.missing = missing  # one sentence per episode that cannot be read
        self.proprioception_names = _names(info, layout.STATE)
        if info.spec is None:
            self.proprioception_names = proprioception_names(
                self.proprioception_names, _names(info, layout.ACTION)
            )
        self._info = info
        self._files = files

    @property
    def episodes(self) -> tuple[EpisodeInfo, ...]:
        """The episodes that are present."""
        return tuple(files.info for files in self._files)

    @property
    def has_own_spec(self) -> bool:
        """Whether the spec was recorded; else it is what the data let us guess."""
        return self._info.spec is not None

    @property
    def num_frames(self) -> int:
        """Steps of all present episodes together."""
        return sum(files.info.length for files in self._files)

    def lowdim(self, i: int) -> Lowdim:
        """Returns the numbers of episode i; no video is touched."""
        return _read_lowdim(self._files[i])

    def rows(self, i: int) -> pa.Table:
        """Returns the columns of episode i as they are, those of others included."""
        return _read_table(self._files[i])

    def videos(self, i: int) -> Mapping[str, VideoPart]:
        """Returns where the pictures of each camera of episode i are."""
        return self._files[i].videos

    def files(self, i: int) -> EpisodeFiles:
        """Returns where episode i is."""
        return self._files[i]

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
        files, part = self._files[i], self._video(i, camera)
        stop = files.info.length if stop is None else stop
        try:
            yield from read_frames(part.path, part.first + start, part.first + stop)
        except VideoError as error:
            raise DatasetError(f"episode {files.info.index}, camera {camera}: {error}") from error

    def frame(self, i: int, camera: str, step: int) -> NDArray[np.uint8]:
        """Returns the (height, width, 3) uint8 RGB picture of one step; its file stays open.

        For looking here and there; `frames` is quicker for one step after the other.
        """
        files, part = self._files[i], self._video(i, camera)
        if not 0 <= step < files.info.length:
            raise DatasetError(
                f"episode {files.info.index} has steps 0 to {files.info.length - 1}, not {step}"
            )
        try:
            return OPEN_READERS.frame(part.path, part.first + step)
        except VideoError as error:
            raise DatasetError(f"episode {files.info.index}, camera {camera}: {error}") from error

    def _video(self, i: int, camera: str) -> VideoPart:
        videos = self._files[i].videos
        if camera not in videos:
            raise DatasetError(
                f"{self.root} has no camera {camera!r}; it has {', '.join(videos) or 'none'}"
            )
        return videos[camera]

    def episode(self, i: int) -> Episode:
        """Returns episode i with all its pictures decoded."""
        files, lowdim = self._files[i], self.lowdim(i)
        table = _read_table(files)
        return Episode(
            task=files.info.task,
            time=lowdim.time,
            proprioception=lowdim.proprioception,
            actions=lowdim.actions,
            images={camera: np.stack(list(self.frames(i, camera))) for camera in files.videos},
            image_times={
                camera: _scalars(table, layout.CAMERA_TIME + camera, lowdim.time)
                for camera in files.videos
            },
            success=files.info.success,
            seed=files.info.seed,
        )

    def view_hash(self) -> str:
        """16 hex digits that change when the spec, an episode or the set of episodes changes.

        Pictures count by the size of their file: reading them all would take as long as training.
        """
        digest = hashlib.sha256(self.spec.fingerprint().encode())
        for i, files in enumerate(self._files):
            digest.update(repr(files.info).encode())
            for values in self.lowdim(i):
                digest.update(np.ascontiguousarray(values).tobytes())
            for camera, part in sorted(files.videos.items()):
                try:
                    size = part.path.stat().st_size
                except OSError as error:
                    raise DatasetError(
                        f"episode {files.info.index}, camera {camera}: {part.path} is gone; "
                        "open the dataset again"
                    ) from error
                digest.update(f"{camera} {part.first} {size}".encode())
        return digest.hexdigest()[:16]


def open_dataset(path: Path) -> Dataset:
    """Opens a dataset folder.

    Episodes whose files are absent or broken are left out, one sentence each in `missing`.

    Raises:
        DatasetError: The folder is no dataset, or not one episode can be read.
    """
    root = Path(path)
    info = read_info(root)
    if not info.total_episodes:
        raise DatasetError(f"{root} holds no episode yet; record some first")
    found, missing = find_episodes(root, info)
    present = []
    for files in found:
        try:
            _check_widths(info, _read_lowdim(files))
            present.append(files)
        except DatasetError as error:
            missing.append(f"episode {files.info.index} is left out: {error}")
    if not present:
        first = missing[0] if missing else "the index of episodes is empty"
        raise DatasetError(f"{root}: none of {info.total_episodes} episodes can be read; {first}")
    spec = info.spec or spec_from_data(
        info, _names(info, layout.ACTION), (_read_lowdim(files).actions for files in present)
    )
    return Dataset(root, info, spec, tuple(present), tuple(missing))


@lru_cache(maxsize=4)
def _read_file(path: Path, mtime_ns: int) -> pa.Table:
    """Reads a data file, keeping the last few: those of lerobot hold many episodes."""
    return pq.read_table(path)


def _read_table(files: EpisodeFiles) -> pa.Table:
    """Returns the rows of one episode in order."""
    path = files.data
    try:
        table = _read_file(path, path.stat().st_mtime_ns)
        mask = table["episode_index"].to_numpy() == files.info.index
        table = table.filter(pa.array(mask))
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise DatasetError(f"{path} cannot be read: {one_line(error)}; copy it again") from error
    if len(table) != files.info.length or not len(table):
        raise DatasetError(
            f"{path.name} holds {len(table)} rows of episode {files.info.index}, the index says "
            f"{files.info.length}; copy the dataset again"
        )
    return table


def _read_lowdim(files: EpisodeFiles) -> Lowdim:
    table = _read_table(files)
    frame_times = _scalars(table, "timestamp")
    return Lowdim(
        proprioception=_vectors(table, layout.STATE, files.data),
        actions=_vectors(table, layout.ACTION, files.data),
        time=_scalars(table, layout.TIME, frame_times),
    )


def _scalars(
    table: pa.Table, column: str, default: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Returns a number per step; `default` where a dataset of others has no such column."""
    if column not in table.column_names:
        if default is None:
            raise DatasetError(f"the column {column!r} is missing; copy the dataset again")
        return default
    try:
        return np.asarray(table[column].to_numpy(), np.float64)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{column!r} holds no numbers: {error}") from error


def _vectors(table: pa.Table, column: str, path: Path) -> NDArray[np.float32]:
    """Returns a list column as (T, D)."""
    if column not in table.column_names:
        raise DatasetError(f"{path.name} lacks the column {column!r}; copy the dataset again")
    rows = table[column].combine_chunks()
    flat = rows.flatten() if pa.types.is_nested(rows.type) else rows
    try:
        values = np.asarray(flat.to_numpy(zero_copy_only=False), np.float32)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{path.name}: {column!r} holds no numbers: {error}") from error
    if len(values) % len(table) or not np.isfinite(values).all():
        raise DatasetError(f"{path.name}: {column!r} has gaps or numbers that are not finite")
    return values.reshape(len(table), -1)


def _check_widths(info: Info, lowdim: Lowdim) -> None:
    """Raises DatasetError when an episode is not as wide as info.json says."""
    for key, values in ((layout.STATE, lowdim.proprioception), (layout.ACTION, lowdim.actions)):
        names = _names(info, key)
        if values.shape[1] != len(names):
            raise DatasetError(
                f"{key!r} has {values.shape[1]} numbers a step, info.json names {len(names)}"
            )


def _names(info: Info, key: str) -> tuple[str, ...]:
    """Returns one name per dimension; numbered ones when the dataset gives none."""
    feature = info.features[key]
    size = int(np.prod(feature.shape))
    if len(feature.names) == size:
        return feature.names
    return tuple(f"{key.rsplit('.', 1)[-1]}_{n}" for n in range(size))
