"""The training cache: every picture decoded and resized once, then read as plain memory.

Random access into video costs milliseconds per frame and repeats itself every epoch; a memory
map costs the copy.

The plan was one file per view of the dataset. Then each edit and each new episode decodes all
the others again. Here rows belong to episodes, and each episode is named by the hash of its
content, so that stale pictures are as impossible; a view is a list of rows. Dropping, trimming,
relabelling or weighing decodes nothing, ten more episodes decode those ten.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.cache_build import Layout, Missing, build
from demoloop.datasets.cache_store import CacheStore, Segment
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_files import EpisodeInfo
from demoloop.datasets.lerobot_read import Dataset
from demoloop.datasets.lerobot_rows import Lowdim
from demoloop.robot.marked import count_marks


@dataclass(frozen=True)
class TrainingCache:
    """All steps of all episodes of a view, one after the other; N steps, E episodes.

    The picture of step t is `images[camera][rows[t]]`: rows of dropped episodes stay where they
    are.
    """

    view_hash: str
    images: Mapping[str, NDArray[np.uint8]]  # camera -> (R, height, width, 3) RGB, memory map
    rows: NDArray[np.int64]  # (N,)
    proprioception: NDArray[np.float32]  # (N, P)
    actions: NDArray[np.float32]  # (N, action_dim)
    episode_starts: NDArray[np.int64]  # (E + 1,): episode e is steps starts[e] .. starts[e+1] - 1
    success: NDArray[np.int8]  # (E,): 1 yes, 0 no, -1 nobody judged
    weights: NDArray[np.float64]  # (E,): how often a step is drawn, against those of the others
    goals: NDArray[np.float32] | None = None  # (N, num_marks, 2) where people point

    @property
    def num_episodes(self) -> int:
        """How many episodes there are."""
        return len(self.episode_starts) - 1


def open_cache(
    dataset: Dataset,
    image_size: tuple[int, int],
    folder: Path | None = None,
    progress: bool = True,
) -> TrainingCache:
    """Returns the training cache of a dataset; what it lacks is decoded now.

    A build that was killed goes on where it was, two seconds earlier at most. Two processes at
    once build once: the second waits for the first.

    Args:
        dataset: What to decode.
        image_size: (height, width) [px] of the pictures in the cache.
        folder: Where the files go; `.cache` in the dataset, or in the user's cache folder when
            the dataset cannot be written.
        progress: Whether to show a progress bar while building.

    Raises:
        DatasetError: The disk is too small or an episode cannot be read.
    """
    layout = layout_of(dataset, image_size)
    store = open_store(dataset, layout, folder)
    try:
        with store.locked():
            missing = plan(dataset, layout, store)
            if missing:
                build(dataset, layout, store, missing, progress)
            return map_view(dataset, layout, store)
    except OSError as error:
        raise DatasetError(
            f"the training cache of {dataset.root} cannot be written to {store.folder}: {error}; "
            "make room, or train with --streaming, which needs none"
        ) from error


def open_numbers(dataset: Dataset) -> TrainingCache:
    """Returns a cache without pictures, for those that are decoded as they are needed.

    Raises:
        DatasetError: An episode cannot be read.
    """
    parts = [dataset.lowdim(i) for i in range(len(dataset.episodes))]
    lengths = [len(part.actions) for part in parts]
    return TrainingCache(
        view_hash=dataset.view_hash(),
        images={},
        rows=np.arange(sum(lengths)),
        proprioception=np.concatenate([part.proprioception for part in parts]),
        actions=np.concatenate([part.actions for part in parts]),
        episode_starts=_starts(lengths),
        success=_success(dataset),
        weights=_weights(dataset),
        goals=None if dataset.marks is None else np.concatenate([_goal(part) for part in parts]),
    )


def _goal(part: Lowdim) -> NDArray[np.float32]:
    assert part.goal is not None, "read with marks"
    return part.goal


def layout_of(dataset: Dataset, image_size: tuple[int, int]) -> Layout:
    """Returns which files the store of a dataset has."""
    return Layout(
        cameras=dataset.spec.camera_names,
        image_size=image_size,
        proprioception_dim=len(dataset.proprioception_names),
        action_dim=dataset.spec.action_dim,
        num_marks=count_marks(dataset.marks),
    )


def open_store(dataset: Dataset, layout: Layout, folder: Path | None = None) -> CacheStore:
    """Returns the store of a dataset; nothing is read before it is locked."""
    height, width = layout.image_size
    place = folder or _default_folder(dataset.root)
    return CacheStore(place / f"{height}x{width}", layout.row_bytes())


def plan(dataset: Dataset, layout: Layout, store: CacheStore) -> list[Missing]:
    """Allots rows to the episodes that the store lacks, and returns those.

    Raises:
        DatasetError: The disk has not room enough for them.
        OSError: It cannot be written.
    """
    wanted = [
        (i, segment) for i, segment in enumerate(segments(dataset)) if store.find(segment) is None
    ]
    steps = sum(segment.length for _, segment in wanted)
    needed = steps * sum(layout.row_bytes().values())
    free = shutil.disk_usage(store.folder).free
    if needed > free:
        raise DatasetError(
            f"the training cache of {dataset.root} needs {needed / 1e9:.2f} GB and {store.folder} "
            f"has {free / 1e9:.2f} GB free; make room, choose a smaller image size, or train "
            "with --streaming, which decodes as it goes"
        )
    rows = store.allot([segment.length for _, segment in wanted]) if wanted else []
    return [Missing(i, segment, row) for (i, segment), row in zip(wanted, rows, strict=True)]


def map_view(dataset: Dataset, layout: Layout, store: CacheStore) -> TrainingCache:
    """Returns a view all of whose episodes are in the store."""
    view = segments(dataset)
    name = hashlib.sha256(json.dumps(view).encode()).hexdigest()[:16]
    store.use(name, view)  # may move rows
    lengths = [segment.length for segment in view]
    found = [store.find(segment) for segment in view]
    firsts = np.array([row for row in found if row is not None], np.int64)
    assert len(firsts) == len(view), "an episode was not built"
    starts = _starts(lengths)
    rows = np.repeat(firsts - starts[:-1], lengths) + np.arange(starts[-1])
    height, width = layout.image_size

    def mapped(file: str, dtype: type[np.generic], *shape: int) -> np.memmap[tuple[int, ...]]:
        # Copy on write: torch wants memory it may write to, and the file stays as it is.
        return np.memmap(store.path(file), dtype, "c", shape=(store.num_rows, *shape))

    return TrainingCache(
        view_hash=dataset.view_hash(),
        images={
            camera: mapped(layout.image_file(camera), np.uint8, height, width, 3)
            for camera in layout.cameras
        },
        rows=rows,
        proprioception=mapped(layout.proprioception_file, np.float32, layout.proprioception_dim)[
            rows
        ],
        actions=mapped(layout.action_file, np.float32, layout.action_dim)[rows],
        episode_starts=starts,
        success=_success(dataset),
        weights=_weights(dataset),
        goals=(
            mapped(layout.goal_file, np.float32, layout.num_marks, 2)[rows]
            if layout.num_marks
            else None
        ),
    )


def segments(dataset: Dataset) -> list[Segment]:
    """Returns what the store must hold of each episode."""
    return [
        Segment(_content(dataset, i, episode), episode.first, episode.length)
        for i, episode in enumerate(dataset.episodes)
    ]


def _content(dataset: Dataset, i: int, episode: EpisodeInfo) -> str:
    """Returns what changes with the content of an episode as it was recorded.

    Others do not store a hash of it; hashing all videos takes as long as decoding some, so there
    size and time of change stand for the content of a file.
    """
    if episode.sha256:
        return episode.sha256
    files = dataset.files(i)
    parts = [episode.uuid, str(episode.index)]
    for path in [files.data, *(part.path for _, part in sorted(files.videos.items()))]:
        try:
            status = path.stat()
        except OSError as error:
            raise DatasetError(
                f"episode {episode.index}: {path} is gone; open the dataset again"
            ) from error
        parts.append(f"{os.path.relpath(path, dataset.root)} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _default_folder(root: Path) -> Path:
    """Returns `.cache` in the dataset, so that both are deleted together, if it can be made."""
    inside = root / ".cache"
    try:
        inside.mkdir(exist_ok=True)
        return inside
    except OSError:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
        return home / "demoloop" / name


def _starts(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *lengths], dtype=np.int64)


def _success(dataset: Dataset) -> NDArray[np.int8]:
    judged = [episode.success for episode in dataset.episodes]
    return np.array([-1 if success is None else success for success in judged], np.int8)


def _weights(dataset: Dataset) -> NDArray[np.float64]:
    return np.array([episode.weight for episode in dataset.episodes], np.float64)
