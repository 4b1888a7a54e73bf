"""Where a session works: a robot, whoever watches over it, and what a page is shown of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Observation, Robot

Pictures: TypeAlias = Mapping[str, NDArray[np.uint8]]
"""Camera -> (height, width, 3) RGB, of any size."""


class Bench(Protocol):
    """Any robot, and what a session does with it between episodes."""

    @property
    def robot(self) -> Robot:
        """Who moves."""
        ...

    @property
    def state(self) -> str:
        """Of the supervisor: IDLE, ARMED, RUNNING, ...; empty where there is none."""
        ...

    @property
    def fault(self) -> str:
        """Why the robot has stopped, in a sentence; empty while it has not. From any thread."""
        ...

    @property
    def shows_actions(self) -> bool:
        """Whether `pictures` after an `act` already show what it did, as a simulation can."""
        ...

    def prepare(self, *, again: bool) -> int | None:
        """Brings the robot to where an episode starts; returns the seed, None where there is none.

        Args:
            again: Whether it is the same episode once more, and not the next.

        Raises:
            DemoloopError: The robot cannot be brought there, or there is no episode left.
        """
        ...

    def hold(self) -> None:
        """Slows down and stays, until somebody acts; raises RobotError."""
        ...

    def held(self) -> AbstractContextManager[None]:
        """Holds within a block that may take long and does not speak to the robot."""
        ...

    def estop(self, reason: str) -> None:
        """Stops at once; from any thread, never blocks, never raises."""
        ...

    def recover(self) -> None:
        """A person has looked at the robot: it may be moved again; raises RobotError."""
        ...

    def succeeded(self) -> bool | None:
        """Whether the task is solved; None where only a person can tell."""
        ...

    def pictures(self, observation: Observation) -> Callable[[], Pictures]:
        """Returns who draws this instant for a page, later and in another thread.

        That is always the same thread, and a drawing may be left out.
        """
        ...

    @property
    def events(self) -> tuple[str, ...]:
        """What is noted with each recording, such as the calibration."""
        ...
