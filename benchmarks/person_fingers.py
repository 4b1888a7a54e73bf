"""The scripted person's fingers: on keys, on sticks, on a phone.

They hold a key a moment at least, push a stick as quickly as a thumb does, and lift it to drag on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from person import OPEN, Person, Vector, Wish

from demoloop.robot import Action, Observation
from demoloop.robot.arms import ARMS
from demoloop.sim.robot import SimRobot
from demoloop.teleop.devices import TELEOPERATORS
from demoloop.teleop.gamepad import DEAD_ZONE, RIGHT_TRIGGER, GamepadState
from demoloop.teleop.gamepad import SPEED as STICK_SPEED
from demoloop.teleop.inputs import Inputs
from demoloop.teleop.keyboard import FINE_SPEED, FINE_TURN, SPEED, TURN, KeyboardState
from demoloop.teleop.phone import DRAG_M, TILT_FULL, TILT_REST, TILT_SPEED, PhoneState


class Remembered:
    """What was asked for lately: rates with their times."""

    def __init__(self) -> None:
        self.is_engaged, self.hint = False, ""
        self._asked: deque[tuple[float, Vector, float]] = deque(maxlen=64)

    def note(self, time: float, velocity: Vector, turning: float) -> None:
        """Remembers what is asked from `time` [s] on: (3,) m/s, and rad/s."""
        self._asked.append((time, velocity, turning))

    def moved(self, since: float) -> tuple[Vector, float]:
        """Returns the way (3,) [m] and the turn [rad] that was asked for since then."""
        way, turn = np.zeros(3), 0.0
        for (begun, velocity, turning), (ended, _, _) in zip(
            list(self._asked), list(self._asked)[1:], strict=False
        ):
            lasted = max(0.0, ended - max(begun, since))
            way, turn = way + velocity * lasted, turn + turning * lasted
        return way, turn


class KeyFingers(Remembered):
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


class StickFingers(Remembered):
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


class PhoneFingers(Remembered):
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


class ByHand:
    """The agent of a person at a device: they speak before each decision.

    Attributes:
        inputs: What they say.
    """

    def __init__(
        self, fingers: Callable[[], KeyFingers | StickFingers | PhoneFingers], robot: SimRobot
    ) -> None:
        """Builds the device's own agent."""
        self._robot, self._fingers = robot, fingers
        self.inputs = Inputs(clock=lambda: float(robot.data.time))
        self._agent = TELEOPERATORS[fingers().device](self.inputs, ARMS["so101"])

    def reset(self) -> None:
        """A new episode, begun with hands off."""
        self.inputs.release_all()
        self._agent.reset()
        self._hands = self._fingers()
        self._person = Person(self._robot, self._hands)
        self._person.reset()

    def decide(self, observation: Observation) -> Action:
        """The person says, the arm's agent decides."""
        self.inputs.put(self._hands.device, self._person.state())
        return self._agent.decide(observation)
