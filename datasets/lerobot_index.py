"""The indices of a dataset being written: episodes, tasks, statistics, info.json."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.durable import replace_file
from demoloop.datasets.errors import DatasetError, one_line
from demoloop.datasets.lerobot_info import read_info
from demoloop.datasets.stats import STATISTICS, FeatureStats, from_lerobot, to_lerobot
from demoloop.robot import RobotSpec

ROWS_PER_FILE = 100
"""Episodes per index file. The last file is replaced at each commit, so a commit costs at most
so many rows; one file per episode would cost 57 kB each for its column names alone."""


class EpisodeIndex:
    """All of `meta/`. `append` replaces each file atomically, info.json last."""

    def __init__(self, root: Path, spec: RobotSpec) -> None:
        self._root, self._spec = root, spec
        self.num_episodes = 0
        self.num_frames = 0
        self._tasks: list[str] = []
        self._rows: pa.Table | None = None  # of the last index file
        self._stats: dict[str, FeatureStats] = {}

    def create(self) -> None:
        """Writes the info.json of an empty dataset."""
        self._write_info(0, 0, 0)

    def load(self) -> None:
        """Reads the indices back, up to the episodes info.json counts."""
        self.num_episodes = read_info(self._root).total_episodes
        if not self.num_episodes:
            return
        tables = []
        for number in range((self.num_episodes - 1) // ROWS_PER_FILE + 1):
            path = self._episodes_file(number)
            try:
                tables.append(pq.read_table(path))
            except (OSError, ValueError, pa.ArrowException) as error:
                raise DatasetError(
                    f"{path} cannot be read ({one_line(error)}), so nothing can be appended; "
                    "record into a new folder"
                ) from error
        # A kill between the index and info.json leaves a row that was not committed.
        kept = tables[-1].slice(0, self.num_episodes - (len(tables) - 1) * ROWS_PER_FILE)
        tables[-1] = kept
        if sum(len(table) for table in tables) != self.num_episodes:
            raise DatasetError(
                f"{self._root}: the index of episodes holds {sum(map(len, tables))}, info.json "
                f"says {self.num_episodes}; record into a new folder"
            )
        self._rows = None if self.num_episodes % ROWS_PER_FILE == 0 else kept
        for row in (row for table in tables for row in table.to_pylist()):
            self.num_frames += row["length"]
            if row["tasks"][0] not in self._tasks:
                self._tasks.append(row["tasks"][0])
            stats = {
                key: from_lerobot({name: row[f"stats/{key}/{name}"] for name in STATISTICS})
                for key in self._stats_keys()
            }
            self._stats = self._merged(stats)

    def task_index(self, task: str) -> int:
        """Number of a task; a new one gets the next."""
        return self._tasks.index(task) if task in self._tasks else len(self._tasks)

    def append(
        self,
        *,
        length: int,
        task: str,
        success: bool | None,
        seed: int | None,
        stats: dict[str, FeatureStats],
    ) -> None:
        """Adds one episode whose data and videos are in place. Raises OSError, changing nothing."""
        row = self._row(length, task, success, seed, stats)
        rows = row if self._rows is None else pa.concat_tables([self._rows, row])
        tasks = self._tasks if task in self._tasks else [*self._tasks, task]
        merged = self._merged(stats)
        if tasks is not self._tasks:
            replace_file(self._root / layout.TASKS, lambda path: _write_tasks(tasks, path))
        replace_file(
            self._episodes_file(self.num_episodes // ROWS_PER_FILE),
            lambda path: pq.write_table(rows, path),
        )
        text = json.dumps(
            {key: to_lerobot(s, is_image=_is_image(key)) for key, s in merged.items()}, indent=4
        )
        replace_file(self._root / layout.STATS, lambda path: _write_text(path, text))
        self._write_info(self.num_episodes + 1, self.num_frames + length, len(tasks))
        self._tasks, self._stats = tasks, merged
        self.num_episodes += 1
        self.num_frames += length
        self._rows = None if self.num_episodes % ROWS_PER_FILE == 0 else rows

    def _merged(self, stats: dict[str, FeatureStats]) -> dict[str, FeatureStats]:
        return {
            key: self._stats[key].merge(new) if key in self._stats else new
            for key, new in stats.items()
        }

    def _stats_keys(self) -> list[str]:
        cameras = [layout.IMAGES + name for name in self._spec.camera_names]
        return [layout.STATE, layout.ACTION, *cameras]

    def _row(
        self,
        length: int,
        task: str,
        success: bool | None,
        seed: int | None,
        stats: dict[str, FeatureStats],
    ) -> pa.Table:
        chunk, file = layout.place(self.num_episodes)
        fps = int(self._spec.control_hz)
        columns: dict[str, pa.Array] = {
            "episode_index": pa.array([self.num_episodes], pa.int64()),
            "tasks": pa.array([[task]], pa.list_(pa.string())),
            "length": pa.array([length], pa.int64()),
            "data/chunk_index": pa.array([chunk], pa.int64()),
            "data/file_index": pa.array([file], pa.int64()),
            "dataset_from_index": pa.array([self.num_frames], pa.int64()),
            "dataset_to_index": pa.array([self.num_frames + length], pa.int64()),
        }
        for name in self._spec.camera_names:
            key = f"videos/{layout.IMAGES}{name}"
            columns[f"{key}/chunk_index"] = pa.array([chunk], pa.int64())
            columns[f"{key}/file_index"] = pa.array([file], pa.int64())
            columns[f"{key}/from_timestamp"] = pa.array([0.0], pa.float64())
            columns[f"{key}/to_timestamp"] = pa.array([length / fps], pa.float64())
        for key in self._stats_keys():
            nested = to_lerobot(stats[key], is_image=_is_image(key))
            for statistic in STATISTICS:
                columns[f"stats/{key}/{statistic}"] = pa.array([nested[statistic]])
        columns[layout.SUCCESS] = pa.array([success], pa.bool_())
        columns[layout.SEED] = pa.array([seed], pa.int64())
        index_chunk, index_file = layout.place(self.num_episodes // ROWS_PER_FILE)
        columns["meta/episodes/chunk_index"] = pa.array([index_chunk], pa.int64())
        columns["meta/episodes/file_index"] = pa.array([index_file], pa.int64())
        return pa.table(columns)

    def _episodes_file(self, number: int) -> Path:
        chunk, file = layout.place(number)
        return self._root / layout.EPISODES / f"chunk-{chunk:03d}" / f"file-{file:03d}.parquet"

    def _write_info(self, episodes: int, frames: int, tasks: int) -> None:
        text = layout.info_json(self._spec, episodes, frames, tasks)
        replace_file(self._root / layout.INFO, lambda path: _write_text(path, text))


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
