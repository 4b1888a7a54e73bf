"""The numbers of an episode, made ready to be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_read import Dataset

_DIGITS = 5  # of a drawn number; a screen shows three


def describe_steps(dataset: Dataset, i: int) -> dict[str, Any]:
    """Returns pages of curves, events, marks and takeovers of episode i, steps counted from 0.

    Numbers that are not finite become None, a gap in the curve: an episode with a defect is
    worth a look, so this reads the rows as they are.

    Raises:
        DatasetError: The rows cannot be read.
    """
    table = dataset.rows(i)
    steps = np.arange(len(table))
    time = _scalars(table, layout.TIME, steps / dataset.fps)
    joints, others = _joint_pages(dataset, table)
    pages = [_page("Joints", "rad, gripper 0..1", 3, joints)]
    if others:
        pages.append(_page("Other readings", "as recorded", 3, others))
    pages.append(_page("Timing", "ms", 1, _timing(dataset, table, time)))
    return {
        "time": _values(time, 6),
        "pages": pages,
        "events": _events(table),
        "goal": _goal(dataset, table),
        "takeover": _stretches(_scalars(table, layout.TAKEOVER, np.zeros(len(table))) > 0),
    }


def _page(name: str, unit: str, digits: int, curves: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "unit": unit, "digits": digits, "curves": curves}


def _curve(
    name: str, solid: NDArray[np.float64], dashed: NDArray[np.float64] | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "solid": _values(solid),
        "dashed": None if dashed is None else _values(dashed),
    }


def _joint_pages(
    dataset: Dataset, table: pa.Table
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Pairs each command with the reading of its joint; the other readings stand alone."""
    actions = _matrix(table, layout.ACTION)
    states = _matrix(table, layout.STATE)
    names = list(dataset.proprioception_names[: states.shape[1]])
    joints, paired = [], set()
    for j, joint in enumerate(dataset.spec.joint_names[: actions.shape[1]]):
        found = [n for n in (joint, f"{joint}.pos") if n in names]
        if found:
            reading = names.index(found[0])
            paired.add(reading)
            joints.append(_curve(joint, states[:, reading], actions[:, j]))
        else:
            joints.append(_curve(f"{joint} (command)", actions[:, j]))
    others = [_curve(name, states[:, k]) for k, name in enumerate(names) if k not in paired]
    return joints, others


def _timing(dataset: Dataset, table: pa.Table, time: NDArray[np.float64]) -> list[dict[str, Any]]:
    """How regular the steps were, and how old each picture was when the joints were read."""
    period = np.diff(time, prepend=np.nan) * 1000
    curves = [_curve("period", period)]
    for camera in dataset.spec.camera_names:
        if layout.CAMERA_TIME + camera in table.column_names:
            captured = _scalars(table, layout.CAMERA_TIME + camera, time)
            curves.append(_curve(f"age of {camera}", (time - captured) * 1000))
    return curves


def _goal(dataset: Dataset, table: pa.Table) -> dict[str, Any] | None:
    """Returns what a person pointed at, None where nobody did: the same at each step."""
    if dataset.marks is None or layout.GOAL not in table.column_names:
        return None
    points = _matrix(table, layout.GOAL)[0].reshape(-1, 2)
    named = zip(dataset.marks.names, points, strict=False)
    marks = [{"name": name, "at": _values(point)} for name, point in named]
    return {"camera": dataset.marks.camera, "marks": marks}


def _events(table: pa.Table) -> list[tuple[int, str]]:
    if layout.EVENT not in table.column_names:
        return []
    return [(s, str(what)) for s, what in enumerate(table[layout.EVENT].to_pylist()) if what]


def _stretches(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Returns (first, last) of each run of true values."""
    edges = np.diff(flags.astype(np.int8), prepend=0, append=0)
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [(int(a), int(b) - 1) for a, b in zip(starts, stops, strict=True)]


def _matrix(table: pa.Table, column: str) -> NDArray[np.float64]:
    """Returns a list column as (T, D)."""
    try:
        rows = table[column].combine_chunks()
        flat = rows.flatten() if pa.types.is_nested(rows.type) else rows
        values = np.asarray(flat.to_numpy(zero_copy_only=False), np.float64)
        return values.reshape(len(table), -1)
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise DatasetError(f"the column {column!r} cannot be drawn: {error}") from error


def _scalars(table: pa.Table, column: str, default: NDArray[np.float64]) -> NDArray[np.float64]:
    if column not in table.column_names:
        return default
    try:
        return np.asarray(table[column].to_numpy(), np.float64)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"the column {column!r} holds no numbers: {error}") from error


def _values(values: NDArray[np.float64], digits: int = _DIGITS) -> list[float | None]:
    finite = np.isfinite(values)
    rounded = np.round(np.where(finite, values, 0), digits).tolist()
    if finite.all():
        return list(rounded)
    return [value if ok else None for value, ok in zip(rounded, finite, strict=True)]
