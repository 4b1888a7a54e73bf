"""A scripted person: looks at a simulated world and holds keys, sticks or a phone as people do.

They see late, hold a key a moment at least, let go before they are there since they know how the
arm runs on, come down beside nothing, and pause before what matters. What they say goes through the
real devices (teleop/): this module moves no joint. `by_hand.py` counts how often they succeed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action, Agent, Observation
from demoloop.sim.robot import SimRobot
from demoloop.sim.tasks.pick_place import is_in_bin
from demoloop.sim.world import pads_hold, wrap, yaw_of
from demoloop.teleop.gamepad import DEAD_ZONE, RIGHT_TRIGGER, GamepadState
from demoloop.teleop.gamepad import SPEED as STICK_SPEED
from demoloop.teleop.inputs import Inputs
from demoloop.teleop.keyboard import (
    FINE_SPEED,
    FINE_TURN,
    SPEED,
    TURN,
    KeyboardState,
)
from demoloop.teleop.phone import DRAG_M, TILT_FULL, TILT_REST, TILT_SPEED, PhoneState

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


class _Remembered:
    """What was asked for lately: rates with their times."""

    def __init__(self) -> None:
        self._asked: deque[tuple[float, Vector, float]] = deque(maxlen=64)

    def note(self, time: float, velocity: Vector, turning: float) -> None:
        self._asked.append((time, velocity, turning))

    def moved(self, since: float) -> tuple[Vector, float]:
        way, turn = np.zeros(3), 0.0
        for (begun, velocity, turning), (ended, _, _) in zip(
            list(self._asked), list(self._asked)[1:], strict=False
        ):
            lasted = max(0.0, ended - max(begun, since))
            way, turn = way + velocity * lasted, turn + turning * lasted
        return way, turn


class KeyFingers(_Remembered):
    """Keys are all or nothing; Shift for what is near."""

    device = "keyboard"
    _KEYS = (("KeyW", "KeyS"), ("KeyA", "KeyD"), ("KeyE", "KeyQ"))
    _SHORTEST_S = 0.07  # a tap

    def __init__(self) -> None:
        super().__init__()
        self._down: dict[str, float] = {}  # code -> s since when
        self._is_fine = False

    def state(self, wish: Wish, time: float) -> KeyboardState:
        """Returns the keys that are down."""
        far = float(np.abs(wish.way).max())
        is_fine = wish.is_careful and far < (0.03 if self._is_fine else 0.02)
        is_fine = is_fine and abs(wish.turn) < 0.5
        self._is_fine = is_fine
        near, slack = (0.0025, 0.002) if is_fine else (0.012, 0.008)
        for axis, (plus, minus) in enumerate(self._KEYS):
            self._press(plus, minus, float(wish.way[axis]), near, slack, time)
        near, slack = (0.05, 0.03) if is_fine else (0.12, 0.08)
        self._press("ArrowLeft", "ArrowRight", wish.turn, near, slack, time)
        self._press("ArrowUp", "ArrowDown", wish.lift, 0.12, 0.06, time)
        self._press("KeyO", "KeyP", float(wish.grip), 0.5, 0.5, time)
        held = sorted(self._down)
        speed, turn = (FINE_SPEED, FINE_TURN) if is_fine else (SPEED, TURN)
        pushed = [float(p in self._down) - float(m in self._down) for p, m in self._KEYS]
        turned = float("ArrowLeft" in self._down) - float("ArrowRight" in self._down)
        self.note(time, speed * np.array(pushed), turn * turned)
        return KeyboardState((*held, *(["ShiftLeft"] if is_fine else [])))

    def _press(
        self, plus: str, minus: str, error: float, near: float, slack: float, time: float
    ) -> None:
        """Holds the key that makes `error` smaller until it is small, and a moment at least."""
        for code, wanted in ((plus, error), (minus, -error)):
            if code in self._down:
                if wanted < near - slack and time - self._down[code] >= self._SHORTEST_S:
                    del self._down[code]
            elif wanted > near:
                self._down[code] = time


class StickFingers(_Remembered):
    """Thumbs push sticks as far as there is way to go, and need a moment to do it."""

    device = "gamepad"
    _SLEW = 8.0  # of a stick's way, 1/s

    def __init__(self) -> None:
        super().__init__()
        self._sticks, self._time = np.zeros(4), 0.0

    def state(self, wish: Wish, time: float) -> GamepadState:
        """Returns where sticks and triggers are."""
        dt, self._time = min(max(time - self._time, 0.0), 0.1), time
        velocity = np.clip(3.5 * wish.way / STICK_SPEED, -1, 1)
        still = 0.002 if wish.is_careful else 0.008
        velocity = np.where(np.abs(wish.way) < still, 0.0, velocity)
        turning = float(np.clip(2.5 * wish.turn / 1.5, -1, 1)) if abs(wish.turn) > 0.04 else 0.0
        wanted = np.append(_pushed(velocity[:2]), _pushed(np.array([velocity[2], turning])))
        self._sticks += np.clip(wanted - self._sticks, -self._SLEW * dt, self._SLEW * dt)
        forward, left, up, counterclockwise = np.clip(self._sticks, -1, 1).tolist()
        buttons = [0.0] * 17
        buttons[RIGHT_TRIGGER] = 0.8 * float(wish.grip < 0)
        buttons[RIGHT_TRIGGER - 1] = 0.8 * float(wish.grip > 0)
        buttons[4] = 0.6 * float(wish.lift < -0.12)
        asked = np.concatenate([_answered(self._sticks[:2]), _answered(self._sticks[2:])])
        self.note(time, STICK_SPEED * asked[:3], 1.5 * float(asked[3]))
        return GamepadState((-left, -forward, -counterclockwise, -up), tuple(buttons))


def _pushed(rates: Vector) -> Vector:
    """Where a stick (2,) must be to be answered with `rates`: `_bent` of the gamepad, undone."""
    share = float(np.linalg.norm(rates))
    if share == 0.0:
        return np.zeros(2)
    return np.asarray(rates / share * (DEAD_ZONE + (1 - DEAD_ZONE) * np.sqrt(min(share, 1.0))))


def _answered(stick: Vector) -> Vector:
    way = float(np.linalg.norm(stick))
    if way <= DEAD_ZONE:
        return np.zeros(2)
    share = min(1.0, (way - DEAD_ZONE) / (1 - DEAD_ZONE))
    return np.asarray(stick / way * share**2)


class PhoneFingers(_Remembered):
    """A thumb drags within its reach, the hand tilts; at the end of either it lifts and goes on."""

    device = "phone"
    _REACH_PX, _REACH_DEG = 260.0, 65.0
    _THUMB_M_S = 0.2  # m/s of the arm
    _WRIST_DEG_S = 90.0
    _LIFTED_S = 0.15

    def __init__(self) -> None:
        super().__init__()
        self._drag, self._gamma, self._beta = np.zeros(2), 0.0, 0.0
        self._touch, self._opening, self._time = 1, OPEN, 0.0
        self._lifted_at: float | None = None

    def state(self, wish: Wish, time: float) -> PhoneState:
        """Returns what thumb and hand do."""
        dt, self._time = min(max(time - self._time, 0.0), 0.1), time
        if self._lifted_at is not None:
            self.note(time, np.zeros(3), 0.0)
            if time - self._lifted_at < self._LIFTED_S:
                return PhoneState(touch=self._touch)
            self._lifted_at = None
            self._touch += 1
            self._drag, self._gamma, self._beta = np.zeros(2), 0.0, 0.0
        way = np.where(np.abs(wish.way) < (0.002 if wish.is_careful else 0.006), 0.0, wish.way)
        velocity = np.clip(3.5 * way, -self._THUMB_M_S, self._THUMB_M_S)
        velocity[2] = float(np.clip(velocity[2], -TILT_SPEED, TILT_SPEED))
        self._drag -= velocity[1::-1] * dt / DRAG_M  # right, down
        wanted = 0.0
        if velocity[2] != 0.0:
            share = abs(velocity[2]) / TILT_SPEED
            wanted = float(np.sign(velocity[2])) * (TILT_REST + share * (TILT_FULL - TILT_REST))
        self._beta += float(np.clip(wanted - self._beta, -150 * dt, 150 * dt))
        turning = float(np.clip(2.5 * np.degrees(wish.turn), -1, 1) * self._WRIST_DEG_S)
        turning = turning * min(1.0, abs(wish.turn) / 0.4) if abs(wish.turn) > 0.04 else 0.0
        self._gamma -= turning * dt
        self._opening = float(np.clip(self._opening + 1.2 * wish.grip * dt, 0.0, 0.5))
        up = np.sign(self._beta) * max(0.0, (abs(self._beta) - TILT_REST)) / (TILT_FULL - TILT_REST)
        velocity[2] = TILT_SPEED * up
        self.note(time, velocity, float(np.radians(turning)))
        if float(np.abs(self._drag).max()) > self._REACH_PX or abs(self._gamma) > self._REACH_DEG:
            self._lifted_at = time
        return PhoneState(
            is_held=True,
            touch=self._touch,
            drag=(float(self._drag[0]), float(self._drag[1])),
            tilt=(40.0 + self._beta, self._gamma, 0.0),
            opening=self._opening,
        )


FINGERS = {"keyboard": KeyFingers, "gamepad": StickFingers, "phone": PhoneFingers}


class ByHand:
    """The agent of a person at a device: they speak before each decision."""

    def __init__(self, robot: SimRobot, agent: Agent, inputs: Inputs, device: str) -> None:
        """Stores."""
        self._robot, self._agent, self._inputs, self._device = robot, agent, inputs, device

    def reset(self) -> None:
        """A new episode, begun with hands off."""
        self._inputs.release_all()
        self._agent.reset()
        self._person = Person(self._robot, FINGERS[self._device]())
        self._person.reset()

    def decide(self, observation: Observation) -> Action:
        """The person says, the arm's agent decides."""
        self._inputs.put(self._device, self._person.state())
        return self._agent.decide(observation)
