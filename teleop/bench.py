"""Where a session works: a robot, whoever watches over it, and what a page is shown of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Marks, Observation, Robot

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
    def hz(self) -> float:
        """How often it is looked at and acted on: the control rate, or a multiple of it."""
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

    def begin(self) -> None:
        """An episode begins where the robot stands: what is marked counts from now on.

        Raises:
            RobotError: Not everything is marked that should be.
        """
        ...

    @property
    def marks(self) -> Marks | None:
        """What there is to point at; None where words say it all."""
        ...

    @property
    def pointed(self) -> Mapping[str, tuple[float, float]]:
        """Mark -> x right and y down, 0..1, of the picture that a page shows."""
        ...

    def point(self, name: str, x: float, y: float) -> None:
        """Marks a point of that picture; raises RobotError when nobody may, or there is none."""
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
