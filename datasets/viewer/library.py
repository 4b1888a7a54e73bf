"""The dataset that the page shows: opened, described as JSON, opened again when it changed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.check import known_defects, remembered_path
from demoloop.datasets.collection import is_collection, read_sources
from demoloop.datasets.edits import read_edits
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_files import EpisodeInfo
from demoloop.datasets.lerobot_read import Dataset, open_dataset
from demoloop.datasets.view import recorded_contents
from demoloop.datasets.viewer.curves import describe_steps
from demoloop.datasets.viewer.overlay import describe_history


@dataclass(frozen=True)
class _Opened:
    """A dataset as it was opened, and what is looked up often."""

    dataset: Dataset
    stamp: str  # of the files it was read from
    view: str
    defects: Path  # where the check keeps what it found in this view
    places: dict[str, int]  # uuid -> place in dataset.episodes
    numbers: dict[str, int]  # uuid -> number of the episode, of those dropped, too
    problem: str = ""  # why the files that are there now cannot be opened


class Library:
    """One dataset folder. Its methods may be called from several threads at once."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    def open(self) -> Dataset:
        """Returns the dataset as it is on the disk now; raises DatasetError if it never was one."""
        return self._open().dataset

    def stamps(self) -> dict[str, str]:
        """Returns what changes when the dataset changes, and what changes when it is checked."""
        return _stamps(self._open())

    def find(self, uuid: str) -> tuple[Dataset, int]:
        """Returns the dataset and the place of an episode in it; raises DatasetError."""
        opened = self._open()
        if uuid in opened.places:
            return opened.dataset, opened.places[uuid]
        raise DatasetError(f"{self.root} shows no episode {uuid[:8]}; it may have been dropped")

    def describe(self) -> dict[str, Any]:
        """Returns what the page shows before an episode is chosen."""
        opened = self._open()
        dataset, defects = opened.dataset, known_defects(opened.dataset)
        counts: dict[str, int] = {}
        for defect in defects or ():
            counts[defect.uuid] = counts.get(defect.uuid, 0) + 1
        return {
            "name": self.root.resolve().name,
            "robot": dataset.spec.name,
            "fps": dataset.fps,
            **_stamps(opened),
            "view": opened.view,
            "problem": opened.problem,
            "cameras": [
                {"name": c.name, "height": c.height, "width": c.width} for c in dataset.spec.cameras
            ],
            "missing": list(dataset.missing),
            "episodes": [_describe(e, counts.get(e.uuid, 0)) for e in dataset.episodes],
            "history": describe_history(self.root, opened.numbers),
        }

    def describe_episode(self, uuid: str) -> dict[str, Any]:
        """Returns the curves, events and defects of one episode; raises DatasetError."""
        dataset, i = self.find(uuid)
        defects = known_defects(dataset) or ()
        return describe_steps(dataset, i) | {
            "uuid": uuid,
            "defects": [
                {
                    "kind": defect.kind,
                    "first": defect.first_step,
                    "last": defect.last_step,
                    "sentence": defect.sentence,
                }
                for defect in defects
                if defect.uuid == uuid
            ],
        }

    def _open(self) -> _Opened:
        """Opens the dataset again only when it changed.

        A dataset that cannot be opened any more, say because its last episode was dropped, is
        shown as it was before, together with the reason; then an edit can still be undone.
        """
        with self._lock:
            stamp = _stamp(self.root)
            if self._opened is None or self._opened.stamp != stamp:
                try:
                    self._opened = _look_into(self.root, stamp, self._opened)
                except DatasetError as error:
                    if self._opened is None:
                        raise
                    self._opened = replace(self._opened, stamp=stamp, problem=str(error))
            return self._opened


def _look_into(root: Path, stamp: str, before: _Opened | None) -> _Opened:
    dataset = open_dataset(root)
    return _Opened(
        dataset=dataset,
        stamp=stamp,
        view=dataset.view_hash(),
        defects=remembered_path(dataset),
        places={episode.uuid: i for i, episode in enumerate(dataset.episodes)},
        numbers=_numbers(dataset, {} if before is None else before.numbers),
    )


def _numbers(dataset: Dataset, known: dict[str, int]) -> dict[str, int]:
    """Returns the number of each episode; those dropped are looked up only when an edit names one.

    Args:
        dataset: What is there now.
        known: Numbers of episodes that were there before.
    """
    numbers = known | {episode.uuid: episode.index for episode in dataset.episodes}
    if any(uuid not in numbers for edit in read_edits(dataset.root) for uuid in edit.episodes):
        recorded = recorded_contents(dataset.root).episodes
        numbers |= {files.info.uuid: files.info.index for files in recorded}
    return numbers


def _stamps(opened: _Opened) -> dict[str, str]:
    try:
        checked = str(opened.defects.stat().st_mtime_ns)
    except OSError:
        checked = ""  # not yet
    return {"stamp": opened.stamp, "checked": checked}


def _describe(episode: EpisodeInfo, num_defects: int) -> dict[str, Any]:
    return {
        "uuid": episode.uuid,
        "index": episode.index,
        "length": episode.length,
        "recorded": episode.recorded_length,
        "first": episode.first,
        "task": episode.task,
        "success": episode.success,
        "seed": episode.seed,
        "tags": list(episode.tags),
        "split": episode.split,
        "weight": episode.weight,
        "recovered": episode.recovered,
        "drops": dict(episode.drops),
        "defects": num_defects,
    }


def _stamp(root: Path) -> str:
    """Returns a hash over the sizes and times of the files that say what is in the dataset."""
    digest = hashlib.sha256()
    for path in _watched(root):
        try:
            status = path.stat()
        except OSError:
            continue
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _watched(root: Path) -> Iterator[Path]:
    yield root / layout.INFO
    yield from sorted((root / layout.EPISODES).rglob("*.parquet"))
    yield from sorted((root / layout.OURS).glob("*.json*"))
    if is_collection(root):
        for source in read_sources(root):
            yield from _watched(source.find(root))
