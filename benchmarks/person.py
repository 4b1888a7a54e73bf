"""A scripted person: looks at a simulated world, and wants something of the arm as people do.

They see late, know how the arm runs on, come down beside nothing, and pause before what matters.
What they want their fingers say (`person_fingers.py`, `person_hand.py`) to the real devices
(teleop/): nothing here moves a joint. `by_hand.py` counts how often they succeed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.sim.robot import SimRobot
from demoloop.sim.tasks.pick_place import is_in_bin
from demoloop.sim.world import pads_hold, wrap, yaw_of

Vector = NDArray[np.float64]

OPEN = 0.43  # opening: wide enough for a 3 cm cube with 1 cm to spare
MISSED_AFTER_S = 1.0  # of closing without a grip


@dataclass(frozen=True)
class Sight:
    """What a person sees of the world at one instant."""

    time: float  # s
    hand: Vector  # (3,) m: the middle between the fingers
    yaw: float  # rad, of the direction from the fixed finger to the jaw
    pitch: float  # rad, of the fingers: -pi/2 looks straight down
    opening: float
    cube: Vector  # (3,) m
    cube_yaw: float  # rad
    is_held: bool
    is_in_bin: bool


@dataclass(frozen=True)
class Wish:
    """What is still to be done, as the person believes: the way to go, and how carefully."""

    way: Vector  # (3,) m
    turn: float  # rad, counterclockwise seen from above
    lift: float  # rad, of the fingertips
    grip: int  # -1 closes, 1 opens
    is_careful: bool


NOTHING = Wish(np.zeros(3), 0.0, 0.0, 0, False)


class Fingers(Protocol):
    """What turns wishes into what one device reports."""

    device: str
    is_engaged: bool  # whether the arm follows, as whoever looks has to say
    hint: str  # what the device says would help

    def state(self, wish: Wish, time: float) -> object:
        """Returns what the device reports now."""
        ...

    def moved(self, since: float) -> tuple[Vector, float]:
        """Returns the way (3,) [m] and the turn [rad] that was asked for since then."""
        ...


class Person:
    """Decides as the experts do (sim/grasp.py), from what was to be seen a reaction ago."""

    def __init__(
        self,
        robot: SimRobot,
        fingers: Fingers,
        seed: int = 0,
        looks: Callable[[], Sight] | None = None,
    ) -> None:
        """Stores; the seed chooses the person, the robot's seed the day.

        Args:
            robot: The world.
            fingers: On a device.
            seed: Of habits and slips.
            looks: Sees otherwise than by knowing the world: through a page.
        """
        self._robot, self._fingers, self._seed = robot, fingers, seed
        self._looks = looks or (lambda: look(robot))

    def reset(self) -> None:
        """Draws this episode's habits and slips."""
        rng = np.random.default_rng((self._robot.seed, self._seed, 11))
        self._delay = rng.uniform(0.12, 0.2)  # s: simple reactions of awake adults
        self._pause = rng.uniform(0.04, 0.16)  # s before what matters
        self._carry = rng.uniform(0.085, 0.11)  # m above the table
        self._aim_error = np.append(rng.normal(0.0, 0.0012, 2), 0.0)
        self._yaw_error = rng.normal(0.0, 0.03)
        self._drop = np.append(rng.uniform(-0.01, 0.01, 2), 0.0)
        self._seen: deque[Sight] = deque()
        self._yaw: float | None = None
        self._closing_since: float | None = None
        self._is_releasing = self._is_opening = False
        self._phase, self._paused_until = "", 0.0

    def state(self) -> object:
        """Looks, and returns what the device reports now."""
        sight = self._looks()
        self._seen.append(sight)
        while len(self._seen) > 1 and self._seen[1].time <= sight.time - self._delay:
            self._seen.popleft()
        return self._fingers.state(self._wish(self._seen[0], sight.time), sight.time)

    def _wish(self, seen: Sight, now: float) -> Wish:
        # They know what they have pressed since, and that the arm follows.
        way, turn = self._fingers.moved(seen.time - 0.05)
        hand, yaw = seen.hand + way, seen.yaw + turn
        if seen.is_in_bin or self._is_releasing:
            phase, wish = "release", self._release(seen)
        elif seen.is_held:
            phase, wish = "carry", self._carried(seen, hand, yaw)
        else:
            phase, wish = "grasp", self._grasp(seen, hand, yaw, now)
        if phase != self._phase:
            self._phase, self._paused_until = phase, now + self._pause
        return NOTHING if now < self._paused_until and phase != "grasp" else wish

    def _grasp(self, seen: Sight, hand: Vector, yaw: float, now: float) -> Wish:
        target = seen.cube + self._aim_error
        faces = seen.cube_yaw + self._yaw_error
        wanted = self._radial(seen.cube) if self._yaw is None else self._yaw
        self._yaw = wanted + wrap(faces - wanted, np.pi / 2)
        turn = wrap(self._yaw - yaw)
        side = float(np.linalg.norm((target - hand)[:2]))
        height = float(hand[2] - target[2])
        if self._closing_since is not None:
            if now - self._closing_since < MISSED_AFTER_S:
                return Wish(np.zeros(3), 0.0, 0.0, -1, True)
            self._closing_since, self._is_opening = None, True
        if side < 0.006 and abs(turn) < 0.11 and height < 0.006 and seen.opening > OPEN - 0.08:
            self._closing_since = now + self._pause
            return NOTHING
        self._is_opening = seen.opening < OPEN - (0.02 if self._is_opening else 0.08)
        # A funnel: the further off to the side, or the more closed, the higher.
        clearance = 4.0 * max(0.0, side - 0.005) + 0.1 * max(0.0, abs(turn) - 0.08)
        clearance += 0.07 if self._is_opening else 0.0
        way = np.append((target - hand)[:2], min(0.07, clearance) - height)
        lift = -np.pi / 2 + 0.08 - seen.pitch
        return Wish(way, turn, lift, int(self._is_opening), side < 0.03 or height < 0.035)

    def _carried(self, seen: Sight, hand: Vector, yaw: float) -> Wish:
        self._closing_since = None
        goal = self._robot.data.body("bin").xpos + self._drop + [0.0, 0.0, self._carry]
        away = float(np.linalg.norm((goal - hand)[:2]))
        if away < 0.02 and hand[2] > goal[2] - 0.035:
            self._is_releasing = True
        risen = np.clip((hand[2] - 0.03) / (goal[2] - 0.05), 0.0, 1.0)
        way = np.append(risen * (goal - hand)[:2], goal[2] - hand[2])
        turn = wrap(self._radial(hand) - yaw) if away > 0.05 else 0.0
        turn = turn if abs(turn) > 0.3 else 0.0
        grip = -1 if seen.opening > 0.35 else 0
        return Wish(way, turn, 0.0, grip, False)

    def _release(self, seen: Sight) -> Wish:
        if seen.opening > OPEN - 0.1:
            self._is_releasing = False
        up = np.array([0.0, 0.0, 0.12 - seen.hand[2] if seen.is_in_bin else 0.0])
        return Wish(up, 0.0, 0.0, int(seen.opening < OPEN - 0.02), False)

    def _radial(self, position: Vector) -> float:
        pan = self._robot.data.body("shoulder").xpos
        return float(np.arctan2(position[1] - pan[1], position[0] - pan[0]))


def look(robot: SimRobot) -> Sight:
    """Returns what is to be seen now."""
    data: mujoco.MjData = robot.data
    site = data.site("grasp")
    axes = site.xmat.reshape(3, 3)
    return Sight(
        time=float(data.time),
        hand=np.array(site.xpos),
        yaw=float(np.arctan2(axes[1, 2], axes[0, 2])),
        pitch=float(np.arcsin(np.clip(axes[2, 0], -1, 1))),
        opening=float(robot.positions()[5]),
        cube=np.array(data.body("cube").xpos),
        cube_yaw=yaw_of(data.body("cube").xmat),
        is_held=pads_hold(robot.model, data, "cube"),
        is_in_bin=is_in_bin(data),
    )
