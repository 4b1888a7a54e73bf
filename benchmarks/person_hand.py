"""A scripted person's bare hand before a camera: `person.py` says what it is to do.

Its shapes are those of a real hand: a film in which it opens and pinches, whose pictures are
shifted, magnified and turned. The other hand has the keys that engage and release.
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from person import NOTHING, Person, Vector, Wish
from person_fingers import Remembered

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.teleop.hand_shapes import HEIGHT, WIDTH, recorded, state_of

from demoloop.robot import Action, Observation
from demoloop.robot.arms import ARMS
from demoloop.sim.robot import SimRobot
from demoloop.teleop.by_hand import ByHand
from demoloop.teleop.hand import NOT_MET, HandDevice
from demoloop.teleop.hand_path import DEPTH_DEAD_M, DEPTH_GAIN
from demoloop.teleop.hand_pose import FOCAL
from demoloop.teleop.hand_state import HandState, pinch_of
from demoloop.teleop.person import Person as Learned

OPEN_PICTURES = (288, 300)  # of the film: an open hand, at rest
PINCHED_PICTURES = (313, 325)  # thumb and index finger touch; it closes between the two
_MIDDLE = np.array([372.0, 150.0])  # px of the palm there, of WIDTH x HEIGHT
_FILMED_M = 0.65  # from the camera, there
_PX = FOCAL * WIDTH


@dataclass(frozen=True)
class HandShown:
    """What the camera sees, and what the other hand presses."""

    picture: int = OPEN_PICTURES[0]  # of the film
    warp: tuple[tuple[float, float, float], tuple[float, float, float]] = ((1, 0, 0), (0, 1, 0))
    """Picture -> picture, both WIDTH x HEIGHT."""
    key: Literal["", "engage", "release"] = ""


class HandFingers(Remembered):
    """A hand goes where the gripper shall go, turns and pinches like it, within what is seen of it.

    An open palm engages. Where the picture, the arm's length or the wrist ends, the other hand
    releases by its key, the hand goes back to where there is room, and the key engages again.
    """

    device = "hand"
    _HAND_M_S = 0.2  # across the picture
    _AWAY_M_S = 0.4  # along it, where three times the way is needed
    _BACK_M_S = 0.6
    _WRIST_RAD_S, _REACH_RAD = 1.5, 1.0
    _NEAR_M, _FAR_M = 0.42, 0.88
    _FINGERS_S = 4.0  # openings a second: half of it is 0.1 s
    _LATE_S = 0.12  # of tracker and filters
    _READ_S = 0.7

    def __init__(self) -> None:
        super().__init__()
        flat, world = recorded("clip")
        pictures = range(OPEN_PICTURES[1], PINCHED_PICTURES[0] + 1)
        openings = [Learned().opening(pinch_of(state_of(flat[n], world[n], n))) for n in pictures]
        # It only closes there, but for what the tracker makes of blurred fingers.
        self._openings = np.minimum.accumulate(openings)
        self._hand, self._roll = self._room(NOTHING), 0.0
        self._opening = 0.45  # as wanted of the gripper, and the fingers' own
        self._fingers = 1.0
        self._away_held = 0.0  # m, of the play in which the arm does not follow
        self._sought, self._sought_since = 0.0, 0.0
        self._time = 0.0
        self._is_back = True  # whether it is on its way to where there is room, released
        self._has_begun = False
        self._num_shown = 0

    def state(self, wish: Wish, time: float) -> HandShown:
        """Returns what is to be seen of the hand."""
        dt, self._time = min(max(time - self._time, 0.0), 0.1), time
        self._num_shown += 1
        velocity, turning, key = np.zeros(3), 0.0, ""
        if self._is_back:
            key = "release" if self._has_begun else ""
            self._is_back = not self._go_back(wish, dt)
        elif not self.is_engaged:
            key = "engage" if self._has_begun else ""
        else:
            self._has_begun = True
            velocity, turning = self._follow(wish, dt)
            self._opening = float(np.clip(self._opening + 1.2 * wish.grip * dt, 0.0, 0.6))
            self._is_back = self._is_at_an_end(velocity, turning)
        # Nobody needs a palm where there is a key; the first time there is nothing to hold on to.
        wanted = self._opening if self._has_begun else 1.0
        wanted = self._sought if self._is_sought(time) else wanted
        most = self._FINGERS_S * dt
        self._fingers += float(np.clip(wanted - self._fingers, -most, most))
        self.note(time, velocity, turning)
        return HandShown(self._picture(), self._warp(), key)

    def _is_sought(self, time: float) -> bool:
        """Says whether the gripper waits for these fingers, which then close and open to meet it.

        It does when the hand was lost while they moved. Whoever reads that needs a moment.
        """
        if not (self.is_engaged and self.hint == NOT_MET):
            self._sought_since, self._sought = time, 0.0
        elif self._fingers <= 0.02 or self._fingers >= 0.98:
            self._sought = 1.0 if self._fingers <= 0.02 else 0.0
        return time - self._sought_since > self._READ_S

    def moved(self, since: float) -> tuple[Vector, float]:
        """What was asked for, seen through a camera and a tracker."""
        return super().moved(since - self._LATE_S)

    def _follow(self, wish: Wish, dt: float) -> tuple[Vector, float]:
        """Moves the hand as the gripper shall; returns how that is thought to move [m/s, rad/s]."""
        way = np.where(np.abs(wish.way) < (0.002 if wish.is_careful else 0.006), 0.0, wish.way)
        across = np.clip(3.5 * way[1:], -self._HAND_M_S, self._HAND_M_S)
        away = float(np.clip(2.2 * way[0] / DEPTH_GAIN, -self._AWAY_M_S, self._AWAY_M_S))
        turning = float(np.clip(2.5 * wish.turn, -1, 1)) * self._WRIST_RAD_S
        turning = turning if abs(wish.turn) > 0.05 else 0.0
        depth = self._hand[2] + away * dt
        held = float(np.clip(self._away_held, depth - DEPTH_DEAD_M, depth + DEPTH_DEAD_M))
        if away and held == self._away_held:  # nothing follows yet: go on until it does
            depth = self._hand[2] + float(np.sign(away)) * self._AWAY_M_S * dt
            held = float(np.clip(self._away_held, depth - DEPTH_DEAD_M, depth + DEPTH_DEAD_M))
        forward = DEPTH_GAIN * (held - self._away_held) / dt if dt else 0.0
        self._hand = np.array([*(self._hand[:2] - across * dt), depth])
        self._away_held = held
        self._roll += turning * dt
        return np.array([forward, *across]), turning

    def _go_back(self, wish: Wish, dt: float) -> bool:
        """Brings the released hand to where there is room for what is wanted; says when it is."""
        room = self._room(wish)
        way = room - self._hand
        length = float(np.linalg.norm(way))
        self._hand = self._hand + way * min(1.0, self._BACK_M_S * dt / max(length, 1e-9))
        self._roll -= float(np.clip(self._roll, -self._WRIST_RAD_S * dt, self._WRIST_RAD_S * dt))
        self._away_held = float(self._hand[2])
        return length < 0.01 and abs(self._roll) < 0.05

    def _room(self, wish: Wish) -> Vector:
        """Returns the place (3,) m, in axes of the camera, from which a hand gets far enough."""
        forward = float(np.clip(wish.way[0] / 0.06, -1, 1))
        return np.array([-0.02, 0.03, 0.64 - 0.16 * forward])

    def _is_at_an_end(self, velocity: Vector, turning: float) -> bool:
        """Says whether the hand leaves the picture, the arm's length, or what a wrist can do."""
        x, y, depth = self._hand
        zoom = _FILMED_M / depth
        right, down = (_PX * place / depth / zoom for place in (x, y))  # px of the film
        width, height = WIDTH / 2 / zoom, HEIGHT / 2 / zoom
        is_out = -velocity[1] * right > 0 and abs(right) > width - 85
        is_out |= velocity[2] > 0 and down < -height + 100
        is_out |= velocity[2] < 0 and down > height - 65
        is_out |= velocity[0] > 0 and depth > self._FAR_M
        is_out |= velocity[0] < 0 and depth < self._NEAR_M
        return bool(is_out or (self._roll * turning > 0 and abs(self._roll) > self._REACH_RAD))

    def _picture(self) -> int:
        """Returns which picture of the film shows these fingers; a hand at rest is not frozen."""
        if self._fingers > self._openings[1]:
            return _to_and_fro(OPEN_PICTURES, self._num_shown // 2)
        if self._fingers < self._openings[-2]:
            return _to_and_fro(PINCHED_PICTURES, self._num_shown // 2)
        return OPEN_PICTURES[1] + int(np.abs(self._openings - self._fingers).argmin())

    def _warp(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        x, y, depth = self._hand
        zoom = _FILMED_M / depth
        cos, sin = zoom * np.cos(self._roll), zoom * np.sin(self._roll)
        turned = np.array([[cos, sin], [-sin, cos]])  # counterclockwise, y being down
        at = np.array([WIDTH, HEIGHT]) / 2 + _PX * np.array([x, y]) / depth
        ((a, b), (c, d)), (e, f) = turned.tolist(), (at - turned @ _MIDDLE).tolist()
        return ((a, b, e), (c, d, f))


def _to_and_fro(pictures: tuple[int, int], count: int) -> int:
    length = pictures[1] - pictures[0]
    return pictures[0] + length - abs(count % (2 * length) - length)


class SeenByTracker:
    """What the tracker makes of `HandShown`, without camera and page: landmarks, warped, and late.

    Its noise is that of a hand held still before a webcam.
    """

    _LATE = 2  # looks
    _NOISE_PX = 0.5

    def __init__(self) -> None:
        self._flat, self._world = recorded("clip")
        self._rng = np.random.default_rng(5)
        self._shown: deque[HandState] = deque(maxlen=self._LATE + 1)
        self._count = 0

    def take(self, shown: HandShown, time: float) -> None:
        """Another picture, taken at `time` [s]."""
        self._count += 1
        warp = np.array(shown.warp)
        flat = self._flat[shown.picture] * (WIDTH, HEIGHT) @ warp[:, :2].T + warp[:, 2]
        flat += self._rng.normal(0, self._NOISE_PX, flat.shape)
        turn = warp[:, :2] / np.sqrt(np.linalg.det(warp[:, :2]))
        world = self._world[shown.picture].copy()
        world[:, :2] = world[:, :2] @ turn.T
        self._shown.append(state_of(flat / (WIDTH, HEIGHT), world, self._count, time))

    def newest(self) -> HandState | None:
        """What has been looked at by now."""
        return self._shown[0] if len(self._shown) > self._LATE else None


class BareHanded:
    """The agent of a person before a camera, without camera and page."""

    def __init__(self, robot: SimRobot) -> None:
        """Stores."""
        self._robot = robot

    def reset(self) -> None:
        """A new episode, the hand not seen yet."""
        self._seen, self._fingers = SeenByTracker(), HandFingers()
        self._device = HandDevice(self._seen.newest, has_roll=True)
        self._agent = ByHand(self._device, ARMS["so101"])
        self._person = Person(self._robot, self._fingers)
        self._person.reset()

    def decide(self, observation: Observation) -> Action:
        """The person shows, the arm's agent decides."""
        self._fingers.is_engaged, self._fingers.hint = self._device.is_engaged, self._device.hint
        shown = self._person.state()
        assert isinstance(shown, HandShown)
        self._seen.take(shown, observation.time)
        if shown.key == "engage":
            self._device.engage()
        elif shown.key == "release":
            self._device.release()
        return self._agent.decide(observation)
