"""The check for defects, run beside the page that asked for it."""

from __future__ import annotations

import threading
from typing import Any

from demoloop.datasets.check import find_defects
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_read import Dataset


class _Stopped(Exception):
    """The viewer ends before the check does."""


class Checking:
    """At most one check at a time, in a thread of its own."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._is_stopped = False
        self._progress = (0, 0)
        self._problem = ""

    def start(self, dataset: Dataset) -> None:
        """Begins to check unless a check is under way; returns at once."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._progress, self._problem = (0, len(dataset.episodes)), ""
        # A daemon, so that Ctrl-C need not wait for the end of a check.
        self._thread = threading.Thread(target=self._run, args=(dataset,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Lets a check end after the episode it is at; what it found so far is forgotten."""
        self._is_stopped = True

    def describe(self) -> dict[str, Any]:
        """Returns whether a check is under way, how far it is, and what went wrong."""
        done, total = self._progress
        return {
            "is_running": self._thread is not None and self._thread.is_alive(),
            "done": done,
            "total": total,
            "problem": self._problem,
        }

    def _run(self, dataset: Dataset) -> None:
        try:
            find_defects(dataset, again=True, on_episode=self._note)
        except DatasetError as error:
            self._problem = str(error)
        except _Stopped:
            pass

    def _note(self, done: int, total: int) -> None:
        self._progress = (done, total)
        if self._is_stopped:
            raise _Stopped
