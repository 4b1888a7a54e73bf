"""What an importer is asked for, what it finds, and the limits of what it believes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.episode import Episode
from demoloop.datasets.errors import DatasetError
from demoloop.robot import CameraSpec, JointSpec, RobotSpec

# A damaged or hostile file may declare any size. Beyond these nothing is allocated.
MAX_STEPS = 1_000_000
"""Of an episode: nine hours at 30 Hz."""
MAX_WIDTH = 4096
"""Numbers in one step of one feature."""
MAX_SIDE = 8192  # px
MAX_PICTURE_BYTES = 64 << 20
"""Of one compressed picture."""
MAX_EPISODES = 1_000_000
MAX_RATE = 1000  # Hz

NO_READING = "no_reading"
"""Name of the one column of zeros that stands for the readings of a recording without any."""

NO_TASK = "unnamed task"


@dataclass(frozen=True)
class ImportOptions:
    """What a recording may not say itself; what is left empty is detected."""

    fps: int | None = None
    """Steps per second."""
    task: str = ""
    """What the recording shows, in a sentence, where it says nothing."""
    state: tuple[str, ...] = ()
    """Names of the columns or topics that hold the readings of the joints."""
    action: tuple[str, ...] = ()
    """Names of the columns or topics that hold the commands."""
    cameras: tuple[str, ...] = ()
    """Names of the cameras or topics to keep; none named keeps all."""
    robot: str = ""
    """Name of the robot."""
    is_bgr: bool = False
    """The pictures have blue first."""
    shift_actions: bool = False
    """ACT files of a real robot: pair each observation with the action before, as ACT does."""


class Skipped(NamedTuple):
    """Something that stays out of the new dataset."""

    name: str  # of an episode, a file or a camera
    why: str


@dataclass(frozen=True)
class Item:
    """One episode of the source, not read yet."""

    name: str
    read: Callable[[], Episode]  # raises DatasetError when it cannot be used


@dataclass(frozen=True)
class Found:
    """A source, looked through but not read."""

    spec: RobotSpec
    items: Sequence[Item]
    names: Mapping[str, str]  # name in the source -> name in the new dataset
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what was guessed or left out, a sentence each


def make_spec(
    robot: str,
    joints: tuple[JointSpec, ...],
    readings: Sequence[str],
    cameras: Sequence[CameraSpec],
    fps: int,
) -> RobotSpec:
    """Returns the spec of a robot whose proprioception is `readings`, in that order."""
    spec = RobotSpec(robot, joints, tuple(cameras), float(fps))
    is_usual = tuple(readings) == spec.proprioception_names
    return spec if is_usual else replace(spec, readings=tuple(readings))


def check_rate(fps: float | None, source: Path, option: int | None) -> int:
    """Returns the rate [Hz] to use: the option's, or the recording's when it is a whole number."""
    if option is not None:
        if not 1 <= option <= MAX_RATE:
            raise DatasetError(f"--fps is {option}; expected 1 to {MAX_RATE}")
        return option
    if fps is None:
        raise DatasetError(f"{source} does not say how many steps a second has; give --fps")
    if not 1 <= fps <= MAX_RATE:  # also catches nan
        raise DatasetError(f"{source} says {fps} steps a second, which cannot be; give --fps")
    if fps != int(fps):
        raise DatasetError(
            f"{source} has {fps:g} steps a second and a dataset needs a whole number; give --fps "
            f"{round(fps)} to count them so, the real times of the steps are kept"
        )
    return int(fps)


def read_rate(value: object) -> float | None:
    """Returns the steps per second that a file names; None when it names nothing that can be."""
    try:
        rate = float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:
        return None
    return rate if 0 < rate < math.inf else None


def numbered(stem: str, count: int) -> tuple[str, ...]:
    """Returns stem_0 .. for dimensions that nobody named."""
    return tuple(f"{stem}_{number}" for number in range(count))


def unlike(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names, a number added to those that stand there twice."""
    taken: dict[str, None] = {}
    for name in names:
        count, new = 2, name
        while new in taken:
            count, new = count + 1, f"{name}_{count}"
        taken[new] = None
    return tuple(taken)


def camera_names(keys: Sequence[str]) -> dict[str, str]:
    """Returns a name fit for a file, and unlike the others, for each camera of a source."""
    bare = [key.removeprefix(layout.IMAGES).removeprefix("observation.") for key in keys]
    safe = [re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._-")[:64] or "camera" for name in bare]
    return dict(zip(keys, unlike(safe), strict=True))


def check_steps(what: str, count: int) -> None:
    """Raises DatasetError unless an episode of so many steps can be."""
    if not 1 <= count <= MAX_STEPS:
        raise DatasetError(f"{what} has {count} steps; expected 1 to {MAX_STEPS}")


def check_picture_size(what: str, height: int, width: int) -> None:
    """Raises DatasetError unless a picture of that size [px] can be."""
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise DatasetError(
            f"{what}: a picture of {height}x{width}; expected at most {MAX_SIDE} px a side"
        )
