"""Put one 3 cm cube onto another; both lie anywhere, turned anyhow."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np

from demoloop.robot import Action, Observation
from demoloop.sim.expert import Goal
from demoloop.sim.grasp import CLOSED, OPEN, GraspExpert
from demoloop.sim.task import Task
from demoloop.sim.world import is_at_rest, set_free_body, touches_arm

AREA = np.array([[0.17, -0.08], [0.29, 0.08]])  # m: corners of 12 x 16 cm, any point alike
_APART = 0.07  # m: nearer than this the open fingers would knock over the other cube
_SIDE = 0.03  # m


def place(model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
    """Draws both places uniformly, again until the cubes are apart, and both yaws."""
    while True:
        red, green = rng.uniform(AREA[0], AREA[1], (2, 2))
        if np.linalg.norm(red - green) >= _APART:
            break
    for name, (x, y) in (("red", red), ("green", green)):
        set_free_body(model, data, name, np.array([x, y, _SIDE / 2]), rng.uniform(-np.pi, np.pi))


def is_stacked(data: mujoco.MjData) -> bool:
    """Says whether red is one side above green and less than half a side beside it."""
    offset = data.body("red").xpos - data.body("green").xpos
    return bool(np.linalg.norm(offset[:2]) < _SIDE / 2 and abs(offset[2] - _SIDE) < 0.004)


def is_solved(model: mujoco.MjModel, data: mujoco.MjData) -> bool:
    """Red lies on green, both at rest, and the arm touches neither."""
    return is_stacked(data) and all(
        is_at_rest(data, cube) and not touches_arm(model, data, cube) for cube in ("red", "green")
    )


class StackExpert(GraspExpert):
    """Grasps red, sets it down on green, lets go."""

    wanted = "red"

    def reset(self) -> None:
        """Draws this episode's habits, and how far red is lifted over green."""
        super().reset()
        # Not from the stream of the grasp: it goes on feeding the hand's tremor.
        rng = np.random.default_rng((self.robot.seed, self.person, 8))
        self._lift_margin = rng.uniform(0.004, 0.012)  # m

    def decide(self, observation: Observation) -> Action:
        """Answers from the state of the world, never from a clock."""
        data = self.robot.data
        position, yaw = self.hand.pose()
        if self.is_releasing or (is_stacked(data) and not self.holds(self.wanted)):
            # Open first, then away upwards: a finger that leaves early takes the cube along.
            is_open = float(self.robot.positions()[5]) > OPEN - 0.15
            self.is_releasing = self.is_releasing and not is_open
            up = np.array([0.0, 0.0, 0.06 if is_open else 0.0])
            return self.hand.move(Goal(position + up, yaw, OPEN, speed=0.7))
        if self.holds(self.wanted):
            return self._set_down()
        return self.grasp(self.wanted)

    def _set_down(self) -> Action:
        """One step of carrying red over green and down onto it."""
        self.forget_closing()
        data = self.robot.data
        position, yaw = self.hand.pose()
        red, green = data.body("red").xpos, data.body("green").xpos
        aside = green[:2] - red[:2]
        distance = float(np.linalg.norm(aside))
        above = float(red[2] - green[2]) - _SIDE  # m between the faces
        if distance < 0.007 and above < 0.0035:
            self.is_releasing = True
            return self.hand.move(Goal(position, yaw, OPEN))
        # Up before across, across before down.
        risen = np.clip((red[2] - 0.035) / 0.03, 0.0, 1.0) if distance > 0.02 else 1.0
        clearance = min(0.035, 4.0 * max(0.0, distance - 0.004)) + self._lift_margin
        height = position[2] + green[2] + _SIDE + clearance - red[2]
        if clearance <= self._lift_margin:
            height -= self._lift_margin + 0.004  # press on a little: the arm is soft
        target = np.append(position[:2] + risen * aside, height)
        speed = 1.0 if distance > 0.02 else 0.5
        return self.hand.move(Goal(target, self.radial(position), CLOSED, speed))


TASK = Task(
    name="stack",
    instruction="Put the red cube onto the green cube.",
    mjcf=Path(__file__).with_suffix(".xml"),
    max_seconds=14.0,
    place=place,
    is_solved=is_solved,
    make_expert=StackExpert,
)
