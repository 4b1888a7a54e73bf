"""What the checks look at: an episode's numbers as they are on disk, and its pictures, tiny."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.check.defect import Defect
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_files import EpisodeInfo, VideoPart
from demoloop.datasets.lerobot_read import Dataset
from demoloop.robot import JointSpec
from demoloop.robot.video import VideoError, check_video

TINY = (36, 48)
"""Height and width [px] the pictures are looked at in: what an arm does is seen, what a video
codec does is averaged away."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Joint:
    """What was commanded and read of one joint; `readings` is None where nothing was read."""

    spec: JointSpec
    has_limits: bool  # recorded with the robot; else the spec is guessed from the data
    actions: Values  # (T,) [unit of the joint]
    readings: Values | None  # (T,)

    @property
    def span(self) -> float:
        """How far it can go [unit of the joint]."""
        return self.spec.high - self.spec.low

    @property
    def may_be_blocked(self) -> bool:
        """Whether it may well stand still against its command: a gripper holds things."""
        return self.spec.unit == "opening" or not self.has_limits


@dataclass(frozen=True)
class Signals:
    """One episode, T steps. Numbers may be NaN or infinite."""

    info: EpisodeInfo
    fps: int
    time: Values  # (T,) s
    has_clock: bool  # whether `time` was measured; else it is the grid of the frame rate
    joints: tuple[Joint, ...]
    columns: Mapping[str, Values]  # every reading and action by name, each (T,)
    image_times: Mapping[str, Values]  # camera -> (T,) s; only where it was measured
    pictures: Mapping[str, NDArray[np.uint8]]  # camera -> (T, *TINY) grey; without broken videos

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.time)

    def steps(self, seconds: float) -> int:
        """Returns how many steps last so long, at least two."""
        return max(2, round(seconds * self.fps))

    def movement(self, first: int, last: int) -> float:
        """How far the arm came in some joint, as a share of the joint's span; no gripper."""
        ranges = [
            float(np.ptp(joint.readings[first : last + 1])) / joint.span
            for joint in self.joints
            if joint.readings is not None and joint.spec.unit != "opening" and joint.span > 0
        ]
        return max(ranges, default=0.0)

    def defect(self, kind: str, first: int, last: int, where: str, sentence: str) -> Defect:
        """Returns a defect of this episode."""
        return Defect(self.info.index, self.info.uuid, kind, first, last, where, sentence)

    def seconds(self, first: int, last: int) -> str:
        """Says how long a stretch is, first and last step included."""
        return f"{(last - first + 1) / self.fps:.2f} s"


def read_signals(dataset: Dataset, i: int) -> Signals:
    """Reads the numbers of episode i; no video is touched.

    Raises:
        DatasetError: Rows are missing, or a column is of another kind than it should be.
    """
    rows = dataset.rows(i)
    readings = _matrix(rows, layout.STATE, len(dataset.proprioception_names))
    actions = _matrix(rows, layout.ACTION, dataset.spec.action_dim)
    read = dict(zip(dataset.proprioception_names, readings.T, strict=True))
    has_clock = layout.TIME in rows.column_names
    return Signals(
        info=dataset.episodes[i],
        fps=dataset.fps,
        time=_column(rows, layout.TIME if has_clock else "timestamp"),
        has_clock=has_clock,
        joints=tuple(
            Joint(spec, dataset.has_own_spec, actions[:, j], read.get(f"{spec.name}.pos"))
            for j, spec in enumerate(dataset.spec.joints)
        ),
        columns={
            **read,
            **{
                f"{joint.name} (action)": actions[:, j]
                for j, joint in enumerate(dataset.spec.joints)
            },
        },
        image_times={
            camera: _column(rows, layout.CAMERA_TIME + camera)
            for camera in dataset.videos(i)
            if layout.CAMERA_TIME + camera in rows.column_names
        },
        pictures={},
    )


def with_pictures(
    signals: Signals, videos: Mapping[str, VideoPart]
) -> tuple[Signals, list[Defect]]:
    """Adds the pictures of every camera; a video that cannot be read is a defect instead."""
    pictures, broken = {}, []
    for camera, part in videos.items():
        try:
            pictures[camera] = read_tiny(part, len(signals))
        except VideoError as error:
            last = len(signals) - 1
            broken.append(signals.defect("broken video", 0, last, camera, str(error)))
    return replace(signals, pictures=pictures), broken


def read_tiny(part: VideoPart, length: int) -> NDArray[np.uint8]:
    """Decodes (length, *TINY) grey pictures; raises VideoError when there are fewer."""
    import av
    import av.error

    check_video(part.path)
    tiny = np.empty((length, *TINY), np.uint8)
    found = 0
    try:
        with av.open(str(part.path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # one thread per episode; see find_defects
            rate, base = stream.average_rate, stream.time_base
            if rate is None or base is None:
                raise VideoError(f"{part.path} does not say its frame rate; write it again")
            if part.first:
                container.seek(int((part.first - 0.5) / rate / base), stream=stream)
            for picture in container.decode(stream):
                if picture.pts is None or round(picture.pts * base * rate) < part.first:
                    continue
                small = picture.reformat(TINY[1], TINY[0], format="gray", interpolation="AREA")
                tiny[found] = small.to_ndarray()
                found += 1
                if found == length:
                    return tiny
    except (av.error.FFmpegError, IndexError) as error:
        raise VideoError(f"{part.path} breaks at frame {part.first + found}: {error}") from error
    raise VideoError(
        f"{part.path.name} ends after {found} pictures of the episode, its data have {length}"
    )


def _matrix(rows: pa.Table, name: str, width: int) -> Values:
    """Returns a column of lists, or of numbers, as (T, width)."""
    try:
        column = rows[name].combine_chunks()
        flat = column.flatten() if pa.types.is_nested(column.type) else column
        values = np.asarray(flat.to_numpy(zero_copy_only=False), np.float64)
        return values.reshape(len(rows), width)
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise DatasetError(f"the column {name!r} does not hold {width} numbers a step") from error


def _column(rows: pa.Table, name: str) -> Values:
    return _matrix(rows, name, 1)[:, 0]
