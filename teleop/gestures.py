"""Gestures: what shape a hand has, and which command a held shape is.

A shape counts only when it is held, when the hand is near enough to be seen well, and, but for
those that work the clutch, while the clutch is off: a hand at work passes through many shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from demoloop.teleop.hand_state import (
    INDEX_ROOT,
    INDEX_TIP,
    MIDDLE_ROOT,
    PINKY_ROOT,
    THUMB_TIP,
    WRIST,
    HandState,
    Vector,
    palm_share,
    pinch_of,
)

Name = Literal["none", "open_palm", "fist", "victory", "thumb_up", "thumb_down", "pointing"]

HOLD_S = 0.6
AGAIN_S = 1.5
"""No second command within: the hand that gave one is on its way down."""
MIN_PALM = 0.15
"""Of the picture's height: smaller hands were misread on 4 of 40 photographs."""
_FLICKER_S = 0.1  # a shape may be missed for so long while it is held
_FACING = np.cos(np.radians(50))  # how far from the camera's axis an open palm may be turned
_UPRIGHT = np.cos(np.radians(35))  # how far from the vertical a thumb may point

# Of each finger but the thumb: root, middle joint, last joint, tip.
_FINGERS = ((5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20))


@dataclass(frozen=True)
class Gesture:
    """The shape of a hand at one instant, and how much of the hold is done."""

    name: Name = "none"
    progress: float = 0.0  # 0 .. 1; 1: it was done, and is still shown


def shape_of(state: HandState) -> Name:
    """Returns the shape of a hand; "none" where it is in doubt, far away or absent."""
    if not state.has_hand or palm_share(state) < MIN_PALM:
        return "none"
    hand = state.metres()
    palm = float(np.linalg.norm(hand[MIDDLE_ROOT] - hand[WRIST]))
    fingers = [_finger(hand, joints) for joints in _FINGERS]
    is_out = [finger == "out" for finger in fingers]
    is_in = [finger == "in" for finger in fingers]
    if all(is_out):
        is_open = _is_thumb_aside(hand) and pinch_of(state) > 0.45 and _is_facing(hand)
        return "open_palm" if is_open else "none"
    if all(is_in):
        thumb = _thumb_direction(state, hand, palm)
        return thumb or "fist"
    if is_out[0] and all(is_in[2:]):
        if is_in[1]:
            return "pointing"
        apart = float(np.linalg.norm(hand[INDEX_TIP] - hand[12]))
        if is_out[1] and apart > 0.3 * palm:
            return "victory"
    return "none"


class Gestures:
    """Turns shapes into commands: `if command := gestures.watch(state, time, is_engaged)`.

    Attributes:
        now: What is shown at present.
    """

    def __init__(self) -> None:
        self.now = Gesture()
        self._shape: Name = "none"
        self._since = 0.0  # s, when the shape was first seen
        self._seen = 0.0  # s, when it was last seen
        self._is_done = False  # the shape has been a command, and is still held
        self._last = float("-inf")  # s, when there was a command

    def watch(self, state: HandState | None, time: float, *, is_engaged: bool) -> Name | None:
        """Returns a gesture at the moment in which it has been held long enough, else None.

        Args:
            state: What is seen; None when nothing is known.
            time: s, on whatever clock, growing.
            is_engaged: Whether the arm follows the hand: then only a fist counts.
        """
        shape: Name = "none" if state is None else shape_of(state)
        is_flicker = shape == "none" and time - self._seen <= _FLICKER_S
        if shape != self._shape and not is_flicker:
            self._shape, self._since, self._is_done = shape, time, False
        if shape == self._shape:
            self._seen = time
        # With the clutch on, a hand means what it does; with it off, there is nothing to release.
        is_command = self._shape not in ("none", "pointing") and (
            (self._shape == "fist") == is_engaged
        )
        if not is_command:
            # Its hold begins when it can be meant. A palm that was open at work must be shown
            # anew: else who lets go by a key would be engaged again.
            self._since, self._is_done = time, is_engaged and self._shape == "open_palm"
            self.now = Gesture(self._shape)
            return None
        held = time - self._since
        if self._is_done:
            self.now = Gesture(self._shape, 1.0)
            return None
        self.now = Gesture(self._shape, min(1.0, held / HOLD_S))
        # Letting go is always heard.
        is_too_soon = self._shape != "fist" and time - self._last < AGAIN_S
        if held < HOLD_S or shape != self._shape or is_too_soon:
            return None
        self._is_done, self._last = True, time
        return self._shape


def _finger(hand: Vector, joints: tuple[int, int, int, int]) -> Literal["out", "in", ""]:
    """Says whether a finger is stretched, curled, or neither for sure."""
    root, middle, last, tip = (hand[joint] for joint in joints)
    links = sum(float(np.linalg.norm(b - a)) for a, b in ((root, middle), (middle, last)))
    length = links + float(np.linalg.norm(tip - last))
    straight = float(np.linalg.norm(tip - root)) / max(length, 1e-6)
    away = float(np.linalg.norm(tip - hand[WRIST]))
    reach = away / max(float(np.linalg.norm(middle - hand[WRIST])), 1e-6)
    if straight > 0.85 and reach > 1.15:
        return "out"
    return "in" if straight < 0.7 and reach < 0.95 else ""


def _is_thumb_aside(hand: Vector) -> bool:
    """Whether the thumb is spread, and not laid across the palm."""
    tip = float(np.linalg.norm(hand[THUMB_TIP] - hand[PINKY_ROOT]))
    root = float(np.linalg.norm(hand[2] - hand[PINKY_ROOT]))
    return tip > 1.1 * root


def _is_facing(hand: Vector) -> bool:
    """Whether palm or back is turned to the camera: a hand seen from its edge shows nothing."""
    normal = np.cross(hand[INDEX_ROOT] - hand[WRIST], hand[PINKY_ROOT] - hand[WRIST])
    return bool(abs(normal[2]) > _FACING * np.linalg.norm(normal))


def _thumb_direction(
    state: HandState, hand: Vector, palm: float
) -> Literal["thumb_up", "thumb_down", ""]:
    """Says where the thumb of a closed hand points, if it stands out straight up or down."""
    links = [float(np.linalg.norm(hand[b] - hand[a])) for a, b in ((2, 3), (3, 4))]
    straight = float(np.linalg.norm(hand[THUMB_TIP] - hand[2])) / max(sum(links), 1e-6)
    stands_out = float(np.linalg.norm(hand[THUMB_TIP] - hand[INDEX_ROOT])) > 0.5 * palm
    if straight < 0.9 or not stands_out:
        return ""
    pixels = state.pixels()
    along = pixels[THUMB_TIP] - pixels[2]
    up = -float(along[1]) / max(float(np.linalg.norm(along)), 1e-6)
    others = np.delete(pixels[:, 1], [3, THUMB_TIP])
    margin = 0.25 * float(np.linalg.norm(pixels[MIDDLE_ROOT] - pixels[WRIST]))
    if up > _UPRIGHT and pixels[THUMB_TIP, 1] < others.min() - margin:
        return "thumb_up"
    if up < -_UPRIGHT and pixels[THUMB_TIP, 1] > others.max() + margin:
        return "thumb_down"
    return ""
