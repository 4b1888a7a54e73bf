"""Gestures that are meant, and how many are heard; for those that are not: tests' hand_storm."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tests.teleop.hand_shapes import FPS, HEIGHT, SHAPES, WIDTH, hand, nobody, recorded, state_of
from tests.teleop.hand_storm import FISTS

from demoloop.teleop.gestures import Gestures, Name
from demoloop.teleop.hand_state import HandState, Vector

SHOWN_S = 1.2
"""Twice the hold: who sees no ring fill shows it no longer."""
_REST_S = 1.8  # between two, with the hand out of the picture: a command is not heard sooner
COMMANDS: tuple[Name, ...] = ("open_palm", "fist", "victory", "thumb_up", "thumb_down")


def heard(name: Name, times: int, seed: int) -> int:
    """Returns how often a gesture is heard, of `times` that it is meant."""
    rng = np.random.default_rng(seed)
    count, number = 0, 0
    gestures = Gestures()
    for _ in range(times):
        said = []
        for state in _meant(name, rng, number):
            number += 1
            command = gestures.watch(state, number / FPS, is_engaged=name == "fist")
            said += [command] if command else []
        count += said == [name]
    return count


def _meant(name: Name, rng: np.random.Generator, number: int) -> Iterator[HandState]:
    """Yields one gesture, turned, mirrored, shaken and cut as a person and a tracker do it."""
    span = FISTS[int(rng.integers(len(FISTS)))] if name == "fist" else None
    mirror, tilt = rng.random() < 0.5, rng.uniform(-0.35, 0.35)
    palm, noise, at = rng.uniform(0.18, 0.4), rng.uniform(0, 2), rng.uniform(0.35, 0.65, 2)
    begin = int(rng.integers(1000))
    for k in range(round(SHOWN_S * FPS)):
        if rng.random() < 0.03:
            yield nobody(number + k)
            continue
        metres, flat = _look(name, span, begin + k, rng)
        yield _warped(metres, flat, number + k, mirror, tilt, palm, noise, at, rng)
    for k in range(round(_REST_S * FPS)):
        yield nobody(number + round(SHOWN_S * FPS) + k)


def _look(
    name: Name, span: tuple[int, int] | None, step: int, rng: np.random.Generator
) -> tuple[Vector, Vector]:
    """Returns (21, 3) m and (21, 2) likewise as seen: filmed where it was, else bent."""
    if span is not None:
        first, last = span
        there_and_back = step % (2 * (last - first))
        flat, world = recorded("clip")
        frame = first + min(there_and_back, 2 * (last - first) - there_and_back)
        return world[frame], flat[frame] * (WIDTH, HEIGHT)
    curls, thumb, turn = SHAPES[name]
    points = hand(np.clip(np.array(curls) + rng.normal(0, 0.03, 4), 0, 1).tolist(), thumb)
    cos, sin = np.cos(turn), np.sin(turn)
    points[:, :2] = points[:, :2] @ np.array([[cos, sin], [-sin, cos]])
    return points, points[:, :2]


def _warped(
    metres: Vector, flat: Vector, number: int, mirror: bool, tilt: float, palm: float,
    noise: float, at: Vector, rng: np.random.Generator,
) -> HandState:  # fmt: skip
    cos, sin = np.cos(tilt), np.sin(tilt)
    rotation = np.array([[cos, sin], [-sin, cos]])
    side = np.array([-1.0 if mirror else 1.0, 1.0])
    middle = flat[[0, 5, 9, 13, 17]].mean(axis=0)
    scale = palm * HEIGHT / float(np.linalg.norm(flat[9] - flat[0]))
    pixels = (flat - middle) * side @ rotation * scale + rng.normal(0, noise, flat.shape)
    solid = metres - metres.mean(axis=0)
    solid[:, :2] = solid[:, :2] * side @ rotation
    solid += rng.normal(0, noise * 4e-4, solid.shape)
    return state_of(pixels / (WIDTH, HEIGHT) + at, solid, number)
