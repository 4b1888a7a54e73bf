"""Builds what is asked for by name."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from demoloop.robot import Marks, RobotSpec
from demoloop.robot.arms.so101 import SO101
from demoloop.sim.errors import SimError
from demoloop.sim.randomize import Disturbance, Randomization
from demoloop.sim.robot import SimRobot
from demoloop.sim.task import Task
from demoloop.sim.tasks import TASKS


def find_task(name: str) -> Task:
    """Returns the task called `name`; raises SimError that lists those there are."""
    if name not in TASKS:
        raise SimError(f"no task {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]


def marks_of(task: Task) -> Marks | None:
    """Returns what is pointed at before the task begins; None where words say it all."""
    return None if task.pointing is None else task.pointing.marks


def make_robot(
    task: str,
    seeds: Iterable[int] | None = None,
    *,
    spec: RobotSpec = SO101,
    randomization: Randomization | None = None,
    disturbance: Disturbance | None = None,
    acting_hz: float | None = None,
    misleads: bool = False,
) -> SimRobot:
    """Returns the SO-101 at the task called `task`; seeds count up from 0 when not given."""
    return SimRobot(
        find_task(task),
        count() if seeds is None else seeds,
        spec=spec,
        randomization=randomization,
        disturbance=disturbance,
        acting_hz=acting_hz,
        misleads=misleads,
    )
