"""A hand that moves a leader arm, and a follower whose clock is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from demoloop.robot import Action, Observation, RobotError, RobotSpec
from demoloop.robot.arms.so101 import SO101

BLIND = replace(SO101, cameras=())
MIDDLE = np.array([0.1, -0.5, 0.5, 0.3, -0.2, 0.4], np.float32)
DT = 1 / BLIND.control_hz


def look(
    positions: Sequence[float] | Action, time: float = 0.0, velocity: float = 0.0
) -> Observation:
    """What a follower at `positions` sees."""
    joints = np.asarray(positions, np.float32)
    return Observation(time, np.concatenate([joints, np.full_like(joints, velocity)]), {}, {})


class HandheldLeader:
    """A leader arm that is wherever `pose` says; its cable may be pulled."""

    def __init__(self, pose: Sequence[float] | Action, spec: RobotSpec = BLIND) -> None:
        self.spec = spec
        self.pose = np.array(pose, np.float32)
        self.is_connected = True

    def observe(self) -> Observation:
        if not self.is_connected:
            raise RobotError("leader: no servo answers; plug its cable in")
        return look(self.pose)
