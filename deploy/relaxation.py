"""What becomes of an arm's torque when it holds for long: motors that hold a load grow hot."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np

from demoloop.deploy.motion import Motion
from demoloop.robot import Robot

RELAXED_SHARE = 0.4
"""Of the full torque. Not 0: an arm without brakes would fall."""


@runtime_checkable
class Relaxable(Protocol):
    """The part of `robot.arm.Arm` that is needed here."""

    def limit_torque(self, share: float) -> None:
        """Lets no motor use more than this share (0 .. 1) of its full torque."""
        ...


class Relaxation:
    """Lowers the torque after a hold of some seconds, and raises it when the arm goes on.

    The arm may have given way by then, so the motion begins again where the joints are: raised
    torque must not snap them back to where they were sent before.

    Args:
        robot: Whose torque; one whose torque cannot be limited is left alone.
        after_s: How long it holds with full torque; None: for ever.
        now: s, monotonic.
    """

    def __init__(
        self, robot: Robot, after_s: float | None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.after_s = after_s
        self.is_relaxed = False
        self._robot = robot
        self._arm = robot if isinstance(robot, Relaxable) else None
        self._now = now
        self._since: float | None = None  # it holds

    def look(self, motion: Motion) -> None:
        """Called after each step, once its action was sent."""
        if motion.state not in ("holding", "stopped"):
            self._since = None
            # Not while it waits for the chunk: only that makes the motion begin anew.
            if self.is_relaxed and motion.state == "running":
                self._raise()
            return
        now = self._now()
        self._since = now if self._since is None else self._since
        if self._arm is None or self.after_s is None or self.is_relaxed:
            return
        if now - self._since >= self.after_s:
            self._arm.limit_torque(RELAXED_SHARE)
            self.is_relaxed = motion.has_yielded = True

    def recover(self) -> None:
        """Full torque again, before an episode begins: where the joints are now."""
        if self.is_relaxed:
            spec = self._robot.spec
            positions = self._robot.observe().proprioception[: spec.action_dim]
            self._robot.act(np.clip(positions, spec.low, spec.high))
            self._raise()

    def _raise(self) -> None:
        if self._arm is not None:
            self._arm.limit_torque(1.0)
        self.is_relaxed, self._since = False, None
