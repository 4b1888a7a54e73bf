"""What each device last said, kept between whoever hears it and the loop that moves the arm."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

State = TypeVar("State")

STALE_AFTER_S = 0.3
"""Three messages of a page that speaks every 0.1 s: whoever is silent for longer has let go."""


class Inputs:
    """The newest state of each device; older than `STALE_AFTER_S`, or released, it is none.

    So a page that is closed, out of sight or cut off stops the arm, without anybody noticing.
    Any thread may call anything.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Stores; `clock` [s] says how old a state is, and it is not the robot's."""
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[str, tuple[float, object]] = {}

    def put(self, device: str, state: object) -> None:
        """Replaces what `device` said before; `state` is the Struct that is defined beside it."""
        now = self._clock()
        with self._lock:
            self._said[device] = (now, state)

    def latest(self, device: str, kind: type[State]) -> State | None:
        """Returns the newest state of `device` if it is a `kind` and fresh, else None."""
        with self._lock:
            at, state = self._said.get(device, (0.0, None))
        is_fresh = 0.0 <= self._clock() - at <= STALE_AFTER_S
        return state if is_fresh and isinstance(state, kind) else None

    def release_all(self) -> None:
        """Forgets everything, as if every device had been let go."""
        with self._lock:
            self._said.clear()
