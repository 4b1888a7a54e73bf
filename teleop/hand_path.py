"""The way of a hand before a camera, out of looks at it: smooth, and without a tracker's jumps."""

from __future__ import annotations

import numpy as np

from demoloop.teleop.hand_pose import HandPose
from demoloop.teleop.hand_state import Vector
from demoloop.teleop.one_euro import OneEuro

DEPTH_GAIN = 0.3
"""Of the axis away from the camera, which is seen ten times worse than the other two."""
DEPTH_DEAD_M = 0.015
"""The hand goes so far towards or from the camera before the arm does, in each direction."""
JUMP_M, JUMP_SPEED = 0.08, 2.0  # m from one picture to the next, m/s: no hand, a mistake
JUMP_DEPTH = 0.25  # of the depth, likewise; a hand that closes looks a tenth farther at once
FAST_PINCH = 3.0
"""Palm lengths/s between thumb and index: above, what looks like depth is the fingers."""
_FAST_S = 0.1  # and for so long after
_FORGET_S = 0.3  # in which what was taken for the fingers is made up for, but for 1/e


class HandPath:
    """Where a hand went since it was first seen: `path(pose, time)` for each picture.

    Every look counts by where it shows the hand and not by how far from the last one, so errors do
    not add up. Where the tracker jumps, the path stays and goes on from there.
    """

    def __init__(self) -> None:
        self._place = OneEuro(6.0, 40.0)  # (2,) m across the picture
        self._depth = OneEuro(2.0, 3.0)  # (1,) m along it
        # By which movement across the picture is measured: calmer, for moving fingers look like
        # depth, and would move the arm sideways.
        self._scale = OneEuro(1.0, 1.0)  # (1,) m
        self._pinch = OneEuro(2.0, 2.0)  # (1,) palm lengths
        self.reset()

    def reset(self) -> None:
        """Forgets the hand; the next one begins where it is."""
        self.pinch = 0.0  # palm lengths, filtered
        self._pose: HandPose | None = None
        self._time = 0.0
        self._fast_at = float("-inf")
        self._pinch.reset()
        self._way = np.zeros(3)
        self._base = np.zeros(3)  # m, of the way, less where the hand is seen
        self._anew(0.0)

    def __call__(self, pose: HandPose, time: float) -> Vector:
        """Returns the way (3,) [m] in the camera's axes, the one in depth weighed."""
        before, self._pose = self._pose, pose
        dt, self._time = time - self._time, time
        pinch = float(self._pinch(np.array([pose.pinch]), time)[0])
        if before is None or _is_jump(before, pose, dt):
            self._anew(pose.depth)
            self._base = self._way - self._seen_at(pose, time)
        else:
            self._leave_out(pose.depth - before.depth, pinch - self.pinch, time, dt)
            self._way = self._base + self._seen_at(pose, time)
        self.pinch = pinch
        return self._way

    def _anew(self, depth: float) -> None:
        for smooth in (self._place, self._depth, self._scale):
            smooth.reset()
        self._leaked = 0.0  # m of depth that were the fingers'
        self._held = depth  # m, about which the hand may move without effect

    def _seen_at(self, pose: HandPose, time: float) -> Vector:
        """Returns (3,) [m] where a look shows the hand."""
        depth = float(self._depth(np.array([pose.depth - self._leaked]), time)[0])
        place = self._place(pose.offset * self._scale(np.array([pose.depth]), time), time)
        # Play, as between gear wheels: no step where it ends.
        self._held = float(np.clip(self._held, depth - DEPTH_DEAD_M, depth + DEPTH_DEAD_M))
        return np.array([place[0], place[1], DEPTH_GAIN * self._held])

    def _leave_out(self, away: float, opened: float, time: float, dt: float) -> None:
        """Takes what a quick pinch does to the depth for the fingers'; that is slowly forgotten."""
        if abs(opened) > FAST_PINCH * dt > 0:
            self._fast_at = time
        if time - self._fast_at <= _FAST_S:
            self._leaked += away
        else:
            self._leaked *= float(np.exp(-max(dt, 0.0) / _FORGET_S))


def _is_jump(before: HandPose, pose: HandPose, dt: float) -> bool:
    """Whether no hand goes from one look to the other within `dt` [s]."""
    across = float(np.linalg.norm(pose.offset - before.offset)) * before.depth
    farthest = min(JUMP_M, JUMP_SPEED * max(dt, 1 / 60))
    return across > farthest or abs(pose.depth - before.depth) > JUMP_DEPTH * before.depth
