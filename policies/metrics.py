"""`metrics.jsonl`: how a training run went, line by line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from demoloop.policies.train_config import Progress


class Log:
    """`metrics.jsonl`: a line every hundred steps."""

    EVERY = 100

    def __init__(self, path: Path, *, enabled: bool) -> None:
        self._path, self._enabled = path, enabled
        self._losses: list[float] = []
        self._waited = self._taken = 0.0
        self._samples = 0

    def add(self, progress: Progress, loss: float, waited: float, taken: float, count: int) -> None:
        """Takes note of one step: loss, seconds spent waiting for data, seconds in all."""
        self._losses.append(loss)
        self._waited += waited
        self._taken += taken
        self._samples += count

    def is_due(self, step: int) -> bool:
        """Says whether it is time for a line."""
        return step % self.EVERY == 0

    def write(self, progress: Progress) -> str:
        """Writes what came together since the last line; returns a few words for the bar."""
        if not self._losses:
            return ""
        loss, speed = float(np.mean(self._losses)), self._samples / self._taken
        self._append(
            step=progress.step,
            seconds=round(progress.seconds, 3),
            loss=loss,
            samples_per_s=round(speed, 1),
            loader_share=round(self._waited / self._taken, 5),
        )
        self._losses.clear()
        self._waited = self._taken = 0.0
        self._samples = 0
        return f", loss {loss:.4f}, {speed:.0f} samples/s"

    def judged(self, progress: Progress, values: Mapping[str, float]) -> None:
        """Writes a line with what a judge found."""
        self._append(step=progress.step, seconds=round(progress.seconds, 3), **values)

    def _append(self, **values: float) -> None:
        if self._enabled:
            with self._path.open("a") as file:
                file.write(json.dumps(values) + "\n")
