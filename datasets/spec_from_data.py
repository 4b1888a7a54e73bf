"""A robot spec for a dataset that carries none."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.lerobot_info import Info, picture_size
from demoloop.datasets.lerobot_layout import camera_name
from demoloop.robot import CameraSpec, JointSpec, RobotSpec

MARGIN = 0.1
"""Share of the seen range added at each end: a demonstration seldom reaches the stops."""

SMALLEST_RANGE = 1e-3  # rad, for a joint that never moved: limits must not coincide


_POSITION = ".pos"  # lerobot calls both the reading and the target of a joint "elbow_flex.pos"


def joint_names(actions: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the joints that the dimensions of a foreign dataset's actions are named after."""
    return tuple(name.removesuffix(_POSITION) for name in actions)


def proprioception_names(states: tuple[str, ...], actions: tuple[str, ...]) -> tuple[str, ...]:
    """Says in our words what a foreign dataset reads: a joint's bare name is its position.

    What has no action of that name keeps its own.
    """
    joints = joint_names(actions)
    bare = (name.removesuffix(_POSITION) for name in states)
    return tuple(
        joint + _POSITION if joint in joints else name
        for joint, name in zip(bare, states, strict=True)
    )


def spec_from_data(
    info: Info, names: tuple[str, ...], actions: Iterable[NDArray[np.float32]]
) -> RobotSpec:
    """Returns what info.json and the actions, each (T, len(names)), let us know of a robot.

    Limits are what was seen and a margin; the unit is taken to be rad, since LeRobot names none,
    and which joint is a gripper is unknown.
    """
    joints = joints_from_data(joint_names(names), actions, info.fps)
    cameras = tuple(
        CameraSpec(camera_name(key), *picture_size(info.features[key])) for key in info.camera_keys
    )
    return RobotSpec(info.robot_type, joints, cameras, float(info.fps))


def joints_from_data(
    names: tuple[str, ...], actions: Iterable[NDArray[np.float32]], fps: float
) -> tuple[JointSpec, ...]:
    """Returns joints whose limits are what the actions, each (T, len(names)), reach, and a margin.

    Args:
        names: Of the joints, in the order of an action.
        actions: Of each episode.
        fps: Steps per second.
    """
    size = len(names)
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    speed, acceleration = np.zeros(size), np.zeros(size)
    for episode in actions:
        wide = episode.astype(np.float64)
        low, high = np.minimum(low, wide.min(axis=0)), np.maximum(high, wide.max(axis=0))
        first = np.diff(wide, axis=0) * fps
        second = np.diff(first, axis=0) * fps
        speed = np.maximum(speed, np.abs(first).max(axis=0, initial=0))
        acceleration = np.maximum(acceleration, np.abs(second).max(axis=0, initial=0))
    margin = np.maximum(MARGIN * (high - low), SMALLEST_RANGE)
    return tuple(
        JointSpec(
            name=name,
            low=float(low[j] - margin[j]),
            high=float(high[j] + margin[j]),
            max_velocity=float((1 + MARGIN) * speed[j] + SMALLEST_RANGE),
            max_acceleration=float((1 + MARGIN) * acceleration[j] + SMALLEST_RANGE),
        )
        for j, name in enumerate(names)
    )
