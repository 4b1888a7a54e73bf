"""What robomimic and ACT share: episodes whose actions, readings and pictures are HDF5 arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.episode import Episode
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.importers.found import NO_READING, Found, Item, Skipped, make_spec, unlike
from demoloop.datasets.importers.hdf5 import Hdf5File
from demoloop.datasets.spec_from_data import joints_from_data, proprioception_names
from demoloop.robot import CameraSpec, RobotSpec


@dataclass(frozen=True)
class Part:
    """Where the arrays of one episode are."""

    name: str
    file: Hdf5File
    actions: str
    readings: tuple[str, ...]  # side by side they are the proprioception
    pictures: Mapping[str, str]  # camera -> array


@dataclass(frozen=True)
class Kind:
    """What the format, its file and the options say of all episodes."""

    robot: str
    fps: int
    task: str
    name_joints: Callable[[int], tuple[str, ...]]  # of an action of that width
    name_readings: Callable[[str, int], tuple[str, ...]]  # of the array of that name and width
    fix_actions: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    fix_pictures: Callable[[NDArray[np.uint8], bool], NDArray[np.uint8]]  # bool: were compressed
    finish: Callable[[Part, Episode], Episode]  # adds what only this format knows
    spec: RobotSpec | None = None  # where the file carries one


def found_in(parts: Sequence[Part], kind: Kind, names: Mapping[str, str]) -> Found:
    """Reads the actions of all parts, to know the joints; the first whole part is the measure.

    Args:
        parts: The episodes, in order.
        kind: What is known of all of them.
        names: Name in the source -> name in the new dataset.
    """
    skipped: list[Skipped] = []
    whole: list[Part] = []
    actions: list[NDArray[np.float32]] = []
    layout: tuple[tuple[str, ...], tuple[CameraSpec, ...]] | None = None
    for part in parts:
        try:
            values = part.file.numbers(part.actions)
            if not np.isfinite(values).all():
                raise DatasetError("an action holds a number that is not finite")
            if actions and values.shape[1] != actions[0].shape[1]:
                raise DatasetError(
                    f"an action has {values.shape[1]} numbers, in {whole[0].name} it has "
                    f"{actions[0].shape[1]}"
                )
            layout = layout or _layout(part, kind)
        except DatasetError as error:
            skipped.append(Skipped(part.name, str(error)))
            continue
        whole.append(part)
        actions.append(values)
    if layout is None:
        why = f"{skipped[0].name}: {skipped[0].why}" if skipped else "there is none in it"
        raise DatasetError(f"{parts[0].file.path}: no episode can be used; {why}")
    readings, cameras = layout
    spec = kind.spec
    if spec is None:
        joints = joints_from_data(kind.name_joints(actions[0].shape[1]), actions, kind.fps)
        own = proprioception_names(readings, tuple(joint.name for joint in joints))
        spec = make_spec(kind.robot, joints, unlike(own), cameras, kind.fps)
    items = [Item(part.name, partial(read_part, part, kind, spec)) for part in whole]
    notes = [] if parts[0].readings else ["nothing was read of the joints: one column of zeros"]
    return Found(spec, items, names, skipped, notes)


def _layout(part: Part, kind: Kind) -> tuple[tuple[str, ...], tuple[CameraSpec, ...]]:
    """Returns the names of the readings, and the cameras, as this part has them."""
    readings: list[str] = []
    for name in part.readings:
        width = part.file.numbers(name).shape[1]
        readings += kind.name_readings(name, width)
    cameras = tuple(
        CameraSpec(camera, *part.file.picture_size(array))
        for camera, array in part.pictures.items()
    )
    return unlike(readings or [NO_READING]), cameras


def read_part(part: Part, kind: Kind, spec: RobotSpec) -> Episode:
    """Returns one episode; `actions[t]` stands beside what was seen at t, as in the file."""
    file = part.file
    actions = file.numbers(part.actions)
    steps = len(actions)
    columns = [file.numbers(name) for name in part.readings] or [np.zeros((steps, 1), np.float32)]
    for name, values in zip(part.readings, columns, strict=False):
        _check_steps(part, name, len(values), steps)
    images = {}
    for camera, array in part.pictures.items():
        _check_steps(part, array, file.shape(array)[0], steps)
        size = spec.camera(camera)
        pictures = file.pictures(array, (size.height, size.width))
        images[camera] = kind.fix_pictures(pictures, file.is_compressed(array))
    time = np.arange(steps) / kind.fps
    episode = Episode(
        task=kind.task,
        time=time,
        proprioception=np.concatenate(columns, axis=1),
        actions=kind.fix_actions(actions),
        images=images,
        image_times=dict.fromkeys(images, time),
    )
    return kind.finish(part, episode)


def _check_steps(part: Part, array: str, found: int, steps: int) -> None:
    if found != steps:
        raise DatasetError(f"{array} of {part.name} has {found} steps, its actions have {steps}")


def chosen(source: Path, what: str, there: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Returns the wanted names; raises DatasetError that lists those there are."""
    for name in wanted:
        if name not in there:
            raise DatasetError(
                f"{source} has no {what} {name!r}; it has {', '.join(there) or 'none'}"
            )
    return tuple(wanted)
