"""Decodes episodes into a store of rows, on all cores: PyAV and OpenCV let go of Python's lock."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from demoloop.datasets.cache_store import CacheStore, Segment
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_read import Dataset

PART_STEPS = 512
"""Steps that one thread decodes at a time, so that a single long episode keeps all cores busy."""

COMMIT_EVERY_S = 2.0
"""What a kill costs of a build; committing waits for the disk."""


@dataclass(frozen=True)
class Missing:
    """An episode that is to be written to the store."""

    episode: int  # position in the dataset
    segment: Segment
    row: int  # of its first step


@dataclass(frozen=True)
class Layout:
    """Which files a store has, and what a row of each is."""

    cameras: tuple[str, ...]
    image_size: tuple[int, int]  # height, width [px]
    proprioception_dim: int
    action_dim: int
    num_marks: int = 0

    @property
    def proprioception_file(self) -> str:
        """Name of the file of joint readings; another width is another file."""
        return f"proprioception_{self.proprioception_dim}.f32"

    @property
    def action_file(self) -> str:
        """Name of the file of actions."""
        return f"action_{self.action_dim}.f32"

    @property
    def goal_file(self) -> str:
        """Name of the file of what was pointed at; there is none where nobody points."""
        return f"goal_{self.num_marks}.f32"

    @staticmethod
    def image_file(camera: str) -> str:
        """Name of the file of a camera's pictures."""
        return f"{camera}.u8"

    def row_bytes(self) -> dict[str, int]:
        """Returns the bytes of a row of each file."""
        height, width = self.image_size
        goal = {self.goal_file: 8 * self.num_marks} if self.num_marks else {}
        return {
            **goal,
            self.proprioception_file: 4 * self.proprioception_dim,
            self.action_file: 4 * self.action_dim,
            **{self.image_file(camera): 3 * height * width for camera in self.cameras},
        }


def build(
    dataset: Dataset, layout: Layout, store: CacheStore, missing: Sequence[Missing], progress: bool
) -> None:
    """Writes episodes to the store and commits them there, one after the other.

    Raises:
        DatasetError: An episode cannot be read; those before it are kept.
        OSError: The disk is full.
    """
    frames = sum(one.segment.length for one in missing) * len(layout.cameras)
    bar = tqdm(
        total=frames, desc="decoding pictures once", unit="frame", disable=not (progress and frames)
    )
    threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        with bar:
            parts = [_start(threads, dataset, layout, store, one) for one in missing]
            done: list[Missing] = []
            committed_at = time.monotonic()
            try:
                for one, futures in zip(missing, parts, strict=True):
                    for future in futures:
                        bar.update(future.result())
                    done.append(one)
                    if time.monotonic() - committed_at > COMMIT_EVERY_S:
                        _commit(store, done)
                        done, committed_at = [], time.monotonic()
            finally:
                _commit(store, done)
    finally:
        threads.shutdown(cancel_futures=True)


def write_episode(dataset: Dataset, layout: Layout, store: CacheStore, missing: Missing) -> None:
    """Writes one episode to the rows allotted to it, in this thread."""
    write_numbers(dataset, layout, store, missing)
    for camera in layout.cameras:
        write_pictures(dataset, layout, store, missing, camera, 0, missing.segment.length)


def write_numbers(dataset: Dataset, layout: Layout, store: CacheStore, missing: Missing) -> int:
    """Writes what is no picture; returns 0, the number of frames decoded."""
    lowdim = dataset.lowdim(missing.episode)
    columns = [
        (layout.proprioception_file, lowdim.proprioception, layout.proprioception_dim),
        (layout.action_file, lowdim.actions, layout.action_dim),
    ]
    if lowdim.goal is not None:
        flat = lowdim.goal.reshape(len(lowdim.goal), -1)
        columns.append((layout.goal_file, flat, 2 * layout.num_marks))
    for name, values, width in columns:
        if values.shape != (missing.segment.length, width):
            index = dataset.episodes[missing.episode].index
            raise DatasetError(
                f"episode {index} has numbers of shape {values.shape}, expected "
                f"{(missing.segment.length, width)}; drop the episode, or copy it again"
            )
        with store.write(name, missing.row) as file:
            file.write(np.ascontiguousarray(values, np.float32).tobytes())
    return 0


def write_pictures(
    dataset: Dataset,
    layout: Layout,
    store: CacheStore,
    missing: Missing,
    camera: str,
    start: int,
    stop: int,
) -> int:
    """Writes the pictures of steps start .. stop - 1; returns how many."""
    with store.write(layout.image_file(camera), missing.row + start) as file:
        for frame in dataset.frames(missing.episode, camera, start, stop):
            file.write(resized(frame, layout.image_size).data)
    return stop - start


def resized(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Shrinks by averaging areas, as the exported policy does; a frame that fits is not touched."""
    height, width = size
    if frame.shape == (height, width, 3):
        return np.ascontiguousarray(frame)
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA).astype(
        np.uint8, copy=False
    )


def _start(
    threads: ThreadPoolExecutor,
    dataset: Dataset,
    layout: Layout,
    store: CacheStore,
    missing: Missing,
) -> list[Future[int]]:
    """Hands the parts of one episode to the threads."""
    length = missing.segment.length
    return [
        threads.submit(write_numbers, dataset, layout, store, missing),
        *(
            threads.submit(
                write_pictures,
                *(dataset, layout, store, missing, camera),
                *(start, min(start + PART_STEPS, length)),
            )
            for camera in layout.cameras
            for start in range(0, length, PART_STEPS)
        ),
    ]


def _commit(store: CacheStore, done: Sequence[Missing]) -> None:
    if done:
        store.commit([(one.segment, one.row) for one in done])
