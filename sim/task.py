"""What a task is: a few objects, where they start, and when it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Agent, Marks


class World(Protocol):
    """What a scripted expert may look at: the simulation itself. `SimRobot` is one."""

    model: mujoco.MjModel
    data: mujoco.MjData
    seed: int  # of the present episode

    def positions(self) -> NDArray[np.float64]:
        """Joint positions (6,) [rad], the jaw as opening 0..1."""
        ...


PointedAt = Callable[[mujoco.MjData, np.random.Generator | None], NDArray[np.float64]]


@dataclass(frozen=True)
class Pointing:
    """What a person points at before an episode, so that the arm knows what is meant."""

    marks: Marks
    pointed_at: PointedAt
    """The points (num_marks, 3) [m] when an episode starts; with a generator those of somebody
    who points at things that are not meant, to find out whether a policy listens at all."""


@dataclass(frozen=True)
class Task:
    """One thing to teach. Its objects stand in an MJCF beside the file that defines it."""

    name: str
    instruction: str  # what one would tell a person
    mjcf: Path
    max_seconds: float  # an episode that is not solved by then has failed
    place: Callable[[mujoco.MjModel, mujoco.MjData, np.random.Generator], None]
    """Puts the objects where an episode starts; every random choice comes from the generator."""
    is_solved: Callable[[mujoco.MjModel, mujoco.MjData], bool]
    """Looks at physics alone: things lie at rest where they should and nobody holds them."""
    make_expert: Callable[[World, int], Agent]
    """A scripted demonstrator that sees the simulation; the int seeds its human variation."""
    pointing: Pointing | None = None
    """None: the instruction says it all."""
