"""LeRobot datasets of any robot, v2.0 to v3.x, also those that `open_dataset` refuses.

Pictures may stand in videos or in the data files, channels first or last; names may be nested;
readings may be several columns, of any number of axes, or absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.episode import Episode
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.importers.found import (
    NO_READING,
    NO_TASK,
    Found,
    ImportOptions,
    Item,
    Skipped,
    camera_names,
    check_rate,
    check_steps,
    make_spec,
    numbered,
    unlike,
)
from demoloop.datasets.importers.hdf5_episodes import chosen
from demoloop.datasets.importers.lerobot_meta import Meta, Row, read_episodes, read_meta, read_tasks
from demoloop.datasets.importers.lerobot_pictures import check_files, first_picture, pictures_of
from demoloop.datasets.importers.parquet import read_episode, vectors
from demoloop.datasets.importers.pictures import gather
from demoloop.datasets.lerobot_read import open_dataset
from demoloop.datasets.spec_from_data import joint_names, joints_from_data, proprioception_names
from demoloop.robot import CameraSpec

SUCCESS = "next.success"  # lerobot's evaluation writes it
TAKEOVER = ("intervention", "complementary_info.is_intervention")
_NUMBERS = ("float", "int", "uint", "bool")


@dataclass(frozen=True)
class _Columns:
    """Which columns of the data files are what."""

    states: tuple[str, ...]
    actions: tuple[str, ...]
    cameras: Mapping[str, str]  # key -> camera

    @property
    def all(self) -> list[str]:
        """Columns to read besides pictures."""
        extra = ["timestamp", "task_index", SUCCESS, *TAKEOVER]
        return [*dict.fromkeys([*self.states, *self.actions, *extra])]


def is_lerobot(source: Path) -> bool:
    """Says whether this may be a LeRobot dataset: a folder with meta or data as LeRobot's."""
    return (source / layout.INFO.parent).is_dir()


def find(source: Path, options: ImportOptions) -> Found:
    """Looks through the index and reads all numbers, to know the joints; no video is decoded."""
    meta = read_meta(source)
    if meta.is_ours:
        return _find_ours(source)
    columns = _columns(meta, options)
    fps = check_rate(meta.fps, source, options.fps)
    tasks = read_tasks(meta)
    skipped: list[Skipped] = []
    rows: list[Row] = []
    actions: list[NDArray[np.float32]] = []
    sizes: list[tuple[int, int]] | None = None
    widths = (0, 0)
    for row in read_episodes(meta):
        if isinstance(row, Skipped):
            skipped.append(row)
            continue
        try:
            check_files(row, columns.cameras)
            states, values, _ = _numbers(row, columns)
            if not rows:
                widths = (states.shape[1], values.shape[1])
                sizes = [first_picture(meta, row, key).shape[:2] for key in columns.cameras]
            if (states.shape[1], values.shape[1]) != widths:
                raise DatasetError(
                    f"{states.shape[1]} readings and {values.shape[1]} actions a step, "
                    f"{_name(rows[0])} has {widths[0]} and {widths[1]}"
                )
        except DatasetError as error:
            skipped.append(Skipped(_name(row), str(error)))
            continue
        rows.append(row)
        actions.append(values)
    if not rows or sizes is None:
        why = f"{skipped[0].name}: {skipped[0].why}" if skipped else "its index lists none"
        raise DatasetError(f"{source}: no episode can be used; {why}")
    names = joint_names(_names(meta, columns.actions, widths[1]))
    joints = joints_from_data(unlike(names), actions, fps)
    readings = _names(meta, columns.states, widths[0]) if columns.states else (NO_READING,)
    own = proprioception_names(readings, tuple(joint.name for joint in joints))
    cameras = [
        CameraSpec(camera, *size)
        for camera, size in zip(columns.cameras.values(), sizes, strict=True)
    ]
    spec = make_spec(options.robot or meta.robot, joints, unlike(own), cameras, fps)
    if not columns.states:
        meta.notes.append("nothing was read of the joints: one column of zeros")
    read = partial(_episode, meta, columns, sizes, tasks, options)
    items = [Item(_name(row), partial(read, row)) for row in rows]
    return Found(spec, items, dict(columns.cameras), skipped, meta.notes)


def _find_ours(source: Path) -> Found:
    """A dataset of our own comes as `open_dataset` shows it, edits included."""
    dataset = open_dataset(source)
    items = [
        Item(f"episode {episode.index}", partial(dataset.episode, number))
        for number, episode in enumerate(dataset.episodes)
    ]
    skipped = [Skipped(text.split(" is left out")[0], text) for text in dataset.missing]
    return Found(dataset.spec, items, {}, skipped)


