"""The two protocols everything else is composed of: a robot, and an agent that decides for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from demoloop.robot.errors import ActionError
from demoloop.robot.spec import RobotSpec

Action: TypeAlias = NDArray[np.float32]
"""Position targets (action_dim,): joints [rad], the gripper last, 0 closed .. 1 open."""


@dataclass(frozen=True)
class Observation:
    """One look at the world, taken at one instant."""

    time: float  # s, monotonic (a simulation counts its own seconds), when the joints were read
    proprioception: NDArray[np.float32]  # (2 * action_dim,): joint positions, then velocities
    images: Mapping[str, NDArray[np.uint8]]  # camera -> (height, width, 3) RGB
    image_times: Mapping[str, float]  # camera -> s, same clock as `time`, when it was captured
    goal: NDArray[np.float32] | None = None
    """What a person points at: marks (num_marks, 2) in the picture of the task's mark camera, x
    right and y down from 0 to 1, the same all through an episode. None where nobody points."""


class Robot(Protocol):
    """A simulated arm, a servo arm, an arm at the other end of a socket."""

    @property
    def spec(self) -> RobotSpec:
        """What this robot is; never changes."""
        ...

    def reset(self) -> None:
        """Brings the robot to where an episode starts."""
        ...

    def observe(self) -> Observation:
        """Looks once; never older than one control period."""
        ...

    def act(self, action: Action) -> Action:
        """Sends a checked action and returns the one really sent (a robot may limit it)."""
        ...

    def close(self) -> None:
        """Brings the robot to rest and lets go of it; may be called twice."""
        ...


class Agent(Protocol):
    """Whoever decides: a teleoperator, a scripted expert, a trained policy."""

    def reset(self) -> None:
        """Forgets the last episode."""
        ...

    def decide(self, observation: Observation) -> Action:
        """Returns the action to take after seeing `observation`."""
        ...


LIMIT_TOLERANCE = 1e-4  # [rad or opening]: float32 rounding of a target clamped at its limit


def check_action(spec: RobotSpec, action: Action) -> Action:
    """Returns `action` as float32 within the limits, or raises ActionError naming the joint.

    Nothing is clipped silently: a target that is really outside is the agent's mistake.
    """
    action = np.asarray(action)
    if action.shape != (spec.action_dim,):
        raise ActionError(
            f"{spec.name} takes actions of shape ({spec.action_dim},), got {action.shape}; "
            "pass one step of an action chunk, not the whole chunk"
        )
    for joint, target in zip(spec.joints, action.tolist(), strict=True):
        # Written so that a NaN fails it too.
        if not joint.low - LIMIT_TOLERANCE <= target <= joint.high + LIMIT_TOLERANCE:
            raise ActionError(
                f"{spec.name}, {joint.name}: target {target:.4f} {joint.unit} is outside "
                f"[{joint.low:.4f}, {joint.high:.4f}]"
            )
    return np.clip(action, spec.low, spec.high).astype(np.float32)
