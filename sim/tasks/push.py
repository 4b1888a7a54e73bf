"""Slide a T-shaped block onto its outline on the table; both lie anywhere, turned anyhow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action, Observation
from demoloop.sim.expert import Goal, Hand
from demoloop.sim.pushing import contacts_of_t
from demoloop.sim.task import Task, World
from demoloop.sim.world import is_at_rest, set_free_body, touches_arm, wrap, yaw_of

AREA = np.array([[0.16, -0.11], [0.24, 0.05]])  # m: of the middles, such that all stays in reach
MAX_OFFSET = 0.015  # m
MAX_TURN = 0.2  # rad
_HALF_THICKNESS = 0.01  # m

_REACH = (0.10, 0.285)  # m from the pan axis: where the finger can stand upright on the table
_LOW, _HIGH = 0.013, 0.042  # m: the fingertip beside the block, and well above it
_TIP = np.array([0.0075, 0.0095])  # m: half the finger's size along and across the jaw's way
_RUN_UP = 0.012  # m between the fingertips and the block where they come down
_OUT_OF_THE_WAY = 0.95  # opening: the jaw, closed, would lean on the block with its slope

Vector = NDArray[np.float64]


def place(model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
    """Draws both places and yaws uniformly, again while the block is on its outline already."""
    while True:
        block, outline = rng.uniform(AREA[0], AREA[1], (2, 2))
        yaw, outline_yaw = rng.uniform(-np.pi, np.pi, 2)
        set_free_body(model, data, "block", np.append(block, _HALF_THICKNESS), yaw)
        data.mocap_pos[0] = np.append(outline, 0.0)
        data.mocap_quat[0] = np.cos(outline_yaw / 2), 0.0, 0.0, np.sin(outline_yaw / 2)
        mujoco.mj_kinematics(model, data)
        if np.linalg.norm(pose_error(data)[:2]) > 2 * MAX_OFFSET:
            return


def pose_error(data: mujoco.MjData) -> Vector:
    """Returns how the block would have to move (3,) [m, m, rad] to lie on its outline."""
    block, outline = data.body("block"), data.body("outline")
    turn = wrap(yaw_of(outline.xmat) - yaw_of(block.xmat))
    return np.append(outline.xpos[:2] - block.xpos[:2], turn)


def is_solved(model: mujoco.MjModel, data: mujoco.MjData) -> bool:
    """The block lies flat within MAX_OFFSET and MAX_TURN of its outline, at rest and untouched.

    Place and angle are judged apart, not by overlap: 85 % of overlap means 7 mm when the angle is
    right, two pixels of a 96 px camera, and says less plainly what the arm has to be capable of.
    """
    error, block = pose_error(data), data.body("block")
    is_flat = abs(block.xpos[2] - _HALF_THICKNESS) < 0.003 and block.xmat[8] > 0.98
    is_near = np.linalg.norm(error[:2]) < MAX_OFFSET and abs(error[2]) < MAX_TURN
    return bool(
        is_flat and is_near and is_at_rest(data, "block") and not touches_arm(model, data, "block")
    )


@dataclass(frozen=True)
class _Push:
    """One way to push: where the fingertips touch, which way, how far."""

    start: Vector  # (2,) m, middle of the fingertip when it touches the block
    normal: Vector  # (2,) into the block
    length: float  # m


class PushExpert:
    """Pushes with the fixed finger where one push brings the block nearest, lifts, goes round.

    There is no plan and no clock: each step asks which push is best from here, counting the way
    to where it starts. What the hand is nearest to only becomes better by going there.
    """

    def __init__(self, robot: World, seed: int) -> None:
        """Stores; the seed chooses the person, the robot's seed the day."""
        self.robot = robot
        self.person = seed
        self.hand = Hand(robot, "tcp")
        self._contacts = contacts_of_t()

    def reset(self) -> None:
        """Draws this episode's habits."""
        rng = np.random.default_rng((self.robot.seed, self.person, 7))
        self.hand.reset(rng)
        self._high = _HIGH + rng.uniform(-0.003, 0.006)  # m
        self._pace = rng.uniform(0.35, 0.5)  # of pushing, as a fraction of the free hand's
        self._laziness = rng.uniform(1.0, 2.0)  # 1/m: dislike of long ways round
        self._care = rng.uniform(0.4, 0.6)  # of the tolerance: content with less than this

    def decide(self, observation: Observation) -> Action:
        """Answers from the state of the world, never from a clock."""
        position, _ = self.hand.pose()
        error = pose_error(self.robot.data)
        is_near = np.linalg.norm(error[:2]) < self._care * MAX_OFFSET
        if is_near and abs(error[2]) < self._care * MAX_TURN:
            return self._move(np.append(position[:2], self._high))
        push = self._choose(position, error)
        if self._is_at(push.start, push.normal, position):
            ahead = push.start + push.normal * (min(push.length, 0.03) + 0.008)
            return self._move(np.append(ahead, _LOW), self._pace)
        return self._go_to(push.start - _RUN_UP * push.normal, position)

    def _choose(self, position: Vector, error: Vector) -> _Push:
        """Returns the push that leaves least, the way to it included."""
        block = self.robot.data.body("block")
        contacts = self._contacts.turned(block.xpos[:2], yaw_of(block.xmat))
        rest, lengths = contacts.remaining(error)
        pan = self.robot.data.body("shoulder").xpos[:2]
        tip = _tip_towards(contacts.normals, contacts.points - pan)
        starts = contacts.points - tip[:, None] * contacts.normals
        before = starts - _RUN_UP * contacts.normals
        ways = np.linalg.norm(before - position[:2], axis=1)
        radius = np.linalg.norm(before - pan, axis=1)
        cost = rest + self._laziness * ways + 0.1  # for lifting the hand and setting it down
        for i in np.flatnonzero(ways < 0.06):
            if self._is_at(starts[i], contacts.normals[i], position):
                cost[i] = rest[i]
        # A gentle slope: a cliff would make the choice waver with the tremor of the hand.
        cost += 100.0 * np.abs(radius - np.clip(radius, *_REACH))
        best = int(np.argmin(cost))
        return _Push(starts[best], contacts.normals[best], float(lengths[best]))

    def _is_at(self, start: Vector, normal: Vector, position: Vector) -> bool:
        """Says whether the hand, low beside the block, only has to go straight on."""
        offset = position[:2] - start
        ahead = float(offset @ normal)
        side = abs(float(offset @ [-normal[1], normal[0]]))
        return side < 0.007 and -0.03 < ahead < 0.012 and position[2] < _LOW + 0.008

    def _go_to(self, where: Vector, position: Vector) -> Action:
        """One step over the block and down at `where` (2,) [m]: up, then across, then down."""
        away = where - position[:2]
        distance = float(np.linalg.norm(away))
        height = min(self._high, _LOW + 4.0 * max(0.0, distance - 0.004))
        risen = np.clip((position[2] - 0.026) / 0.01, 0.0, 1.0) if distance > 0.01 else 1.0
        return self._move(np.append(position[:2] + risen * away, height))

    def _move(self, target: Vector, speed: float = 1.0) -> Action:
        pan = self.robot.data.body("shoulder").xpos
        yaw = float(np.arctan2(target[1] - pan[1], target[0] - pan[0]))
        return self.hand.move(Goal(target, yaw, _OUT_OF_THE_WAY, speed))


def _tip_towards(normals: Vector, from_pan: Vector) -> Vector:
    """How far (K,) [m] the fingertip reaches from its middle along each normal (K, 2).

    The jaw opens away from the pan axis, so which side of the finger touches depends on where
    that is (K, 2) [m], seen from the axis.
    """
    jaw = from_pan / np.linalg.norm(from_pan, axis=1, keepdims=True)
    along = np.abs((normals * jaw).sum(1))
    across = np.abs(normals[:, 0] * jaw[:, 1] - normals[:, 1] * jaw[:, 0])
    reach: Vector = along * _TIP[0] + across * _TIP[1]
    return reach


TASK = Task(
    name="push",
    instruction="Push the red T onto its blue outline.",
    mjcf=Path(__file__).with_suffix(".xml"),
    max_seconds=25.0,
    place=place,
    is_solved=is_solved,
    make_expert=PushExpert,
)
