"""The hand of every scripted expert: moves the gripper towards a goal from wherever it is now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action
from demoloop.robot.arms.so101 import MJCF, SO101
from demoloop.robot.kinematics import Kinematics
from demoloop.sim.task import World
from demoloop.sim.world import wrap

Vector = NDArray[np.float64]
_KP = 17.8  # N m / rad, the servo gain of the MJCF


@dataclass(frozen=True)
class Goal:
    """Where the hand's site should go; the gripper looks straight down."""

    position: Vector  # (3,) m
    yaw: float  # rad, horizontal direction from the fixed finger to the jaw
    opening: float  # 0 closed .. 1 open
    speed: float = 1.0  # fraction of this person's own speed


class Hand:
    """Steers by feedback: each action depends on where the arm is, not on a clock.

    So a push off the path is answered from where it left the arm, and every recorded step is an
    answer to "what now, from here?", which is what a policy has to learn. A person's variation
    (pace, tremor) is drawn from the seed.
    """

    def __init__(self, robot: World, site: str = "grasp") -> None:
        """Stores.

        Args:
            robot: Whose arm the hand belongs to.
            site: What is put where a goal says: "grasp" is the middle between open fingers,
                "tcp" the tip of the finger that does not move.
        """
        self._robot = robot
        self._site = site
        self._kinematics = Kinematics(MJCF, site)

    def reset(self, rng: np.random.Generator) -> None:
        """Another person, or the same on another day."""
        self._rng = rng
        self.max_speed = rng.uniform(0.16, 0.26)  # m/s
        self.max_turn = rng.uniform(1.6, 2.6)  # rad/s
        self._gain = rng.uniform(4.0, 6.0)  # 1/s
        self._tremor = np.zeros(3)
        self._velocity = np.zeros(3)
        self._turn = 0.0

    def pose(self) -> tuple[Vector, float]:
        """Position (3,) [m] and yaw [rad] of the gripper now."""
        site = self._robot.data.site(self._site)
        jaw = site.xmat.reshape(3, 3)[:, 2]
        return np.array(site.xpos), float(np.arctan2(jaw[1], jaw[0]))

    def move(self, goal: Goal) -> Action:
        """Returns the next action on the way to `goal`."""
        dt = 1.0 / SO101.control_hz
        position, yaw = self.pose()
        self._tremor = 0.8 * self._tremor + self._rng.normal(0.0, 0.0007, 3)
        speed = self.max_speed * goal.speed
        wanted = _limit(self._gain * (goal.position + self._tremor - position), speed)
        # People accelerate within about a tenth of a second.
        self._velocity += _limit(wanted - self._velocity, 2.5 * dt)
        turn = np.clip(self._gain * wrap(goal.yaw - yaw), -self.max_turn, self.max_turn)
        self._turn += float(np.clip(turn - self._turn, -25 * dt, 25 * dt))
        # The servos lag about this much behind a moving target.
        lead = 0.075
        q = np.array(self._robot.data.qpos[:6])
        aim = self._kinematics.inverse(
            position + self._velocity * lead, _looking_down(yaw + self._turn * lead), q
        )
        # A servo that holds a weight stands below its target: aim higher by as much.
        aim[:5] += self._robot.data.qfrc_bias[:5] / _KP
        action = np.append(aim[:5], goal.opening)
        within: Action = np.clip(action, SO101.low, SO101.high).astype(np.float32)
        return within


def _looking_down(yaw: float) -> Vector:
    """Rotation (3, 3) of a gripper that points at the table, its jaw towards `yaw` [rad]."""
    jaw = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    forward = np.array([0.0, 0.0, -1.0])
    return np.column_stack([forward, np.cross(jaw, forward), jaw])


def _limit(vector: Vector, length: float) -> Vector:
    norm = float(np.linalg.norm(vector))
    return vector if norm <= length else vector * (length / norm)
