"""Put the cube that was pointed at into the tray that was pointed at: one of three, one of three.

Which they are is drawn with the episode and stands in the world's user data; nothing in the
pictures tells. A policy can know it from the marks alone.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action, Marks, Observation
from demoloop.sim.grasp import GraspExpert
from demoloop.sim.task import Pointing, Task, World
from demoloop.sim.world import is_at_rest, set_free_body, touches_arm

CUBES = ("red", "yellow", "blue")
TRAYS = ("near", "middle", "far")
AREA = np.array([[0.17, -0.07], [0.29, 0.09]])  # m: corners of 12 x 16 cm, for each cube alike
_APART = 0.07  # m: nearer than this the open fingers would knock over the other cube
_SIDE = 0.03  # m
_INSIDE = 0.0325  # m, half of a tray

Vector = NDArray[np.float64]


def place(model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
    """Draws places until all cubes are apart, yaws, and which cube shall go to which tray."""
    while True:
        places = rng.uniform(AREA[0], AREA[1], (len(CUBES), 2))
        if all(np.linalg.norm(one - other) >= _APART for one, other in combinations(places, 2)):
            break
    for name, (x, y) in zip(CUBES, places, strict=True):
        set_free_body(model, data, name, np.array([x, y, _SIDE / 2]), rng.uniform(-np.pi, np.pi))
    data.userdata[:] = rng.integers(len(CUBES)), rng.integers(len(TRAYS))


def wanted(data: mujoco.MjData) -> tuple[str, str]:
    """Returns the names of the cube and the tray of this episode."""
    cube, tray = data.userdata.astype(int)
    return CUBES[cube], TRAYS[tray]


def pointed_at(data: mujoco.MjData, rng: np.random.Generator | None) -> Vector:
    """Returns what a person points at (2, 3) [m]: the cube, then the tray.

    With a generator, a person who is wrong in both: another cube, another tray.
    """
    cube, tray = wanted(data)
    if rng is not None:
        cube = str(rng.choice([name for name in CUBES if name != cube]))
        tray = str(rng.choice([name for name in TRAYS if name != tray]))
    return np.stack([data.body(cube).xpos, data.body(tray).xpos])


def is_in_tray(data: mujoco.MjData, cube: str, tray: str) -> bool:
    """Says whether a cube is between the walls of a tray, however it got there."""
    offset = data.body(cube).xpos - data.body(tray).xpos
    return bool(np.abs(offset[:2]).max() < _INSIDE and offset[2] < 0.035)


def is_solved(model: mujoco.MjModel, data: mujoco.MjData) -> bool:
    """The right cube lies in the right tray, at rest and untouched, and no other in any tray."""
    cube, tray = wanted(data)
    others = [name for name in CUBES if name != cube]
    return (
        is_in_tray(data, cube, tray)
        and is_at_rest(data, cube)
        and not touches_arm(model, data, cube)
        and not any(is_in_tray(data, name, where) for name in others for where in TRAYS)
    )


class SortExpert(GraspExpert):
    """Grasps the wanted cube, carries it over the wanted tray, lets go."""

    def __init__(self, robot: World, seed: int) -> None:
        """Stores; see GraspExpert."""
        super().__init__(robot, seed)
        self.wanted, self._tray = CUBES[0], TRAYS[0]

    def reset(self) -> None:
        """Draws this episode's habits, and looks which cube and tray are meant."""
        super().reset()
        self.wanted, self._tray = wanted(self.robot.data)
        # A tray is smaller than a bin: lower, and nearer to its middle.
        self.carry_height *= 0.7
        self.drop_offset *= 0.5

    def decide(self, observation: Observation) -> Action:
        """Answers from the state of the world, never from a clock."""
        data = self.robot.data
        over_tray = data.body(self._tray).xpos + self.drop_offset + [0.0, 0.0, self.carry_height]
        if is_in_tray(data, self.wanted, self._tray) or self.is_releasing:
            return self.release(over_tray)
        if self.holds(self.wanted):
            return self.carry(over_tray)
        return self.grasp(self.wanted)


TASK = Task(
    name="sort",
    instruction="Put the cube that is pointed at into the tray that is pointed at.",
    mjcf=Path(__file__).with_suffix(".xml"),
    max_seconds=12.0,
    place=place,
    is_solved=is_solved,
    make_expert=SortExpert,
    pointing=Pointing(Marks(names=("object", "place"), camera="front"), pointed_at),
)
