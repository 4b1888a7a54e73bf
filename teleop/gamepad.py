"""A gamepad with two sticks, as browsers number it (W3C Gamepad, the standard mapping)."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from demoloop.teleop.inputs import Inputs
from demoloop.teleop.motion import Motion

SPEED = 0.2  # m/s at the end of a stick
TURN = 1.5  # rad/s
OPENING = 1.5  # 1/s
DEAD_ZONE = 0.15
"""Of a stick's way: worn pads rest up to 0.1 off their middle."""

LEFT_BUMPER, RIGHT_BUMPER, LEFT_TRIGGER, RIGHT_TRIGGER = 4, 5, 6, 7

CONTROLS = (
    ("left stick", "forward, back, left, right"),
    ("right stick, up and down", "up, down"),
    ("right stick, sideways", "roll"),
    ("left trigger", "open the gripper"),
    ("right trigger", "close the gripper"),
    ("left bumper", "lower the fingertips"),
    ("right bumper", "lift the fingertips"),
)
"""What moves the arm, as page and handbook say it; buttons that command are in commands.py."""

_MOST = 32  # axes or buttons of one pad


class GamepadState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Axes -1 .. 1 (right and down count up) and buttons 0 .. 1, in the standard order."""

    axes: tuple[float, ...] = ()
    buttons: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if max(len(self.axes), len(self.buttons)) > _MOST:
            raise ValueError(
                f"{len(self.axes)} axes and {len(self.buttons)} buttons; "
                f"expected at most {_MOST} of each"
            )
        for name, values, low in (("axes", self.axes, -1.0), ("buttons", self.buttons, 0.0)):
            # Browsers round: a little over is no fault. Written so that a NaN fails too.
            if not all(low - 0.01 <= value <= 1.01 for value in values):
                raise ValueError(f"{name} are {values}; expected numbers from {low:g} to 1")


class Gamepad:
    """Sticks and triggers are rates; in the middle everything stands still."""

    name = "gamepad"

    def __init__(self, inputs: Inputs) -> None:
        """Stores."""
        self._inputs = inputs

    def read(self, time: float) -> Motion:
        """Returns what sticks and triggers say now; without a fresh state, released."""
        state = self._inputs.latest(self.name, GamepadState)
        if state is None:
            return Motion()
        if len(state.axes) < 4 or len(state.buttons) <= RIGHT_TRIGGER:
            return Motion(
                status=f"this gamepad has {len(state.axes)} axes and {len(state.buttons)} buttons; "
                "expected the browser's standard mapping with two sticks and two triggers"
            )
        left, right = _bent(*state.axes[:2]), _bent(*state.axes[2:4])
        pressed = state.buttons
        return Motion(
            is_engaged=True,
            velocity=SPEED * np.array([-left[1], -left[0], -right[1]]),
            turning=TURN * np.array([pressed[RIGHT_BUMPER] - pressed[LEFT_BUMPER], right[0]]),
            opening_rate=OPENING * (pressed[LEFT_TRIGGER] - pressed[RIGHT_TRIGGER]),
        )


def _bent(x: float, y: float) -> NDArray[np.float64]:
    """Returns a stick (2,) with its dead zone taken out and its response squared.

    Round, not per axis: a stick pushed nearly straight goes as it is pushed; and squared, so that
    half the way is a quarter of the speed.
    """
    way = math.hypot(x, y)
    if way <= DEAD_ZONE:
        return np.zeros(2)
    share = min(1.0, (way - DEAD_ZONE) / (1.0 - DEAD_ZONE))
    return np.array([x, y]) / way * share**2
