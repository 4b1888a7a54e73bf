"""What a session tells whoever shows it: one instant, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from demoloop.teleop.bench import Pictures
from demoloop.teleop.by_hand import SeenHand
from demoloop.teleop.commands import Phase

__all__ = ["Listener", "Look", "Phase", "Progress", "Shown", "Verdict"]

Verdict = Literal["pending", "kept", "success", "failure", "discarded"]


@dataclass(frozen=True)
class Look:
    """One instant of a session."""

    time: float  # s, on the clock of the observations
    shows_until: float  # s, monotonic: what was said to a device until then moved what is seen here
    phase: Phase
    step: int  # of the recording
    seconds: float  # since it began
    countdown: float | None  # s left; None when nobody counts
    joints: tuple[float, ...]  # (action_dim,)
    target: tuple[float, ...] | None  # (3,) m; None for an agent without
    is_engaged: bool
    num_late: int  # steps of this recording that began late
    who: Literal["person", "policy"]
    status: str  # of the agent, a sentence or empty
    seen: SeenHand | None  # of a hand; None for another device
    draw: Callable[[], Pictures] = field(repr=False)  # see `Bench.pictures`


@dataclass(frozen=True)
class Shown:
    """One episode of this session."""

    number: int  # counted from 1, over everything that was shown
    seconds: float
    steps: int
    verdict: Verdict
    seed: int | None = None
    success: bool | None = None  # as it stands in the dataset


@dataclass(frozen=True)
class Progress:
    """How far a session has come; a new one whenever something in it changes."""

    phase: Phase
    task: str
    notes: tuple[str, ...]  # of the present recording
    agent: str  # name
    kept: int  # episodes the dataset has
    wanted: int
    episodes: tuple[Shown, ...]
    drops: Mapping[str, int]  # camera -> pictures dropped in the present recording
    problem: str  # one sentence, or empty
    armed: str  # state of the supervisor, or empty
    marking: str = ""  # the camera in whose picture one points; empty: nobody points
    pointed: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # see `Bench`
    aim: str = ""  # the mark that a finger sets next


class Listener(Protocol):
    """Who shows a session. Called by the control loop between two steps: must be quick."""

    def look(self, look: Look) -> None:
        """Hears of one instant; only the newest counts."""
        ...

    def progress(self, progress: Progress) -> None:
        """Hears that something has changed."""
        ...

    def thumbnail(self, number: int, draw: Callable[[], Pictures]) -> None:
        """Hears what the episode of a number looked like at its end."""
        ...
