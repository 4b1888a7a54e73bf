"""The indices of a dataset being written: episodes, tasks, statistics, info.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.durable import replace_file
from demoloop.datasets.errors import DatasetError, one_line
from demoloop.datasets.journal import JournalEntry
from demoloop.datasets.lerobot_info import read_info
from demoloop.datasets.stats import STATISTICS, FeatureStats, to_lerobot
from demoloop.robot import Marks, RobotSpec

ROWS_PER_FILE = 100
"""Episodes per index file. The last file is replaced at each commit, so a commit costs at most
so many rows; one file per episode would cost 57 kB each for its column names alone."""


class EpisodeIndex:
    """All of `meta/`, made from the journal. Each file is replaced atomically, info.json last."""

    def __init__(self, root: Path, spec: RobotSpec, marks: Marks | None = None) -> None:
        self._root, self._spec, self._marks = root, spec, marks
        self.num_episodes = 0
        self.num_frames = 0
        self._tasks: list[str] = []
        self._rows: list[pa.Table] = []  # of the last index file
        self._stats: dict[str, FeatureStats] = {}

    def load(self, entries: Sequence[JournalEntry]) -> None:
        """Goes on after these episodes; writes again whatever does not say the same."""
        try:
            for entry in entries:
                self._take_in(entry)
            if not self._is_current():
                self._write_all(entries)
        except (DatasetError, ArithmeticError, KeyError, ValueError, pa.ArrowException) as error:
            raise DatasetError(
                f"{self._root / layout.JOURNAL} cannot be used: {one_line(error)}; copy it again"
            ) from error

    def task_index(self, task: str) -> int:
        """Number of a task; a new one gets the next."""
        return self._tasks.index(task) if task in self._tasks else len(self._tasks)

    def append(self, entry: JournalEntry) -> None:
        """Adds the episode that was committed last. May be tried again after an OSError."""
        if entry.index == self.num_episodes:
            self._take_in(entry)
        self._write_episodes(entry.index // ROWS_PER_FILE, self._rows)
        self._write_summary()

    def _take_in(self, entry: JournalEntry) -> None:
        features = {layout.STATE, layout.ACTION}
        if self._marks is not None:
            features.add(layout.GOAL)
        features |= {layout.IMAGES + camera for camera in self._spec.camera_names}
        if entry.stats.keys() != features:
            raise DatasetError(f"episode {entry.index} has statistics of other features")
        if entry.index % ROWS_PER_FILE == 0:
            self._rows = []
        self._rows.append(self._row(entry))
        if entry.task not in self._tasks:
            self._tasks.append(entry.task)
        for key, stats in entry.feature_stats().items():
            self._stats[key] = self._stats[key].merge(stats) if key in self._stats else stats
        self.num_episodes += 1
        self.num_frames += entry.length

    def _is_current(self) -> bool:
        """Says whether the files count as many episodes as the journal does."""
        try:
            summaries = (layout.STATS, layout.TASKS) if self.num_episodes else ()
            if not all((self._root / path).exists() for path in summaries):
                return False
            files = (self.num_episodes + ROWS_PER_FILE - 1) // ROWS_PER_FILE
            rows = sum(pq.read_metadata(self._episodes_file(n)).num_rows for n in range(files))
            return bool(rows == self.num_episodes == read_info(self._root).total_episodes)
        except (OSError, ValueError, pa.ArrowException, DatasetError):
            return False

    def _write_all(self, entries: Sequence[JournalEntry]) -> None:
        for start in range(0, len(entries), ROWS_PER_FILE):
            first_frame = sum(entry.length for entry in entries[:start])
            rows = []
            for entry in entries[start : start + ROWS_PER_FILE]:
                rows.append(self._row(entry, first_frame))
                first_frame += entry.length
            self._write_episodes(start // ROWS_PER_FILE, rows)
        self._write_summary()

    def _write_episodes(self, number: int, rows: list[pa.Table]) -> None:
        table = pa.concat_tables(rows)
        replace_file(self._episodes_file(number), lambda path: pq.write_table(table, path))

    def _write_summary(self) -> None:
        if self._tasks:
            tasks = self._tasks
            replace_file(self._root / layout.TASKS, lambda path: _write_tasks(tasks, path))
        text = json.dumps(
            {key: to_lerobot(s, is_image=_is_image(key)) for key, s in self._stats.items()},
            indent=4,
        )
        if self._stats:
            replace_file(self._root / layout.STATS, lambda path: _write_text(path, text))
        counts = (self.num_episodes, self.num_frames, len(self._tasks))
        info = layout.info_json(self._spec, *counts, self._marks)
        replace_file(self._root / layout.INFO, lambda path: _write_text(path, info))

    def _row(self, entry: JournalEntry, first_frame: int | None = None) -> pa.Table:
        first = self.num_frames if first_frame is None else first_frame
        chunk, file = layout.place(entry.index)
        fps = int(self._spec.control_hz)
        columns: dict[str, pa.Array] = {
            "episode_index": pa.array([entry.index], pa.int64()),
            "tasks": pa.array([[entry.task]], pa.list_(pa.string())),
            "length": pa.array([entry.length], pa.int64()),
            "data/chunk_index": pa.array([chunk], pa.int64()),
            "data/file_index": pa.array([file], pa.int64()),
            "dataset_from_index": pa.array([first], pa.int64()),
            "dataset_to_index": pa.array([first + entry.length], pa.int64()),
        }
        for name in self._spec.camera_names:
            key = f"videos/{layout.IMAGES}{name}"
            columns[f"{key}/chunk_index"] = pa.array([chunk], pa.int64())
            columns[f"{key}/file_index"] = pa.array([file], pa.int64())
            columns[f"{key}/from_timestamp"] = pa.array([0.0], pa.float64())
            columns[f"{key}/to_timestamp"] = pa.array([entry.length / fps], pa.float64())
        for key, nested in entry.stats.items():
            for statistic in STATISTICS:
                kind = _statistic_type(key, statistic)
                columns[f"stats/{key}/{statistic}"] = pa.array([nested[statistic]], kind)
        columns[layout.SUCCESS] = pa.array([entry.success], pa.bool_())
        columns[layout.SEED] = pa.array([entry.seed], pa.int64())
        columns[layout.UUID] = pa.array([entry.uuid], pa.string())
        columns[layout.SHA256] = pa.array([entry.sha256], pa.string())
        columns[layout.RECOVERED] = pa.array([entry.recovered], pa.bool_())
        columns[layout.DROPS] = pa.array([json.dumps(entry.drops)], pa.string())
        index_chunk, index_file = layout.place(entry.index // ROWS_PER_FILE)
        columns["meta/episodes/chunk_index"] = pa.array([index_chunk], pa.int64())
        columns["meta/episodes/file_index"] = pa.array([index_file], pa.int64())
        return pa.table(columns)

    def _episodes_file(self, number: int) -> Path:
        chunk, file = layout.place(number)
        return self._root / layout.EPISODES / f"chunk-{chunk:03d}" / f"file-{file:03d}.parquet"


def _statistic_type(key: str, statistic: str) -> pa.DataType:
    """Returns the type of a column of statistics, the same whatever numbers a journal holds."""
    if statistic == "count":
        return pa.list_(pa.int64())
    vector = pa.list_(pa.float64())
    return pa.list_(pa.list_(vector)) if _is_image(key) else vector


def _is_image(key: str) -> bool:
    return key.startswith(layout.IMAGES)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_tasks(tasks: list[str], path: Path) -> None:
    """Writes the tasks as pandas would: LeRobot looks them up by pandas' index."""
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {
                "name": "task_index",
                "field_name": "task_index",
                "pandas_type": "int64",
                "numpy_type": "int64",
                "metadata": None,
            },
            {
                "name": "task",
                "field_name": "task",
                "pandas_type": "unicode",
                "numpy_type": "object",
                "metadata": None,
            },
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": tasks})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), path)
