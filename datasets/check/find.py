"""Runs all checks over a dataset, and remembers what they found until something changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from tqdm import tqdm

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.check.clocks import capture_defects, clock_defects
from demoloop.datasets.check.copies import Trace, copy_defects, trace_of
from demoloop.datasets.check.defect import NO_EPISODE, Defect
from demoloop.datasets.check.files import file_defects, journal_of, length_defects
from demoloop.datasets.check.joints import joint_defects, not_numbers
from demoloop.datasets.check.pictures import picture_defects
from demoloop.datasets.check.signals import read_signals, with_pictures
from demoloop.datasets.check.skew import Correlogram, correlograms, pooled_skew, skew_defects
from demoloop.datasets.durable import replace_file
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.journal import JournalEntry
from demoloop.datasets.lerobot_read import Dataset

VERSION = 1
"""Goes up when a check changes, so that what an older one found is not believed."""

OnEpisode = Callable[[int, int], None]  # episodes done, episodes in all


@dataclass(frozen=True)
class _Found:
    """What one episode gave."""

    defects: tuple[Defect, ...]
    trace: Trace | None
    correlograms: tuple[Correlogram, ...]


@dataclass(frozen=True)
class _Remembered:
    """The file in which a view's defects stand."""

    stamp: str
    defects: tuple[Defect, ...]


def find_defects(
    dataset: Dataset,
    *,
    again: bool = False,
    progress: bool = False,
    on_episode: OnEpisode | None = None,
) -> tuple[Defect, ...]:
    """Returns every hard defect of the kept steps, in the order of the episodes.

    There is no grade and no score: nobody has shown that one predicts success. What is said here
    is wrong by itself, whatever is learned from it, and a person decides what becomes of it.

    Args:
        dataset: What to look at; it is not changed.
        again: Look again even when no file has changed since the last time.
        progress: Whether to show a progress bar.
        on_episode: Called in this thread after each episode.

    Raises:
        DatasetError: The journal is damaged.
    """
    place = remembered_path(dataset)
    stamp = _stamp(dataset)
    if not again and (known := recall(place, stamp)) is not None:
        return known
    count = len(dataset.episodes)
    # A collection shows episodes of several folders, each with a journal of its own.
    journals = {root: journal_of(root) for root in {_folder(dataset, i) for i in range(count)}}
    found: list[_Found] = []
    # PyAV lets go of the interpreter while it decodes, so threads are as good as processes.
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=count, desc="check", unit="episode", disable=not progress) as bar,
    ):
        for one in pool.map(lambda i: _check_episode(dataset, i, journals), range(count)):
            found.append(one)
            bar.update()
            if on_episode is not None:
                on_episode(len(found), count)
    defects = [defect for one in found for defect in one.defects]
    defects += copy_defects([one.trace for one in found if one.trace is not None])
    pooled = [correlogram for one in found for correlogram in one.correlograms]
    defects += pooled_skew(pooled, dataset.fps)
    defects += [
        Defect(NO_EPISODE, "", "unreadable", 0, 0, "", sentence) for sentence in dataset.missing
    ]
    result = tuple(sorted(defects, key=lambda d: (d.episode, d.first_step, d.kind)))
    _remember(place, stamp, result)
    return result


def known_defects(dataset: Dataset) -> tuple[Defect, ...] | None:
    """Returns what was found before in the same view of the same files; None when nothing was."""
    return recall(remembered_path(dataset), _stamp(dataset))


def remembered_path(dataset: Dataset) -> Path:
    """Returns where the defects of this view are kept once they have been looked for.

    That is beside our episodes; of others nothing is touched, not even their folder.
    """
    name = f"check-{dataset.view_hash()}.json"
    if dataset.has_own_spec and os.access(dataset.root, os.W_OK):
        return dataset.root / ".cache" / name
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "demoloop" / name


def to_json(defects: tuple[Defect, ...]) -> list[dict[str, object]]:
    """Returns plain JSON values."""
    return [asdict(defect) for defect in defects]


def _folder(dataset: Dataset, i: int) -> Path:
    """Returns the folder that episode i was recorded into, which has an info.json of its own."""
    parents = dataset.files(i).data.parents
    return next((parent for parent in parents if (parent / layout.INFO).exists()), dataset.root)


def _check_episode(
    dataset: Dataset, i: int, journals: Mapping[Path, Mapping[str, JournalEntry]]
) -> _Found:
    info, videos, root = dataset.episodes[i], dataset.videos(i), _folder(dataset, i)
    defects: list[Defect] = []
    if info.uuid in journals[root]:
        defects += file_defects(root, info, journals[root][info.uuid])
    if dataset.has_own_spec:
        defects += length_defects(info, videos)
    try:
        signals = read_signals(dataset, i)
    except DatasetError as error:
        last = info.length - 1
        defects.append(Defect(info.index, info.uuid, "unreadable", 0, last, "", str(error)))
        return _Found(tuple(defects), None, ())
    signals, broken = with_pictures(signals, videos)
    shifts = correlograms(signals)
    defects += broken
    defects += not_numbers(signals)
    defects += joint_defects(signals)
    defects += clock_defects(signals)
    defects += capture_defects(signals)
    defects += picture_defects(signals)
    defects += skew_defects(signals, shifts)
    return _Found(tuple(defects), trace_of(signals), tuple(shifts))


def _stamp(dataset: Dataset) -> str:
    """Changes when a file of the dataset is another one: the view alone looks at no bytes."""
    paths: set[Path] = set()
    for i in range(len(dataset.episodes)):
        paths |= {dataset.files(i).data, *(part.path for part in dataset.videos(i).values())}
    digest = hashlib.sha256(f"{VERSION} {dataset.missing}".encode())
    for path in sorted(paths):
        try:
            status = path.stat()
            digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}".encode())
        except OSError:
            digest.update(f"{path.name} is gone".encode())
    return digest.hexdigest()


def recall(path: Path, stamp: str) -> tuple[Defect, ...] | None:
    """Returns the defects in a file of remembered ones; None when they are of other files."""
    try:
        known = msgspec.json.decode(path.read_bytes(), type=_Remembered)
    except (OSError, UnicodeDecodeError, RecursionError, msgspec.MsgspecError):
        return None  # not looked yet, or by another version
    return known.defects if known.stamp == stamp else None


def _remember(path: Path, stamp: str, defects: tuple[Defect, ...]) -> None:
    text = json.dumps({"stamp": stamp, "defects": to_json(defects)}, indent=1)
    # What cannot be kept is looked for again each time.
    with contextlib.suppress(OSError):
        replace_file(path, lambda place: _write(place, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
