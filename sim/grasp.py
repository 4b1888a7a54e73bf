"""What experts that grasp have in common: come from above, close, lift, carry, let go, retry."""

from __future__ import annotations

from abc import ABC, abstractmethod

import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action, Observation
from demoloop.sim.expert import Goal, Hand
from demoloop.sim.task import World
from demoloop.sim.world import pads_hold, wrap, yaw_of

Vector = NDArray[np.float64]

OPEN, CLOSED = 0.43, 0.2  # opening: wide enough for a 3 cm cube with 1 cm to spare; a firm grip
_MISSED_AFTER = 15  # control steps of closing without a grip


class GraspExpert(ABC):
    """A demonstrator that decides from the state of the world, never from a clock.

    A missed or lost grip therefore needs no special case: the cube is simply not held, and it
    goes for it again.
    """

    wanted: str  # the body to grasp, as the task's MJCF calls it

    def __init__(self, robot: World, seed: int) -> None:
        """Stores; the seed chooses the person, the robot's seed the day."""
        self.robot = robot
        self.person = seed
        self.hand = Hand(robot)

    def reset(self) -> None:
        """Draws this episode's habits and slips."""
        # A stream of its own: the world of a seed must not change with who demonstrates in it.
        rng = np.random.default_rng((self.robot.seed, self.person, 7))
        self.hand.reset(rng)
        self.carry_height = rng.uniform(0.085, 0.115)  # m above the table
        self.drop_offset = np.append(rng.uniform(-0.012, 0.012, 2), 0.0)
        self._aim_error = np.append(rng.normal(0.0, 0.0015, 2), 0.0)
        self._yaw_error = rng.normal(0.0, 0.04)
        self._yaw: float | None = None
        self._closing_steps = 0
        self.is_releasing = False

    @abstractmethod
    def decide(self, observation: Observation) -> Action:
        """Each task says what to do next."""

    def holds(self, body: str) -> bool:
        """Says whether `body` sits firmly between the pads."""
        return pads_hold(self.robot.model, self.robot.data, body)

    def grasp(self, body: str) -> Action:
        """One step towards a grip on the cube `body`."""
        thing = self.robot.data.body(body)
        position, yaw = self.hand.pose()
        self._yaw = self._face(thing)
        side = float(np.linalg.norm((thing.xpos + self._aim_error - position)[:2]))
        turn = abs(wrap(self._yaw - yaw))
        floor = float(thing.xpos[2])
        height = float(position[2]) - floor
        is_there = side < 0.007 and turn < 0.12 and height < 0.006
        opening = float(self.robot.positions()[5])
        if self._closing_steps > _MISSED_AFTER:
            self._closing_steps = 0
        if (is_there and opening > OPEN - 0.05) or self._closing_steps:
            self._closing_steps += 1
            return self.hand.move(Goal(position, yaw, CLOSED))
        # A funnel: the further off to the side, or the more closed, the higher.
        clearance = 4.0 * max(0.0, side - 0.004) + 0.10 * max(0.0, turn - 0.06)
        clearance += 0.5 * max(0.0, OPEN - 0.06 - opening)
        target = thing.xpos + self._aim_error
        target = np.array([target[0], target[1], floor + min(0.07, clearance)])
        return self.hand.move(Goal(target, self._yaw, OPEN))

    def carry(self, target: Vector) -> Action:
        """One step with a held thing towards `target` (3,) [m]: up, then across, then open."""
        self.forget_closing()
        position, _ = self.hand.pose()
        away = float(np.linalg.norm((target - position)[:2]))
        if away < 0.012 and position[2] > target[2] - 0.03:
            self.is_releasing = True
        risen = np.clip((position[2] - 0.03) / (target[2] - 0.045), 0.0, 1.0)
        across = position[:2] + risen * (target[:2] - position[:2])
        return self.hand.move(Goal(np.append(across, target[2]), self.radial(position), CLOSED))

    def forget_closing(self) -> None:
        """The grip is there; a next one starts with open fingers."""
        self._closing_steps = 0

    def release(self, above: Vector) -> Action:
        """One step of letting go and moving away upwards from `above` (3,) [m]."""
        _, yaw = self.hand.pose()
        opening = float(self.robot.positions()[5])
        if opening > OPEN - 0.1:
            self.is_releasing = False
        return self.hand.move(Goal(above, yaw, OPEN))

    def _face(self, thing: mujoco.MjDataBodyViews) -> float:
        """The yaw [rad] that puts the fingers flat on two faces, of four the most comfortable.

        Decided once and then kept to, so that the hand does not waver between two.
        """
        faces = yaw_of(thing.xmat) + self._yaw_error
        wanted = self.radial(thing.xpos) if self._yaw is None else self._yaw
        return wanted + wrap(faces - wanted, np.pi / 2)

    def radial(self, position: Vector) -> float:
        """The yaw [rad] at which the wrist is not rolled, over `position`."""
        pan = self.robot.data.body("shoulder").xpos
        return float(np.arctan2(position[1] - pan[1], position[0] - pan[0]))
