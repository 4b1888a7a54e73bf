"""Reads the rows of one episode: its numbers, checked, and only the steps that are kept."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.errors import DatasetError, one_line
from demoloop.datasets.lerobot_files import EpisodeFiles


class Lowdim(NamedTuple):
    """An episode without its pictures."""

    proprioception: NDArray[np.float32]  # (T, P)
    actions: NDArray[np.float32]  # (T, action_dim)
    time: NDArray[np.float64]  # (T,) s
    goal: NDArray[np.float32] | None = None  # (T, num_marks, 2), the same at each step


def read_rows(files: EpisodeFiles, columns: tuple[str, ...] | None = None) -> pa.Table:
    """Returns the kept rows of one episode in order.

    Raises:
        DatasetError: The file is damaged, or holds other rows than the index says.
    """
    path, info = files.data, files.info
    try:
        table = _read_file(path, path.stat().st_mtime_ns, columns)
        mask = table["episode_index"].to_numpy() == files.row
        table = table.filter(pa.array(mask))
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise DatasetError(f"{path} cannot be read: {one_line(error)}") from error
    if len(table) != info.recorded_length:
        raise DatasetError(
            f"{path.name} holds {len(table)} rows of it, the index says {info.recorded_length}"
        )
    return table.slice(info.first, info.length)


def read_lowdim(files: EpisodeFiles, num_readings: int, num_actions: int, num_marks: int) -> Lowdim:
    """Returns the numbers of one episode; raises DatasetError that says which cannot be used."""
    table = read_rows(files)
    goal = _vectors(table, layout.GOAL, files.data, 2 * num_marks) if num_marks else None
    return Lowdim(
        proprioception=_vectors(table, layout.STATE, files.data, num_readings),
        actions=_vectors(table, layout.ACTION, files.data, num_actions),
        time=scalars(table, layout.TIME, scalars(table, "timestamp")),
        goal=None if goal is None else goal.reshape(-1, num_marks, 2),
    )


def read_actions(files: EpisodeFiles, num_actions: int) -> NDArray[np.float32]:
    """Returns the actions of one episode, (T, num_actions)."""
    table = read_rows(files, ("episode_index", layout.ACTION))
    return _vectors(table, layout.ACTION, files.data, num_actions)


def scalars(
    table: pa.Table, column: str, default: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Returns a number per step; `default` where a dataset of others has no such column."""
    if column not in table.column_names:
        if default is None:
            raise DatasetError(f"the column {column!r} is missing")
        return default
    try:
        return np.asarray(table[column].to_numpy(), np.float64)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{column!r} holds no numbers: {one_line(error)}") from error


def flags(table: pa.Table, column: str) -> NDArray[np.bool_] | None:
    """Returns a yes or no per step, None where a dataset of others has no such column."""
    if column not in table.column_names:
        return None
    try:
        return np.asarray(table[column].to_numpy(), np.bool_)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{column!r} holds no yes and no: {one_line(error)}") from error


def words(table: pa.Table, column: str) -> tuple[tuple[int, str], ...]:
    """Returns (step, text) where there is a text."""
    if column not in table.column_names:
        return ()
    texts = enumerate(table[column].to_pylist())
    return tuple((step, str(text)) for step, text in texts if text)


@lru_cache(maxsize=4)
def _read_file(path: Path, mtime_ns: int, columns: tuple[str, ...] | None) -> pa.Table:
    """Reads a data file, keeping the last few: those of lerobot hold many episodes."""
    return pq.read_table(path, columns=None if columns is None else list(columns))


def _vectors(table: pa.Table, column: str, path: Path, width: int) -> NDArray[np.float32]:
    """Returns a list column as (T, width)."""
    if column not in table.column_names:
        raise DatasetError(f"{path.name} lacks the column {column!r}")
    rows = table[column].combine_chunks()
    flat = rows.flatten() if pa.types.is_nested(rows.type) else rows
    try:
        values = np.asarray(flat.to_numpy(zero_copy_only=False), np.float32)
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"{path.name}: {column!r} holds no numbers: {one_line(error)}"
        ) from error
    if len(values) % len(table) or not np.isfinite(values).all():
        raise DatasetError(f"{path.name}: {column!r} has gaps or numbers that are not finite")
    values = values.reshape(len(table), -1)
    if values.shape[1] != width:
        raise DatasetError(
            f"{path.name}: {column!r} has {values.shape[1]} numbers a step, info.json names {width}"
        )
    return values
