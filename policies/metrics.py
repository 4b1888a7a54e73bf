"""`metrics.jsonl`: how a training run went, line by line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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

    def state(self) -> dict[str, Any]:
        """Returns what came together since the last line, for a checkpoint."""
        return {
            "losses": list(self._losses),
            "waited": self._waited,
            "taken": self._taken,
            "samples": self._samples,
        }

    def restore(self, progress: Progress, state: Mapping[str, Any]) -> None:
        """Goes on from a checkpoint; forgets the lines that were written after it."""
        self._losses = list(state.get("losses", []))
        self._waited, self._taken = state.get("waited", 0.0), state.get("taken", 0.0)
        self._samples = state.get("samples", 0)
        if not self._enabled or not self._path.exists():
            return
        kept = []
        for line in self._path.read_text().splitlines():
            try:
                if json.loads(line)["step"] > progress.step:
                    break
            except (ValueError, KeyError, TypeError):  # cut short by the kill
                break
            kept.append(line + "\n")
        partial = self._path.with_name(self._path.name + ".partial")
        partial.write_text("".join(kept))
        partial.rename(self._path)

    def judged(self, progress: Progress, values: Mapping[str, float]) -> None:
        """Writes a line with what a judge found."""
        self._append(step=progress.step, seconds=round(progress.seconds, 3), **values)

    def _append(self, **values: float) -> None:
        if self._enabled:
            with self._path.open("a") as file:
                file.write(json.dumps(values) + "\n")
