"""Hands for tests: one that was filmed, as the tracker saw it, and ones bent into any shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from demoloop.teleop.hand_state import HandState, Vector

FPS = 30.0
WIDTH, HEIGHT = 640, 360
_RECORDED = Path(__file__).with_name("hand_landmarks.npz")


def state_of(
    flat: Vector, world: Vector, number: int, time: float | None = None, brightness: float = 128.0
) -> HandState:
    """A look at a hand: `flat` (21, 2) shares of the picture, `world` (21, 3) m."""
    return HandState(
        time=number / FPS if time is None else time,
        number=number,
        width=WIDTH,
        height=HEIGHT,
        brightness=brightness,
        landmarks=tuple((x, y) for x, y in flat.tolist()),
        world=tuple((x, y, z) for x, y, z in world.tolist()),
        handedness="right",
        score=0.9,
    )


def nobody(number: int, time: float | None = None, brightness: float = 128.0) -> HandState:
    """A look at which no hand is seen."""
    at = number / FPS if time is None else time
    return HandState(time=at, number=number, width=WIDTH, height=HEIGHT, brightness=brightness)


def recorded(name: str) -> tuple[Vector, Vector]:
    """Landmarks (n, 21, 2) and (n, 21, 3) of `clip` (the film) or `panned` (one picture of it)."""
    with np.load(_RECORDED, allow_pickle=False) as file:
        flat = file[f"{name}_flat"].astype(np.float64) / 65535
        world = file[f"{name}_world"].astype(np.float64) / 65535 * 0.6 - 0.3
    return flat, world


def pan_and_zoom() -> tuple[Vector, Vector]:
    """How `panned` was made: shift (n, 2) [px] and zoom (n,) about (360, 190)."""
    time = np.arange(450) / FPS
    right = 90 * np.sin(2 * np.pi * 0.25 * time) - 40
    down = 25 * np.sin(2 * np.pi * 0.4 * time)
    return np.stack([right, down], axis=1), 1 + 0.25 * np.sin(2 * np.pi * 0.13 * time)


def clip_states() -> Iterator[HandState]:
    flat, world = recorded("clip")
    for number, (points, metres) in enumerate(zip(flat, world, strict=True)):
        yield state_of(points, metres, number)


# Root of each finger in the hand [m]: x towards the thumb, y down from the fingers to the wrist.
_ROOTS = ((0.025, -0.09), (0.003, -0.093), (-0.018, -0.087), (-0.036, -0.076))
_LINKS = (0.042, 0.026, 0.022)
_BENDS = (1.35, 1.75, 1.2)  # rad of the joints of a curled finger

SHAPES: dict[str, tuple[tuple[float, float, float, float], float, float]] = {
    # curls of index to pinky, how far the thumb is out, turn in the picture [rad]
    "open_palm": ((0, 0, 0, 0), 1.0, 0.0),
    "fist": ((1, 1, 1, 1), 0.0, 0.0),
    "victory": ((0, 0, 1, 1), 0.0, 0.0),
    "pointing": ((0, 1, 1, 1), 0.0, 0.0),
    "thumb_up": ((1, 1, 1, 1), 1.0, -np.pi / 2),
    "thumb_down": ((1, 1, 1, 1), 1.0, np.pi / 2),
}


def hand(curls: Sequence[float], thumb: float) -> Vector:
    """Joints (21, 3) [m] of an upright right hand, its palm to the camera.

    Args:
        curls: Of index, middle, ring and little finger, 0 straight .. 1 curled.
        thumb: 0 laid across the palm .. 1 stretched aside.
    """
    points = np.zeros((21, 3))
    away = np.array([0.9 * thumb + 0.1, -0.25 - 0.35 * (1 - thumb), 0.0])
    across = np.array([-0.75, -0.35, -0.5])
    points[1] = 0.02, -0.02, 0.0
    points[2] = 0.038, -0.045, -0.005
    for joint, link in ((3, 0.035), (4, 0.03)):
        direction = thumb * away + (1 - thumb) * across
        points[joint] = points[joint - 1] + link * direction / np.linalg.norm(direction)
    for finger, ((x, y), curl) in enumerate(zip(_ROOTS, curls, strict=True)):
        first = 5 + 4 * finger
        points[first] = x, y, 0.0
        angle, fan = 0.0, 0.22 * (1.2 - finger)  # rad: fingers spread a little
        for k, (link, bend) in enumerate(zip(_LINKS, _BENDS, strict=True)):
            angle += curl * bend
            step = np.array(
                [np.sin(fan) * np.cos(angle), -np.cos(fan) * np.cos(angle), -np.sin(angle)]
            )
            points[first + k + 1] = points[first + k] + link * step
    return points


def shaped(
    name: str, number: int, *, time: float | None = None, palm: float = 0.3, tilt: float = 0.0
) -> HandState:
    """A look at a hand that shows a gesture; `palm` is its share of the picture's height."""
    curls, thumb, turn = SHAPES[name]
    return bent(curls, thumb, number, time=time, palm=palm, turn=turn + tilt)


def bent(
    curls: Sequence[float],
    thumb: float,
    number: int,
    *,
    time: float | None = None,
    palm: float = 0.3,
    turn: float = 0.0,
    at: tuple[float, float] = (0.5, 0.5),
) -> HandState:
    """A look at a hand bent in any way, turned [rad] in the picture, its middle `at` a share."""
    points = hand(curls, thumb)
    cos, sin = np.cos(turn), np.sin(turn)
    points[:, :2] = points[:, :2] @ np.array([[cos, sin], [-sin, cos]])
    scale = palm * HEIGHT / 0.093  # px/m
    middle = points[[0, 5, 9, 13, 17], :2].mean(axis=0)
    flat = (points[:, :2] - middle) * scale / (WIDTH, HEIGHT) + at
    return state_of(flat, points - points.mean(axis=0), number, time)
