"""Builds what is asked for by name."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from demoloop.robot import RobotSpec
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


def make_robot(
    task: str,
    seeds: Iterable[int] | None = None,
    *,
    spec: RobotSpec = SO101,
    randomization: Randomization | None = None,
    disturbance: Disturbance | None = None,
    acting_hz: float | None = None,
) -> SimRobot:
    """Returns the SO-101 at the task called `task`; seeds count up from 0 when not given."""
    return SimRobot(
        find_task(task),
        count() if seeds is None else seeds,
        spec=spec,
        randomization=randomization,
        disturbance=disturbance,
        acting_hz=acting_hz,
    )
