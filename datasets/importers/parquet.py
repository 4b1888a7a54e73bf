"""Parquet files of others: their sizes are looked at before a column is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from demoloop.datasets.errors import DatasetError, one_line

# What pyarrow raises over a damaged file, depending on the place of the damage.
ERRORS = (OSError, ValueError, KeyError, TypeError, IndexError, OverflowError, pa.ArrowException)
MAX_ROWS = 20_000_000  # of a file
MAX_GROUP = 4 << 30  # bytes of a row group, unpacked
EPISODE = "episode_index"


def open_parquet(path: Path) -> pq.ParquetFile:
    """Opens a file and checks what it declares; raises DatasetError."""
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise DatasetError(f"{path.name} is missing") from error
    except ERRORS as error:
        raise DatasetError(
            f"{path.name} is cut short or no parquet file ({one_line(error)[:200]})"
        ) from error
    meta = file.metadata
    groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
    rows = [group.num_rows for group in groups]
    if not 0 <= meta.num_rows <= MAX_ROWS or sum(rows) != meta.num_rows or min(rows, default=0) < 0:
        raise DatasetError(f"{path.name} declares {meta.num_rows} rows; it is damaged")
    if any(not 0 <= group.total_byte_size <= MAX_GROUP for group in groups):
        raise DatasetError(f"{path.name} declares more than {MAX_GROUP >> 30} GiB in one piece")
    # The metadata of single columns is not looked at: over a damaged one pyarrow ends the process.
    return file


def read_rows(path: Path, without: str = "\0") -> Iterator[Mapping[str, Any]]:
    """Yields the rows of an index, columns that begin with `without` left out."""
    file = open_parquet(path)
    try:
        columns = [name for name in file.schema_arrow.names if not name.startswith(without)]
        for batch in file.iter_batches(batch_size=256, columns=columns):
            yield from batch.to_pylist()
    except ERRORS as error:
        raise DatasetError(f"{path.name} is damaged ({one_line(error)[:200]})") from error


def read_episode(path: Path, episode: int, columns: Sequence[str]) -> pa.Table:
    """Returns the rows of one episode; a file that does not number its episodes holds one only."""
    file = open_parquet(path)
    try:
        there = file.schema_arrow.names
        wanted = [name for name in columns if name in there]
        if EPISODE not in there:
            return file.read(columns=wanted)
        groups = _groups(path, path.stat().st_mtime_ns).get(episode, [])
        table = file.read_row_groups(groups, columns=[*dict.fromkeys([*wanted, EPISODE])])
        return table.filter(pa.array(table[EPISODE].to_numpy() == episode))
    except ERRORS as error:
        raise DatasetError(f"{path.name} is damaged ({one_line(error)[:200]})") from error


def read_pictures(path: Path, episode: int, column: str) -> Iterator[tuple[bytes | None, str]]:
    """Yields (bytes, path) of the picture of each row of an episode, a few in memory at a time."""
    file = open_parquet(path)
    try:
        is_numbered = EPISODE in file.schema_arrow.names
        groups = list(range(file.num_row_groups))
        if is_numbered:
            groups = _groups(path, path.stat().st_mtime_ns).get(episode, [])
        columns = [column, EPISODE] if is_numbered else [column]
        for batch in file.iter_batches(batch_size=16, row_groups=groups, columns=columns):
            for row in batch.to_pylist():
                if not is_numbered or row[EPISODE] == episode:
                    picture = row[column]
                    yield picture.get("bytes"), str(picture.get("path") or "")
    except (*ERRORS, AttributeError) as error:
        raise DatasetError(
            f"{path.name}: the pictures of {column} are damaged ({one_line(error)[:200]})"
        ) from error


@lru_cache(maxsize=8)
def _groups(path: Path, mtime_ns: int) -> Mapping[int, list[int]]:
    """Returns which row groups hold rows of each episode."""
    file = pq.ParquetFile(path)
    found: dict[int, list[int]] = {}
    for group in range(file.num_row_groups):
        numbers = file.read_row_group(group, columns=[EPISODE])[EPISODE].to_numpy()
        for episode in np.unique(numbers):
            found.setdefault(int(episode), []).append(group)
    return found


def vectors(table: pa.Table, column: str) -> NDArray[np.float64]:
    """Returns a column as (T, D), nested lists laid out flat; raises DatasetError with gaps."""
    if column not in table.column_names:
        raise DatasetError(f"the column {column!r} is missing")
    steps = len(table)
    try:
        flat = table[column].combine_chunks()
        while pa.types.is_nested(flat.type):
            if len(set(map(len, flat))) > 1:
                raise DatasetError(f"{column!r} has more numbers in one step than in another")
            flat = flat.flatten()
        if flat.null_count:
            raise DatasetError(f"{column!r} has gaps")
        values = np.asarray(flat.to_numpy(zero_copy_only=False), np.float64)
    except (*ERRORS, AttributeError) as error:
        raise DatasetError(f"{column!r} holds no numbers ({one_line(error)[:200]})") from error
    if not steps or not len(values) or len(values) % steps:
        raise DatasetError(f"{column!r} has {len(values)} numbers in {steps} steps")
    values = values.reshape(steps, -1)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise DatasetError(f"{column!r} is not a number at step {bad[0][0]}")
    return values
