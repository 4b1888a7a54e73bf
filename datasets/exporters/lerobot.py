"""Plain LeRobot v3.0: what the edits leave of a dataset, as files that know of no edits.

Dropped episodes are gone, trimmed ones are as short as they look, tasks and success are as they
were corrected, and episodes of one split stand side by side, since LeRobot's splits are ranges.
Videos are copied; of a trimmed episode the packets are copied where it begins with a key frame
(every second frame in a recording of ours), and encoded again where it does not. Weights and tags
have no place in the format, and columns that only others know are left behind.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import pyarrow.parquet as pq
from tqdm import tqdm

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.camera_stream import file_sha256
from demoloop.datasets.durable import replace_file
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.exporters.steps import spec_of, steps_of
from demoloop.datasets.exporters.videos import write_part
from demoloop.datasets.journal import JournalEntry, read_journal
from demoloop.datasets.lerobot_files import EpisodeInfo
from demoloop.datasets.lerobot_index import EpisodeIndex
from demoloop.datasets.lerobot_read import Dataset
from demoloop.datasets.lerobot_table import data_table
from demoloop.datasets.stats import FeatureStats, ImageStats, NestedStats, to_lerobot
from demoloop.datasets.step_log import Steps, content_hash, goal_rows

SPLITS = ("train", "val", "test")
"""Come first, in this order; then others by name, then the episodes of no split."""


def export(dataset: Dataset, out: Path, progress: bool) -> None:
    """Writes the dataset to the new folder `out`."""
    spec = spec_of(dataset)
    known = {entry.uuid: entry for entry in read_journal(dataset.root)}
    order = sorted(range(len(dataset.episodes)), key=lambda i: _rank(dataset.episodes[i].split))
    entries: list[JournalEntry] = []
    tasks: dict[str, int] = {}
    first_frame = 0
    for number, i in enumerate(tqdm(order, "export lerobot", unit="episode", disable=not progress)):
        info, steps = dataset.episodes[i], steps_of(dataset, i)
        recorded = known.get(info.uuid) if is_untouched(info) else None
        hashes = {
            camera.name: _video(dataset, i, camera.name, out, number) for camera in spec.cameras
        }
        table = data_table(
            steps,
            fps=dataset.fps,
            episode=number,
            first_frame=first_frame,
            task_index=tasks.setdefault(info.task, len(tasks)),
        )
        path = layout.data_file(out, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
        stats = recorded.stats if recorded else _stats(dataset, i, steps)
        entries.append(_entry(info, number, steps, hashes, stats))
        first_frame += len(steps)
    index = EpisodeIndex(out, spec, dataset.marks)
    index.load(entries)
    _write_splits(out, [dataset.episodes[i].split for i in order])


def is_untouched(info: EpisodeInfo) -> bool:
    """Says whether an episode shows all that was recorded."""
    return info.first == 0 and info.recorded_length in (0, info.length)


def _rank(split: str) -> tuple[int, str]:
    if split in SPLITS:
        return SPLITS.index(split), ""
    return (len(SPLITS), split) if split else (len(SPLITS) + 1, "")


def _video(dataset: Dataset, i: int, camera: str, out: Path, number: int) -> str:
    """Writes one video and returns its sha256."""
    info = dataset.episodes[i]
    target = layout.video_file(out, camera, number)
    size = dataset.spec.camera(camera)
    part = dataset.videos(i)[camera]
    try:
        write_part(part, info.length, target, size, dataset.fps, dataset.frames(i, camera))
    except OSError as error:
        raise DatasetError(f"{target.name} of {camera} cannot be written: {error}") from error
    return file_sha256(target)


def _stats(dataset: Dataset, i: int, steps: Steps) -> dict[str, NestedStats]:
    stats = {
        layout.STATE: FeatureStats.of(steps.proprioception),
        layout.ACTION: FeatureStats.of(steps.actions),
    }
    if steps.goal is not None:
        stats[layout.GOAL] = FeatureStats.of(goal_rows(steps))
    for camera in dataset.spec.camera_names:
        gathered = ImageStats()
        for frame in dataset.frames(i, camera):
            gathered.add(frame)
        stats[layout.IMAGES + camera] = gathered.stats()
    return {
        key: to_lerobot(values, is_image=key.startswith(layout.IMAGES))
        for key, values in stats.items()
    }


def _entry(
    info: EpisodeInfo,
    number: int,
    steps: Steps,
    hashes: dict[str, str],
    stats: dict[str, NestedStats],
) -> JournalEntry:
    # A part of an episode is another episode, and the same part always the same one.
    part = hashlib.sha256(f"{info.uuid} {info.first} {info.length}".encode()).hexdigest()[:32]
    return JournalEntry(
        uuid=info.uuid if is_untouched(info) else part,
        index=number,
        length=info.length,
        task=info.task,
        success=info.success,
        seed=info.seed,
        sha256=content_hash(steps, hashes),
        recovered=info.recovered,
        drops=dict(info.drops),
        files={},
        stats=stats,
        committed=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _write_splits(out: Path, splits: list[str]) -> None:
    """Says in info.json which range of episodes is which split; all are for training by default."""
    if not any(splits):
        return
    ranges, start = {}, 0
    for split, members in groupby(splits):
        end = start + len(list(members))
        if split:
            ranges[split] = f"{start}:{end}"
        start = end
    info = json.loads((out / layout.INFO).read_text(encoding="utf-8"))
    info["splits"] = ranges
    text = json.dumps(info, indent=4, ensure_ascii=False)
    replace_file(out / layout.INFO, lambda path: _write_text(path, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
