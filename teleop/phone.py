"""A phone held like a handle: drag and tilt, or its pose where the browser knows it (WebXR)."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from demoloop.teleop.inputs import Inputs
from demoloop.teleop.motion import Motion

Vector = NDArray[np.float64]

DRAG_M = 0.0005  # m a pixel: a thumb's way of 300 px is 15 cm
TILT_REST, TILT_FULL = 6.0, 35.0  # degrees since the touch: below nothing, from there full speed
TILT_SPEED = 0.12  # m/s up or down
POSE_GAIN = 1.0  # m a metre

CONTROLS = (
    ("thumb on the field", "the arm listens; let go, and it stays"),
    ("drag", "forward, back, left, right"),
    ("tilt the top towards you or away", "up, down"),
    ("tilt sideways", "roll"),
    ("slider", "gripper"),
    ("with WebXR", "move and roll the phone: the hand does the same"),
)
"""What moves the arm, as page and handbook say it."""


class PhoneState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a phone's page reports.

    Attributes:
        is_held: Whether the thumb is on the field.
        touch: Counts touches, so that letting go and touching again between two messages is seen.
        drag: Of the thumb since it touched, right and down [px of CSS].
        tilt: `DeviceOrientationEvent` beta (front to back), gamma (left to right), alpha [degrees].
        pose: WebXR: x right, y up, z towards the person [m], then a quaternion x, y, z, w order
            (qw first): (x, y, z, qw, qx, qy, qz).
        opening: Of the gripper, 0 closed .. 1 open.
    """

    is_held: bool = False
    touch: int = 0
    drag: tuple[float, float] | None = None
    tilt: tuple[float, float, float] | None = None
    pose: tuple[float, float, float, float, float, float, float] | None = None
    opening: float | None = None

    def __post_init__(self) -> None:
        for name, values, most in (
            ("drag", self.drag, 10_000.0),
            ("tilt", self.tilt, 360.0),
            ("pose", self.pose, 100.0),
        ):
            # Written so that a NaN fails too.
            if values is not None and not all(-most <= value <= most for value in values):
                raise ValueError(f"{name} is {values}; expected numbers up to {most:g}")
        if self.opening is not None and not 0.0 <= self.opening <= 1.0:
            raise ValueError(f"opening is {self.opening}; expected 0 closed .. 1 open")
        if self.pose is not None and not 0.9 <= math.hypot(*self.pose[3:]) <= 1.1:
            raise ValueError(f"pose is {self.pose}; expected a quaternion of length 1 at its end")


class Phone:
    """The thumb is the clutch: what counts is what the phone did since it was put down."""

    name = "phone"

    def __init__(self, inputs: Inputs) -> None:
        """Stores."""
        self._inputs = inputs
        self._touch: int | None = None  # that is being followed
        self._tilt: tuple[float, float, float] | None = None  # when it began

    def read(self, time: float) -> Motion:
        """Returns what the phone says now; untouched, silent or touched anew, released."""
        state = self._inputs.latest(self.name, PhoneState)
        if state is None or not state.is_held:
            self._touch = self._tilt = None
            return Motion()
        if state.touch != self._touch:
            is_new = self._touch is not None
            self._touch, self._tilt = state.touch, state.tilt
            if is_new:
                return Motion()  # once, so that the arm holds on anew
        if state.pose is not None:
            return Motion(
                is_engaged=True,
                position=POSE_GAIN * _in_base(state.pose),
                roll=_roll_of(state.pose),
                opening=state.opening,
            )
        right, down = state.drag or (0.0, 0.0)
        position = DRAG_M * np.array([-down, -right, 0.0])
        if state.tilt is None or self._tilt is None:
            self._tilt = state.tilt
            return Motion(is_engaged=True, position=position, opening=state.opening)
        up, aside = state.tilt[0] - self._tilt[0], state.tilt[1] - self._tilt[1]
        return Motion(
            is_engaged=True,
            position=position,
            velocity=np.array([0.0, 0.0, TILT_SPEED * _beyond_rest(up)]),
            roll=math.radians(aside),
            opening=state.opening,
        )


def _beyond_rest(degrees: float) -> float:
    """Returns -1 .. 1 for a tilt, 0 while the hand only trembles."""
    degrees = (degrees + 180) % 360 - 180  # beta jumps from 180 to -180
    share = (abs(degrees) - TILT_REST) / (TILT_FULL - TILT_REST)
    return math.copysign(min(max(share, 0.0), 1.0), degrees)


def _in_base(pose: tuple[float, ...]) -> Vector:
    """A WebXR position seen by a person who looks along the arm's x axis, (3,) [m]."""
    x, y, z = pose[:3]
    return np.array([-z, -x, y])


def _roll_of(pose: tuple[float, ...]) -> float:
    """How far the phone is turned about the direction away from the person, clockwise [rad].

    The twist of its rotation about -z: the part of a quaternion that turns about one axis.
    """
    qw, qz = pose[3], pose[6]
    return -2.0 * math.atan2(qz, qw)
