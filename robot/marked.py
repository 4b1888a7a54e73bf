"""Pointing: what a person marks in a picture, and the robot around a robot that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demoloop.robot.errors import RobotError
from demoloop.robot.interface import Action, Observation, Robot
from demoloop.robot.spec import RobotSpec

MAX_MARKS = 8  # of an episode: more than a person keeps in mind


@dataclass(frozen=True)
class Marks:
    """What there is to point at, in whose picture; the order is that of `Observation.goal`."""

    names: tuple[str, ...]  # such as object and place
    camera: str

    def __post_init__(self) -> None:
        are_names = all(name and name.isprintable() and len(name) <= 64 for name in self.names)
        if not 1 <= len(set(self.names)) == len(self.names) <= MAX_MARKS or not are_names:
            raise RobotError(
                f"marks {', '.join(map(repr, self.names)) or '(none)'}: 1 to {MAX_MARKS} "
                "different names of at most 64 characters are needed, such as object and place"
            )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Marks:
        """Reads what `dataclasses.asdict` made; raises KeyError, TypeError or RobotError."""
        return cls(tuple(str(name) for name in value["names"]), str(value["camera"]))

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the numbers of a goal laid out in a row: `object.x`, `object.y`, ..."""
        return tuple(f"{name}.{axis}" for name in self.names for axis in "xy")


def count_marks(marks: Marks | None) -> int:
    """Returns how many marks there are; 0 where nobody points."""
    return 0 if marks is None else len(marks.names)


def check_goal(goal: NDArray[np.float32] | None, marks: Marks) -> NDArray[np.float32]:
    """Returns the goal; raises RobotError when not everything is pointed at, inside the picture."""
    names = " and ".join(marks.names)
    if goal is None:
        raise RobotError(f"nobody has pointed: mark {names} in the picture of {marks.camera} first")
    expected = (len(marks.names), 2)
    # Written so that a NaN fails it too.
    if goal.shape != expected or not ((goal >= 0) & (goal <= 1)).all():
        raise RobotError(
            f"marks of shape {goal.shape}, {str(goal.tolist())[:80]}, expected {expected} between "
            f"0 and 1: x and y of {names} in the picture of {marks.camera}"
        )
    return goal


class Marked:
    """A robot around a robot: puts what a person points at into each observation.

    What is marked counts from the next reset on, and stays for the whole episode: a demonstration
    whose goal changes half-way shows nothing that could be learned.
    """

    def __init__(self, robot: Robot, marks: Marks) -> None:
        """Stores; nothing is marked yet.

        Args:
            robot: Who looks and moves.
            marks: What there is to point at.
        """
        self.robot = robot
        self.marks = marks
        self.pointed: dict[str, tuple[float, float]] = {}  # mark -> x, y, for the next episode
        self._goal: NDArray[np.float32] | None = None  # of this episode

    @property
    def spec(self) -> RobotSpec:
        """That of the robot inside."""
        return self.robot.spec

    def point(self, name: str, x: float, y: float) -> None:
        """Marks a point of the picture, x right and y down from 0 to 1; again moves the mark.

        Raises:
            RobotError: There is no such mark, or the point is outside the picture.
        """
        if name not in self.marks.names:
            raise RobotError(f"no mark {name!r}; there are {', '.join(self.marks.names)}")
        if not (0 <= x <= 1 and 0 <= y <= 1):  # also catches nan
            raise RobotError(
                f"{name} is marked at ({x:.3g}, {y:.3g}), outside the picture of "
                f"{self.marks.camera}, which goes from 0 to 1"
            )
        self.pointed[name] = (float(x), float(y))

    def forget(self) -> None:
        """Takes all marks away."""
        self.pointed.clear()

    def reset(self) -> None:
        """Starts an episode with the marks there are; without all of them it has no goal."""
        self.robot.reset()
        self.latch()

    def latch(self) -> None:
        """What is marked now is the goal, for whoever starts an episode where the robot stands."""
        points = [self.pointed[name] for name in self.marks.names if name in self.pointed]
        is_whole = len(points) == len(self.marks.names)
        self._goal = np.array(points, np.float32) if is_whole else None

    def observe(self) -> Observation:
        """Looks once, and adds the goal."""
        return replace(self.robot.observe(), goal=self._goal)

    def act(self, action: Action) -> Action:
        """Passes the action on."""
        return self.robot.act(action)

    def close(self) -> None:
        """Closes the robot inside."""
        self.robot.close()
