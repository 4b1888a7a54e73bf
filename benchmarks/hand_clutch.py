"""What a hand does to an arm's target when it engages, releases, is lost and comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from tests.teleop.driven import random_poses
from tests.teleop.hand_shapes import FPS, HEIGHT, WIDTH, nobody, recorded, state_of
from tests.teleop.hands import look

from demoloop.robot.arms.so101 import ARM
from demoloop.teleop.cartesian import Cartesian
from demoloop.teleop.hand import HandDevice
from demoloop.teleop.hand_state import HandState
from demoloop.teleop.motion import Device, Motion

Show = Callable[[float], HandState]

_ACT_STEPS = 25
_ACTS = ("engage", "release", "lose", "blink")
_AWAY_STEPS = 8  # pictures without a hand: longer than a hand may be unseen
_SWING_HZ = 0.4


@dataclass
class Found:
    """What the target did, over all that was tried.

    Attributes:
        engaged: So often was a hand engaged.
        farthest: m, the longest step of the target.
        adrift: m, the farthest it went while let go, or at the step that engaged.
        unexplained: m, the most that the target's way since a hand engaged was longer than that of
            the filtered hand.
    """

    engaged: int = 0
    farthest: float = 0.0
    adrift: float = 0.0
    unexplained: float = 0.0


class Unclutched:
    """A hand as a device that lacks a clutch: the control, which must be found to leap."""

    name = "hand without a clutch"

    def __init__(self, device: HandDevice) -> None:
        self._device = device

    def read(self, time: float) -> Motion:
        """Returns where the hand is, for ever engaged."""
        self._device.watch(time)
        raw = self._device.raw
        return Motion(is_engaged=raw is not None, position=raw)


class Loop:
    """A hand, and an arm that is where it was sent; time goes on by pictures."""

    def __init__(self, has_clutch: bool) -> None:
        """Loads the arm."""
        self.state: HandState | None = None
        self.hand = HandDevice(lambda: self.state)
        device: Device = self.hand if has_clutch else Unclutched(self.hand)
        self.agent = Cartesian(device, ARM)
        self.number = 0
        self.found = Found()
        self._was_at: NDArray[np.float64] | None = None  # the filtered hand, while it is engaged
        self._ahead = 0.0  # m, of the target's way over the hand's since it engaged

    def begin(self, joints: np.ndarray) -> None:
        """Puts the arm to joint targets (action_dim,), with a hand that nobody has seen yet."""
        self.hand.reset()
        self.state, self._was_at = None, None
        self.agent.begin(joints.astype(np.float32))

    def step(self, seen: HandState) -> None:
        """Shows one look, and keeps what the target did."""
        before, found = self.agent.target, self.found
        self.number += 1
        time = self.number / FPS
        self.state = msgspec.structs.replace(seen, time=time, number=self.number)
        self.agent.decide(look(ARM.home, time))
        moved = float(np.linalg.norm(self.agent.target - before))
        found.farthest = max(found.farthest, moved)
        at = self.hand.filtered if self.agent.state == "engaged" else None
        if at is None or self._was_at is None:
            found.engaged += at is not None
            found.adrift = max(found.adrift, moved)
            self._ahead = 0.0
        else:
            self._ahead += moved - float(np.linalg.norm(at - self._was_at))
            found.unexplained = max(found.unexplained, self._ahead)
        self._was_at = at


def hands(rng: np.random.Generator, swing: float) -> Show:
    """Returns who shows at a time [s] one filmed hand, of any pose, anywhere, shaken as they are.

    Args:
        rng: Chooses.
        swing: How far it moves to each side, in picture widths.
    """
    flat, world = recorded("clip")
    frame = int(rng.integers(len(flat)))
    middle = flat[frame].mean(axis=0)
    where = rng.uniform((0.3, 0.35), (0.7, 0.65))
    scale, turn, phase = rng.uniform(0.9, 1.6), rng.uniform(-0.7, 0.7), rng.uniform(0, 6)
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.array([[cos, sin], [-sin, cos]])
    shape = (flat[frame] - middle) * (WIDTH, HEIGHT) @ rotation * scale / (WIDTH, HEIGHT)
    metres = world[frame].copy()
    metres[:, :2] = metres[:, :2] @ rotation

    def show(time: float) -> HandState:
        angle = 2 * np.pi * _SWING_HZ * time + phase
        aside = swing * np.array([np.sin(angle), np.cos(1.3 * angle)])
        shaken = rng.normal(0, 0.3, shape.shape) / (WIDTH, HEIGHT)
        return state_of(where + shape + aside + shaken, metres, 0)

    return show


def try_out(
    num_poses: int, acts: int, seed: int, *, swing: float, has_clutch: bool = True
) -> Found:
    """Engages, releases, hides and finds hands at so many poses of the arm, `acts` times each."""
    rng = np.random.default_rng(seed)
    loop = Loop(has_clutch)
    for pose in random_poses(ARM, num_poses, seed):
        loop.begin(pose)
        show = hands(rng, swing)
        for _ in range(acts):
            act = _ACTS[int(rng.integers(len(_ACTS)))]
            unseen = {"lose": _AWAY_STEPS, "blink": int(rng.integers(1, 5))}.get(act, 0)
            if act == "engage":
                loop.hand.engage()
            elif act == "release":
                loop.hand.release()
            for step in range(_ACT_STEPS):
                if act == "lose" and step == unseen:  # it comes back anywhere, and is wanted
                    show = hands(rng, swing)
                    loop.hand.engage()
                loop.step(nobody(0) if step < unseen else show(loop.number / FPS))
    return loop.found
