"""Training batches: what was seen at a step, and the actions that followed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray

from demoloop.datasets.cache import TrainingCache
from demoloop.datasets.errors import DatasetError

PREFETCHED = 2  # batches ready ahead of the training step: one would do but for jitter


@dataclass(frozen=True)
class Batch:
    """B windows. `actions[b, 0]` is the command sent after seeing `images[camera][b]`."""

    index: torch.Tensor  # (B,) int64 steps of the cache, ascending
    images: Mapping[str, torch.Tensor]  # camera -> (B, height, width, 3) uint8 RGB
    proprioception: torch.Tensor  # (B, P) float32
    actions: torch.Tensor  # (B, horizon, action_dim) float32
    is_pad: torch.Tensor  # (B, horizon) bool: the episode was over, its last action is repeated
    goal: torch.Tensor | None = None  # (B, num_marks, 2) float32 where people point


class WindowSampler:
    """An endless, shuffled, repeatable stream of batches, made ahead by one thread.

    Each epoch is one permutation of the steps, drawn from `seed` and the epoch's number; a batch
    may end one epoch and begin the next, so every step is seen equally often whatever the batch
    size. Where episodes have weights, an epoch is as long, and each step is in it in proportion
    to the weight of its episode: its share, rounded up or down by chance.

    `with WindowSampler(cache, 16, 64, seed=0) as batches: batch = next(batches)`
    """

    def __init__(
        self,
        cache: TrainingCache,
        horizon: int,
        batch_size: int,
        seed: int,
        *,
        episodes: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> None:
        """Stores; the thread starts on entering the `with` block.

        Args:
            cache: Where the steps are.
            horizon: Actions per window.
            batch_size: Windows per batch.
            seed: Of the order.
            episodes: Positions in the cache of those to sample; all when None.
        """
        if horizon < 1 or batch_size < 1:
            raise DatasetError(
                f"horizon {horizon} and batch size {batch_size} must both be at least 1"
            )
        self._cache = cache
        self._horizon, self._batch_size, self._seed = horizon, batch_size, seed
        everything = range(cache.num_episodes) if episodes is None else episodes
        chosen = [e for e in everything if cache.weights[e] > 0]
        starts = cache.episode_starts
        steps = [np.arange(starts[e], starts[e + 1]) for e in chosen]
        self._steps = np.concatenate(steps) if steps else np.empty(0, np.int64)
        if not len(self._steps):
            raise DatasetError(
                "no episode to sample from; choose at least one with a weight above 0"
            )
        weights = cache.weights[chosen]
        self._step_weights: NDArray[np.float64] | None = None  # None: all are drawn equally often
        if weights.min() < weights.max():
            self._step_weights = np.repeat(weights, [len(part) for part in steps])
        # (N,) first step after the episode of each step
        self._ends = np.repeat(starts[1:], np.diff(starts))
        self._images = {  # flat rows: one copy per picture
            camera: np.asarray(images).reshape(len(images), -1)
            for camera, images in cache.images.items()
        }
        self._permutation = lru_cache(maxsize=2)(self._draw_epoch)
        self._served = 0
        self._worker: _Prefetch | None = None

    @property
    def num_samples(self) -> int:
        """Windows in one epoch."""
        return len(self._steps)

    def __enter__(self) -> WindowSampler:
        """Starts the thread."""
        self._worker = _Prefetch(self, self._served)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the thread."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """Returns the next batch; there is always one."""
        if self._worker is None:
            raise DatasetError("the sampler is not running; use it inside `with`")
        batch = self._worker.get()
        self._served += 1
        return batch

    def state(self) -> int:
        """Number of batches returned so far: all that is needed to go on from here."""
        return self._served

    def restore(self, state: int) -> None:
        """Goes on as if `state` batches had been returned."""
        self._served = state
        if self._worker is not None:
            self._worker.stop()
            self._worker = _Prefetch(self, state)

    def batch(self, number: int) -> Batch:
        """Returns the batch of that number; depends on nothing else."""
        first = number * self._batch_size
        return self.windows(self._steps[self._order(first, first + self._batch_size)])

    def windows(self, steps: NDArray[np.int64]) -> Batch:
        """Returns the windows that begin at these steps of the cache, in ascending order."""
        steps = np.sort(steps)  # ascending reads are kind to the page cache
        rows = self._cache.rows[steps]
        # Not torch's index_select: it splits the copy among threads that training keeps busy, and
        # waits for the slowest. One thread took a tenth of its CPU on a machine with much to do.
        images = {
            camera: torch.from_numpy(pictures.take(rows, axis=0)).view(
                -1, *self._cache.images[camera].shape[1:]
            )
            for camera, pictures in self._images.items()
        }
        return self._with_numbers(steps, images)

    def _with_numbers(self, steps: NDArray[np.int64], images: Mapping[str, torch.Tensor]) -> Batch:
        """Returns the windows that begin at these steps, of which `images` are the pictures."""
        ahead = steps[:, None] + np.arange(self._horizon)  # (B, horizon)
        last = self._ends[steps][:, None] - 1
        return Batch(
            index=torch.from_numpy(steps),
            images=images,
            proprioception=torch.from_numpy(self._cache.proprioception[steps]),
            actions=torch.from_numpy(self._cache.actions[np.minimum(ahead, last)]),
            is_pad=torch.from_numpy(ahead > last),
            goal=None if self._cache.goals is None else torch.from_numpy(self._cache.goals[steps]),
        )

    def _order(self, start: int, stop: int) -> NDArray[np.int64]:
        """Returns members start .. stop - 1 of all epochs' permutations laid end to end."""
        size = len(self._steps)
        parts = []
        for epoch in range(start // size, (stop - 1) // size + 1):
            low, high = max(start - epoch * size, 0), min(stop - epoch * size, size)
            parts.append(self._permutation(epoch)[low:high])
        return np.concatenate(parts)

    def _draw_epoch(self, epoch: int) -> NDArray[np.int64]:
        """Returns positions in `_steps`, as many as there are, in the order of an epoch."""
        random = np.random.default_rng([self._seed, epoch])
        order = random.permutation(len(self._steps))
        if self._step_weights is None:
            return order
        # Systematic resampling (Kitagawa 1996): a comb with one tooth per draw over the weights
        # laid end to end. They are laid in random order, lest the comb fall into step with time.
        ends = np.cumsum(self._step_weights[order])
        teeth = (np.arange(len(order)) + random.random()) / len(order) * ends[-1]
        drawn = np.minimum(np.searchsorted(ends, teeth, side="right"), len(order) - 1)
        return random.permutation(order[drawn])


class _Prefetch:
    """The thread that makes batches ahead."""

    def __init__(self, sampler: WindowSampler, first: int) -> None:
        self._sampler = sampler
        self._queue: queue.Queue[Batch | BaseException] = queue.Queue(PREFETCHED)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(first,), daemon=True)
        self._thread.start()

    def get(self) -> Batch:
        """Returns the next batch or raises what making it raised."""
        made = self._queue.get()
        if isinstance(made, BaseException):
            self._queue.put(made)
            raise made
        return made

    def stop(self) -> None:
        """Ends the thread and returns when it has ended."""
        self._stopped.set()
        while self._thread.is_alive():
            try:  # make room, in case the thread waits to put one
                self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(timeout=0.01)

    def _run(self, first: int) -> None:
        number = first
        while not self._stopped.is_set():
            try:
                self._queue.put(self._sampler.batch(number))
            except BaseException as error:  # handed to whoever asks for the batch
                self._queue.put(error)
                return
            number += 1
