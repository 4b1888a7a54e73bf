"""What came of a run with a served policy: states, times, and what was not used."""

from __future__ import annotations

import json
import math
import random
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from demoloop.deploy.motion import State


class Sample:
    """Some of many values, each as likely as another (Vitter 1985, algorithm R).

    A run may last for weeks, and its memory must not grow with it.

    Args:
        size: How many are kept.
    """

    def __init__(self, size: int = 20_000) -> None:
        self.count = 0
        self.max = -math.inf
        self.values: list[float] = []
        self._size = size
        self._random = random.Random(0)

    def add(self, value: float) -> None:
        """Adds one."""
        self.count += 1
        self.max = max(self.max, value)
        if len(self.values) < self._size:
            self.values.append(value)
        elif (place := self._random.randrange(self.count)) < self._size:
            self.values[place] = value


@dataclass(frozen=True)
class Quantiles:
    """How a measured time is spread."""

    count: int
    p50: float  # ms
    p95: float  # ms
    max: float  # ms

    @classmethod
    def of(cls, sample: Sample) -> Quantiles | None:
        """Returns None when nothing was measured."""
        if not sample.count:
            return None
        p50, p95 = np.quantile(np.array(sample.values), [0.5, 0.95]).round(3).tolist()
        return cls(sample.count, p50, p95, round(sample.max, 3))


@dataclass(frozen=True)
class Stretch:
    """An unbroken time in one state."""

    state: State
    reason: str  # empty while running
    start_s: float  # since the episode's first step
    end_s: float


@dataclass(frozen=True)
class EpisodeReport:
    """One episode."""

    success: bool | None  # None: nobody could tell
    num_steps: int
    num_late: int  # steps that began after their deadline
    worst_lateness_ms: float
    num_skipped: int  # deadlines that passed without a step
    refusals: tuple[str, ...]  # real-time means that the system did not grant
    timeline: tuple[Stretch, ...]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.timeline[-1].end_s if self.timeline else 0.0

    def seconds_in(self, state: State) -> float:
        """How long the agent was in `state`."""
        return sum(s.end_s - s.start_s for s in self.timeline if s.state == state)

    def brief(self) -> dict[str, bool | int | float | None]:
        """Returns what a line of the log says of it."""
        return {
            "success": self.success,
            "seconds": round(self.seconds, 3),
            "steps": self.num_steps,
            "late": self.num_late,
            "skipped": self.num_skipped,
            "worst_lateness_ms": self.worst_lateness_ms,
        }

    def summary(self) -> str:
        """One line for a person."""
        outcome = {True: "success", False: "no success", None: "ended"}[self.success]
        held = "".join(
            f", {self.seconds_in(state):.1f} s {state}"
            for state in ("waiting", "holding")
            if self.seconds_in(state)
        )
        return (
            f"{outcome} after {self.seconds:.1f} s{held}, "
            f"{self.num_late} of {self.num_steps} steps late"
        )


@dataclass(frozen=True)
class RunReport:
    """All episodes of one run."""

    robot: str
    server: str
    policy: str  # the server's name for it
    control_hz: float
    replan_every: int
    was_interrupted: bool
    episodes: tuple[EpisodeReport, ...]
    round_trip_ms: Quantiles | None  # from sending an observation to the arrival of its chunk
    inference_ms: Quantiles | None  # the server's share of it
    chunk_age_ms: Quantiles | None  # of the observation behind the target, over running steps
    num_chunks: int
    num_stale: int  # chunks that came too late to be used
    num_dropped: int  # messages that were garbled, foreign, unasked for or unsafe

    @property
    def num_successes(self) -> int:
        """How many episodes succeeded."""
        return sum(episode.success is True for episode in self.episodes)

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {**asdict(self), "num_successes": self.num_successes}

    def summary(self) -> str:
        """One line for a person."""
        if self.round_trip_ms is None or self.inference_ms is None:
            return "no chunk came"
        trip = self.round_trip_ms
        return (
            f"{self.num_chunks} chunks, round trip {trip.p50:.1f} ms median, {trip.p95:.1f} ms "
            f"95th percentile, {trip.max:.1f} ms longest, of which inference "
            f"{self.inference_ms.p50:.1f} ms; {self.num_stale} stale, {self.num_dropped} dropped"
        )

    def dumps(self, **more: Any) -> str:
        """Returns the text of a report file, with what else the caller knows about the run."""
        return json.dumps({**more, **self.to_json()}, indent=2)