def _columns(meta: Meta, options: ImportOptions) -> _Columns:
    """Decides which columns are what; raises DatasetError that lists those there are."""
    features = meta.features
    numbers = [key for key, entry in features.items() if entry.dtype.startswith(_NUMBERS)]
    actions = chosen(meta.root, "column", numbers, options.action)
    actions = actions or ((layout.ACTION,) if layout.ACTION in numbers else ())
    actions = actions or tuple(key for key in numbers if key.startswith(layout.ACTION + "."))
    if not actions:
        raise DatasetError(
            f"{meta.root} has no column {layout.ACTION!r}; it has {', '.join(numbers) or 'none'}, "
            "--action names those that hold the commands"
        )
    states = chosen(meta.root, "column", numbers, options.state)
    states = states or ((layout.STATE,) if layout.STATE in numbers else ())
    states = states or tuple(key for key in numbers if key.startswith("observation."))
    cameras = chosen(meta.root, "camera", meta.camera_keys, options.cameras) or meta.camera_keys
    known = {*states, *actions, *meta.camera_keys, *layout.DEFAULT_FEATURES, SUCCESS, *TAKEOVER}
    if left := [key for key in features if key not in known]:
        meta.notes.append(f"columns left out: {', '.join(left)}")
    return _Columns(states, actions, camera_names(cameras))


def _names(meta: Meta, keys: Sequence[str], width: int) -> tuple[str, ...]:
    """Returns a name for each number of these columns side by side."""
    names: list[str] = []
    for key in keys:
        feature = meta.features[key]
        own = feature.names
        if len(own) != feature.width:
            stem = key.rsplit(".", 1)[-1]
            if own:
                meta.notes.append(
                    f"{key!r} has {len(own)} names for {feature.width} numbers; they are numbered"
                )
            own = numbered(stem, feature.width)
        names += own
    if len(names) != width:
        stem = keys[0].rsplit(".", 1)[-1]
        meta.notes.append(f"info.json names {len(names)} numbers of {', '.join(keys)}, the data "
                          f"has {width}; they are numbered")  # fmt: skip
        return numbered(stem, width)
    return tuple(names)


def _numbers(
    row: Row, columns: _Columns
) -> tuple[NDArray[np.float32], NDArray[np.float32], Mapping[str, NDArray[np.float64]]]:
    """Returns readings (T, P), actions (T, A) and the further columns that are there, (T,)."""
    table = read_episode(row.data, row.index, columns.all)
    check_steps(row.data.name, len(table))
    if row.length is not None and row.length != len(table):
        raise DatasetError(
            f"{row.data.name} holds {len(table)} rows of it, the index says {row.length}"
        )
    states = [vectors(table, key) for key in columns.states] or [np.zeros((len(table), 1))]
    actions = [vectors(table, key) for key in columns.actions]
    extra = {
        key: vectors(table, key)[:, 0]
        for key in ("timestamp", "task_index", SUCCESS, *TAKEOVER)
        if key in table.column_names
    }
    return _side_by_side(states), _side_by_side(actions), extra


def _side_by_side(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf
        joined = np.concatenate(parts, axis=1).astype(np.float32)
    if not np.isfinite(joined).all():
        raise DatasetError("a number is beyond what float32 holds")
    return joined


def _episode(
    meta: Meta,
    columns: _Columns,
    sizes: Sequence[tuple[int, int]],
    tasks: Mapping[int, str],
    options: ImportOptions,
    row: Row,
) -> Episode:
    """Reads one episode with its pictures."""
    states, actions, extra = _numbers(row, columns)
    steps = len(actions)
    time = extra.get("timestamp", np.arange(steps) / (meta.fps or 1.0))
    number = int(extra["task_index"][0]) if "task_index" in extra else -1
    images = {}
    for (key, camera), size in zip(columns.cameras.items(), sizes, strict=True):
        found = pictures_of(meta, row, key, size, steps)
        images[camera] = gather(_turned(found, options.is_bgr), steps, size, camera)
    takeover = [extra[key] != 0 for key in TAKEOVER if key in extra]
    return Episode(
        task=row.task or tasks.get(number, "") or options.task or NO_TASK,
        time=time,
        proprioception=states,
        actions=actions,
        images=images,
        image_times=dict.fromkeys(images, time),
        success=bool(extra[SUCCESS].any()) if SUCCESS in extra else None,
        is_takeover=takeover[0] if takeover else None,
    )


def _turned(pictures: Iterator[NDArray[np.uint8]], is_bgr: bool) -> Iterator[NDArray[np.uint8]]:
    for picture in pictures:
        yield picture[..., ::-1] if is_bgr else picture


def _name(row: Row) -> str:
    return f"episode {row.index}"
