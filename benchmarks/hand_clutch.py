"""What a hand does to an arm's target when it engages, releases, is lost and comes back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tests.teleop.driven import random_poses
from tests.teleop.hand_shapes import FPS, nobody, recorded, state_of
from tests.teleop.hands import look

from demoloop.robot.arms.so101 import ARM
from demoloop.teleop.cartesian import Cartesian
from demoloop.teleop.hand import HandDevice
from demoloop.teleop.hand_state import HandState

_ACT_STEPS = 25
_ACTS = ("engage", "release", "lose", "blink")


class Loop:
    """A hand, and an arm that is where it was sent; time goes on by pictures."""

    def __init__(self) -> None:
        """Loads the arm."""
        self.state: HandState | None = None
        self.device = HandDevice(lambda: self.state)
        self.agent = Cartesian(self.device, ARM)
        self.number = 0

    def begin(self, joints: np.ndarray) -> None:
        """Puts the arm to joint targets (action_dim,), with a hand that nobody has seen yet."""
        self.device.reset()
        self.agent.begin(joints.astype(np.float32))
        self.step(None)

    def step(self, seen: HandState | None) -> float:
        """Shows one look; returns how far the target went [m]."""
        before = self.agent.target
        self.number += 1
        if seen is not None:
            self.state = replace_number(seen, self.number)
        self.agent.decide(look(ARM.home, self.number / FPS))
        return float(np.linalg.norm(self.agent.target - before))


def replace_number(state: HandState, number: int) -> HandState:
    """Returns the same look as another picture."""
    return HandState(
        time=number / FPS, number=number, width=state.width, height=state.height,
        landmarks=state.landmarks, world=state.world, handedness=state.handedness,
        score=state.score,
    )  # fmt: skip


def hands(rng: np.random.Generator) -> Callable[[], HandState]:
    """Returns who shows one filmed hand, of any pose, anywhere, shaken as landmarks are."""
    flat, world = recorded("clip")
    frame = int(rng.integers(len(flat)))
    middle = flat[frame].mean(axis=0)
    where = rng.uniform((0.3, 0.35), (0.7, 0.65))
    scale, turn = rng.uniform(0.6, 1.4), rng.uniform(-0.7, 0.7)
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.array([[cos, sin], [-sin, cos]])
    shape = (flat[frame] - middle) * (640, 360) @ rotation * scale / (640, 360)
    metres = world[frame].copy()
    metres[:, :2] = metres[:, :2] @ rotation

    def show() -> HandState:
        shaken = rng.normal(0, 0.3, shape.shape) / (640, 360)
        return state_of(where + shape + shaken, metres, 0)

    return show


def largest_jump(num_poses: int, acts: int, seed: int) -> tuple[float, int]:
    """Returns the farthest [m] a target went in one step, and how often a hand was engaged.

    A hand stands still while it is seen and comes back anywhere; whatever it does meanwhile, at
    whatever pose of the arm, the target may hardly move.
    """
    rng = np.random.default_rng(seed)
    loop, farthest, engaged = Loop(), 0.0, 0
    for pose in random_poses(ARM, num_poses, seed):
        loop.begin(pose)
        show = hands(rng)
        for _ in range(acts):
            act = _ACTS[int(rng.integers(len(_ACTS)))]
            blinks = int(rng.integers(1, 5)) if act == "blink" else 0
            if act == "lose" or not loop.device.is_engaged:  # unseen, the hand goes anywhere
                show, blinks = hands(rng), 8
            if act == "engage":
                loop.device.engage()
            elif act == "release":
                loop.device.release()
            for step in range(_ACT_STEPS):
                is_seen = act != "lose" and not step < blinks
                was_engaged = loop.device.is_engaged
                moved = loop.step(show() if is_seen else nobody(0))
                engaged += loop.device.is_engaged and not was_engaged
                farthest = max(farthest, moved)
    return farthest, engaged
