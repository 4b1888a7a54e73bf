"""Training batches decoded as they are needed, for datasets whose cache does not fit the disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray

from demoloop.datasets.cache import TrainingCache
from demoloop.datasets.cache_build import resized
from demoloop.datasets.lerobot_read import Dataset
from demoloop.datasets.windows import Batch, WindowSampler

BUFFER_BYTES = 1 << 30
"""Of decoded pictures in memory: 19,000 steps of two cameras at 96x96."""

PIECE_STEPS = 64
"""Steps decoded one after the other: long enough that looking for their beginning costs little,
short enough that a shuffle buffer holds pieces of many episodes."""


@dataclass(frozen=True)
class _Pool:
    """Steps that are shuffled among each other, while and after they are decoded."""

    steps: NDArray[np.int64]  # ascending
    images: dict[str, NDArray[np.uint8]]  # camera -> (len(steps), height, width, 3)
    parts: list[Future[None]]

    def wait(self) -> None:
        """Returns when all is decoded; raises what decoding raised."""
        for part in self.parts:
            part.result()


class StreamingView(WindowSampler):
    """A WindowSampler that decodes from the videos, with bounded memory and nothing on the disk.

    Each epoch deals the episodes, in pieces, at random into pools, each half as large as the
    buffer, and shuffles within a pool. While batches come from one pool, all cores decode the
    next one. The order is drawn from the seed alone, so it is as repeatable as from a cache, and
    a restored stream decodes one pool and goes on.

    `with StreamingView(dataset, open_numbers(dataset), (96, 96), 16, 64, seed=0) as batches: ...`
    """

    def __init__(
        self,
        dataset: Dataset,
        numbers: TrainingCache,
        image_size: tuple[int, int],
        horizon: int,
        batch_size: int,
        seed: int,
        *,
        episodes: Sequence[int] | NDArray[np.int64] | None = None,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        """Stores; threads start on entering the `with` block.

        Args:
            dataset: Where the videos are; a mounted folder will do.
            numbers: Of the same dataset, from `open_numbers`.
            image_size: (height, width) [px] of the pictures in a batch.
            horizon: Actions per window.
            batch_size: Windows per batch.
            seed: Of the order.
            episodes: Positions in the dataset of those to sample; all when None.
            buffer_bytes: Most memory for decoded pictures.
        """
        super().__init__(numbers, horizon, batch_size, seed, episodes=episodes)
        self._dataset, self._image_size = dataset, image_size
        self._starts = numbers.episode_starts
        self._cameras = dataset.spec.camera_names
        height, width = image_size
        step_bytes = max(1, 3 * height * width * len(self._cameras))
        self._pool_steps = max(1, buffer_bytes // step_bytes // 2)
        self._pieces = self._cut(min(PIECE_STEPS, max(1, self._pool_steps // 4)))
        self._deal = lru_cache(maxsize=3)(self._deal_epoch)
        self._pools: dict[tuple[int, int], _Pool] = {}  # (epoch, number) -> pool
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> StreamingView:
        """Starts the threads."""
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        super().__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the threads."""
        super().__exit__(kind, error, trace)
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None
        self._pools.clear()

    def batch(self, number: int) -> Batch:
        """Returns the batch of that number; depends on nothing else."""
        first = number * self._batch_size
        steps = np.sort(self._steps[self._order(first, first + self._batch_size)])
        keys = self._keys(first, first + self._batch_size)
        ahead = [self._after(keys[-1])] if len(keys) == 1 else []  # else there are two in memory
        for key in [key for key in self._pools if key not in [*keys, *ahead]]:
            for part in self._pools.pop(key).parts:
                part.cancel()
        for key in [*keys, *ahead]:
            if key not in self._pools:
                self._pools[key] = self._decode_pool(*key)
        height, width = self._image_size
        images = {
            camera: np.empty((len(steps), height, width, 3), np.uint8) for camera in self._cameras
        }
        for pool in [self._pools[key] for key in keys]:
            pool.wait()
            place = np.minimum(np.searchsorted(pool.steps, steps), len(pool.steps) - 1)
            here = pool.steps[place] == steps
            for camera, pictures in images.items():
                pictures[here] = pool.images[camera][place[here]]
        return self._with_numbers(
            steps, {camera: torch.from_numpy(pictures) for camera, pictures in images.items()}
        )

    def windows(self, steps: NDArray[np.int64]) -> Batch:
        """Returns the windows that begin at these steps, in ascending order, decoded now."""
        steps, copies = np.unique(steps, return_counts=True)
        pool = self._decode(steps, threads=None)
        return self._with_numbers(
            np.repeat(steps, copies),
            {
                camera: torch.from_numpy(np.repeat(pictures, copies, axis=0))
                for camera, pictures in pool.images.items()
            },
        )

    def _cut(self, length: int) -> NDArray[np.int64]:
        """Returns, for each step, the number of the piece of an episode it is in."""
        steps = np.arange(self._starts[-1])
        episode = np.searchsorted(self._starts, steps, side="right") - 1
        within = (steps - self._starts[episode]) // length
        most = int(within.max(initial=0)) + 1
        _, pieces = np.unique(episode * most + within, return_inverse=True)
        return np.asarray(pieces, np.int64)

    def _draw_epoch(self, epoch: int) -> NDArray[np.int64]:
        return self._deal(epoch)[0]

    def _deal_epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the order of an epoch, and where in it each pool begins; last, its end."""
        drawn = super()._draw_epoch(epoch)
        random = np.random.default_rng([self._seed, epoch, 1])  # 1: of its own
        piece = self._pieces[self._steps[drawn]]
        rank = random.permutation(int(self._pieces.max()) + 1)
        sizes = np.bincount(rank[piece], minlength=len(rank))
        pool = (np.cumsum(sizes) // self._pool_steps)[rank[piece]]
        order = np.argsort(pool, kind="stable")  # `drawn` is shuffled, and stays so in a pool
        begins = np.flatnonzero(np.diff(pool[order], prepend=-1))
        return drawn[order], np.append(begins, len(drawn))

    def _keys(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Returns epoch and number of the pools that hold members start .. stop - 1."""
        size = len(self._steps)
        keys = []
        for epoch in range(start // size, (stop - 1) // size + 1):
            begins = self._deal(epoch)[1][:-1]
            low, high = max(start - epoch * size, 0), min(stop - epoch * size, size)
            first, last = np.searchsorted(begins, [low, high - 1], side="right") - 1
            keys += [(epoch, number) for number in range(first, last + 1)]
        return keys

    def _after(self, key: tuple[int, int]) -> tuple[int, int]:
        """Returns the pool that follows."""
        epoch, number = key
        is_last = number + 2 == len(self._deal(epoch)[1])
        return (epoch + 1, 0) if is_last else (epoch, number + 1)

    def _decode_pool(self, epoch: int, number: int) -> _Pool:
        order, begins = self._deal(epoch)
        drawn = order[begins[number] : begins[number + 1]]
        return self._decode(np.unique(self._steps[drawn]), self._threads)

    def _decode(self, steps: NDArray[np.int64], threads: ThreadPoolExecutor | None) -> _Pool:
        """Begins to decode steps, which ascend; without threads, ends it, too."""
        height, width = self._image_size
        pool = _Pool(
            steps,
            {c: np.empty((len(steps), height, width, 3), np.uint8) for c in self._cameras},
            [],
        )
        begins = np.flatnonzero(np.diff(self._pieces[steps], prepend=-1))
        for start, stop in zip(begins, [*begins[1:], len(steps)], strict=True):
            for camera, pictures in pool.images.items():
                part = (camera, steps[start:stop], pictures[start:stop])
                if threads is None:
                    self._decode_piece(*part)
                else:
                    pool.parts.append(threads.submit(self._decode_piece, *part))
        return pool

    def _decode_piece(self, camera: str, steps: NDArray[np.int64], into: NDArray[np.uint8]) -> None:
        """Decodes some steps of one piece of an episode."""
        episode = int(np.searchsorted(self._starts, steps[0], side="right")) - 1
        wanted = steps - self._starts[episode]
        frames = self._dataset.frames(episode, camera, int(wanted[0]), int(wanted[-1]) + 1)
        place = 0
        for step, frame in enumerate(frames, start=int(wanted[0])):
            if step == wanted[place]:
                into[place] = resized(frame, self._image_size)
                place += 1
