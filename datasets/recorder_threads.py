"""The threads of a recorder: one per camera, one for the numbers, one that syncs."""

from __future__ import annotations

import errno
import os
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.camera_stream import CameraStream
from demoloop.datasets.disk import free_bytes
from demoloop.datasets.step_log import Picture, StepLog

SYNC_EVERY_S = 0.4
"""What a power cut may cost, with the time a sync takes on a slow disk, stays below 1 s."""

MIN_FREE = 1 << 20  # bytes beside the reserve; below it recording ends while it can end well

_END = object()


class Worker(ABC):
    """A thread that does what comes through its queue, and after an error only empties it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._todo: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when everything is done and the files are closed; again is harmless."""
        if self._thread.is_alive():
            self._todo.put(_END)
            self._thread.join()

    @abstractmethod
    def sync(self) -> None:
        """Returns when what was done so far is on the disk. May be called by another thread."""

    @abstractmethod
    def _do(self, item: object) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...

    def _run(self) -> None:
        while (item := self._todo.get()) is not _END:
            if self.error is None:
                try:
                    self._do(item)
                except BaseException as error:  # handed to the loop at its next step
                    self.error = error
            self._let_go(item)
        try:
            self._close()
        except BaseException as error:
            self.error = self.error or error

    def _let_go(self, item: object) -> None:
        """Gives back what an item holds; called even after an error."""
        return


class LogWorker(Worker):
    """Appends the records of steps."""

    def __init__(self, log: StepLog) -> None:
        self._log = log
        super().__init__()

    def put(self, record: bytes) -> None:
        """Hands over one record; never waits. A step's record is some hundred bytes."""
        self._todo.put(record)

    def sync(self) -> None:
        """Returns when what was appended so far is on the disk."""
        self._log.sync()

    def _do(self, item: object) -> None:
        assert isinstance(item, bytes)
        self._log.append(item)

    def _close(self) -> None:
        try:
            if self.error is None:
                self._log.sync()
        finally:
            self._log.close()


class CameraWorker(Worker):
    """Encodes the pictures of one camera; holds at most `depth` of them."""

    def __init__(self, stream: CameraStream, depth: int, waits: bool) -> None:
        self.stream = stream
        self.num_dropped = 0
        self._waits = waits
        self._time: float | None = None  # of the last picture taken in
        # Memory for waiting pictures, made when first needed and used again.
        self._free: queue.SimpleQueue[NDArray[np.uint8] | None] = queue.SimpleQueue()
        for _ in range(depth):
            self._free.put(None)
        self._is_open = threading.Event()
        super().__init__()

    def put(self, image: NDArray[np.uint8], time: float) -> tuple[float, Picture]:
        """Hands over a copy of a picture taken at `time` [s].

        Returns the time of the picture that stands at this step, and why it is that one. Waits
        only if told so at the beginning.
        """
        if time == self._time:
            self._todo.put(None)
            return time, Picture.REPEATED
        try:
            copy = self._free.get(block=self._waits)
        except queue.Empty:
            assert self._time is not None  # the first picture always finds room
            self.num_dropped += 1
            self._todo.put(None)
            return self._time, Picture.DROPPED
        if copy is None:
            copy = np.empty_like(image, order="C")
        np.copyto(copy, image)
        self._todo.put(copy)
        self._time = time
        return time, Picture.NEW

    def sync(self) -> None:
        """Returns when all frames so far are on the disk."""
        if self._is_open.is_set():
            self.stream.sync()

    def _do(self, item: object) -> None:
        if not self._is_open.is_set():
            self.stream.open()
            self._is_open.set()
        if isinstance(item, np.ndarray):
            self.stream.add(item)
        else:
            self.stream.repeat()

    def _let_go(self, item: object) -> None:
        if isinstance(item, np.ndarray):
            self._free.put(item)

    def _close(self) -> None:
        if self.error is None:
            self.stream.close()
        else:
            self.stream.abandon()


class SyncWorker:
    """Syncs all files now and then, and looks whether the disk fills up."""

    def __init__(self, root: Path, workers: Sequence[Worker]) -> None:
        self.error: BaseException | None = None
        self._root, self._workers = root, workers
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when no sync is under way; the files may be closed then."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(SYNC_EVERY_S):
            try:
                for worker in self._workers:
                    worker.sync()
                if free_bytes(self._root) < MIN_FREE:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                self.error = error
                return
