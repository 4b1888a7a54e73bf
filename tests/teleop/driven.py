"""A device that a test scripts, and a loop without a robot: the arm is where it was sent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Observation
from demoloop.robot.arms import ArmModel
from demoloop.robot.kinematics import Kinematics
from demoloop.teleop import Teleoperator
from demoloop.teleop.motion import Motion

Vector = NDArray[np.float64]
DT = 0.04  # s


class Scripted:
    """Says what the test put into `motion`."""

    name = "script"

    def __init__(self, motion: Motion | None = None) -> None:
        self.motion = motion or Motion()

    def read(self, time: float) -> Motion:
        return self.motion


class Driver:
    """Steps a teleoperator; the arm obeys at once unless `measured` says otherwise."""

    def __init__(self, teleoperator: Teleoperator, commanded: Vector, dt: float = DT) -> None:
        self.teleoperator, self.dt, self.time = teleoperator, dt, 100.0
        self.joints = np.asarray(commanded, np.float64)
        self.measured: Callable[[Vector], Vector] = lambda joints: joints
        teleoperator.begin(self.joints.astype(np.float32))
        self.step()  # the first look counts no time

    def step(self, count: int = 1) -> Vector:
        for _ in range(count):
            here = self.measured(self.joints)
            look = Observation(
                self.time, np.concatenate([here, np.zeros_like(here)]).astype(np.float32), {}, {}
            )
            self.joints = self.teleoperator.decide(look).astype(np.float64)
            self.time += self.dt
        return self.joints


class Hand:
    """Where the hand of an arm is at joint targets."""

    def __init__(self, model: ArmModel) -> None:
        self.kinematics = Kinematics(model.mjcf, "tcp")
        self.num_angles = model.spec.action_dim - 1

    def pose(self, joints: Vector) -> tuple[Vector, Vector]:
        q = self.kinematics.middle
        q[: self.num_angles] = joints[: self.num_angles]
        return self.kinematics.forward(q)

    def __call__(self, joints: Vector) -> Vector:
        return self.pose(joints)[0]


def random_poses(model: ArmModel, count: int, seed: int) -> list[Vector]:
    """Joint targets anywhere in their range, every third with some joints at a limit."""
    rng = np.random.default_rng(seed)
    low, high = model.spec.low.astype(np.float64), model.spec.high.astype(np.float64)
    poses = []
    for index in range(count):
        pose = rng.uniform(low, high)
        if index % 3 == 0:
            at = rng.random(len(pose)) < 0.4
            pose[at] = np.where(rng.random(len(pose)) < 0.5, low, high)[at]
        poses.append(pose)
    return poses
