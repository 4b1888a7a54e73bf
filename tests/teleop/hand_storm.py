"""A hand that does all kinds of things before a camera and means no command by them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tests.teleop.hand_shapes import FPS, HEIGHT, WIDTH, bent, nobody, recorded, state_of

from demoloop.teleop.gestures import Gestures
from demoloop.teleop.hand_state import HandState

# Frames of the film in which the hand is a fist, and in which it is one or on the way: by eye.
FISTS = ((256, 279), (607, 620))
_NEARLY_FISTS = ((250, 285), (603, 620))
# In which it is open, or nearly: by eye, to about four frames.
_NEARLY_OPEN = (
    *((0, 13), (33, 54), (76, 101), (126, 150), (180, 204), (230, 254), (281, 309), (334, 356)),
    *((382, 408), (430, 452), (478, 507), (526, 548), (574, 605)),
)
_SEGMENT = 150  # frames of one manner


@dataclass(frozen=True)
class Scene:
    """A look, and whether the hand really is open or a fist in it."""

    state: HandState
    is_open: bool
    is_fist: bool


def storm(num_frames: int, seed: int) -> Iterator[Scene]:
    """Yields the film mirrored, turned, scaled, shaken, slowed and cut, and hands that fidget."""
    rng = np.random.default_rng(seed)
    number = 0
    while number < num_frames:
        segment = _filmed(rng, number) if rng.random() < 0.7 else _fidgeting(rng, number)
        for scene in segment:
            yield scene
            number += 1
            if number == num_frames:
                return


def false_commands(num_frames: int, seed: int) -> list[str]:
    """What was taken for a command and was none; the clutch follows the gestures."""
    gestures, is_engaged, wrong = Gestures(), False, []
    for scene in storm(num_frames, seed):
        time = scene.state.number / FPS
        command = gestures.watch(scene.state, time, is_engaged=is_engaged)
        if command == "open_palm" and scene.is_open:
            is_engaged = True
        elif command == "fist" and scene.is_fist:
            is_engaged = False
        elif command is not None:
            wrong.append(f"{command} at {time:.1f} s")
    return wrong


def _filmed(rng: np.random.Generator, number: int) -> Iterator[Scene]:
    flat, world = recorded("clip")
    mirror, turn = rng.random() < 0.5, rng.uniform(-0.7, 0.7)
    scale, noise = rng.uniform(0.8, 1.6), rng.uniform(0, 3)
    speed, start = rng.choice([-1.5, -1.0, -0.7, 0.5, 0.7, 1.0, 1.5]), rng.integers(len(flat))
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.array([[cos, sin], [-sin, cos]])
    for k in range(_SEGMENT):
        frame = int(start + k * speed) % len(flat)
        if rng.random() < 0.05:
            yield Scene(nobody(number + k), False, False)
            continue
        pixels, metres = flat[frame] * (WIDTH, HEIGHT), world[frame].copy()
        if mirror:
            pixels[:, 0], metres[:, 0] = WIDTH - pixels[:, 0], -metres[:, 0]
        middle = pixels.mean(axis=0)
        pixels = (pixels - middle) @ rotation * scale + middle
        pixels += rng.normal(0, noise, pixels.shape)
        metres[:, :2] = metres[:, :2] @ rotation
        metres += rng.normal(0, noise * 4e-4, metres.shape)
        state = state_of(pixels / (WIDTH, HEIGHT), metres, number + k)
        yield Scene(state, _is_in(frame, _NEARLY_OPEN), _is_in(frame, _NEARLY_FISTS))


def _is_in(frame: int, spans: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= frame <= last for first, last in spans)


def _fidgeting(rng: np.random.Generator, number: int) -> Iterator[Scene]:
    """Goes from shape to shape, every finger for itself, and stays in none."""
    curls, thumb = rng.random(4), rng.random()
    turn, palm = rng.uniform(-np.pi, np.pi), rng.uniform(0.16, 0.4)
    aim, aim_thumb = curls, thumb
    for k in range(_SEGMENT):
        if k % 12 == 0:  # 0.4 s: shapes are passed through, some of them are a gesture's
            aim, aim_thumb = rng.choice([0.0, 0.5, 1.0], 4), rng.choice([0.0, 1.0])
        curls, thumb = curls + 0.25 * (aim - curls), thumb + 0.25 * (aim_thumb - thumb)
        turn += rng.normal(0, 0.05)
        state = bent(curls.tolist(), float(thumb), number + k, palm=palm, turn=turn)
        yield Scene(state, bool((curls < 0.4).all()), bool((curls > 0.6).all()))
