"""Pick up a 3 cm cube that lies anywhere, turned anyhow, and drop it into the bin."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np

from demoloop.robot import Action, Observation
from demoloop.sim.grasp import GraspExpert
from demoloop.sim.task import Task
from demoloop.sim.world import is_at_rest, set_free_body, touches_arm

AREA = np.array([[0.17, -0.06], [0.29, 0.10]])  # m: corners of 12 x 16 cm, any point alike
_BIN_INSIDE = 0.05  # m, half of 10 cm


def place(model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
    """Puts the cube uniformly into AREA, with a uniform yaw."""
    x, y = rng.uniform(*AREA)
    set_free_body(model, data, "cube", np.array([x, y, 0.015]), rng.uniform(-np.pi, np.pi))


def is_in_bin(data: mujoco.MjData) -> bool:
    """Says whether the cube is between the walls of the bin, however it got there."""
    offset = data.body("cube").xpos - data.body("bin").xpos
    return bool(np.abs(offset[:2]).max() < _BIN_INSIDE and offset[2] < 0.035)


def is_solved(model: mujoco.MjModel, data: mujoco.MjData) -> bool:
    """The cube lies in the bin, at rest, and the arm does not touch it."""
    return is_in_bin(data) and is_at_rest(data, "cube") and not touches_arm(model, data, "cube")


class PickPlaceExpert(GraspExpert):
    """Grasps the cube, carries it over the bin, lets go."""

    wanted = "cube"

    def decide(self, observation: Observation) -> Action:
        """Answers from the state of the world, never from a clock."""
        data = self.robot.data
        over_bin = data.body("bin").xpos + self.drop_offset + [0.0, 0.0, self.carry_height]
        if is_in_bin(data) or self.is_releasing:
            return self.release(over_bin)
        if self.holds(self.wanted):
            return self.carry(over_bin)
        return self.grasp(self.wanted)


TASK = Task(
    name="pick_place",
    instruction="Put the red cube into the blue bin.",
    mjcf=Path(__file__).with_suffix(".xml"),
    max_seconds=12.0,
    place=place,
    is_solved=is_solved,
    make_expert=PickPlaceExpert,
)
