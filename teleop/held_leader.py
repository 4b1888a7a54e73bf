"""A leader that stays where the hand leaves it, instead of falling on the table."""

from __future__ import annotations

from types import TracebackType

import numpy as np

from demoloop.robot import Observation, RobotSpec
from demoloop.robot.arm import Arm

TORQUE = 0.15
"""Share of the full torque: about 0.3 N m of an STS3215 at 7.4 V. It carries folded links, not a
stretched arm, and a finger can push it. [not tried on a real leader]"""
YIELDS = 0.05
"""rad, and openings: pushed further than this a joint stays where it was pushed to. More than a
servo sags under what it can carry (0.29 N m over 8.9 N m/rad at P = 16), or it would creep down."""


class HeldLeader:
    """Reads like the arm inside it, whose motors hold each pose weakly and spring the gripper open.

    `with HeldLeader(arm) as leader: run_episode(robot, Leader(leader, robot.spec), …)`

    Feetech STS servos have no current mode, so a torque cap with a goal that follows the hand
    stands in for gravity compensation.
    """

    def __init__(self, arm: Arm, torque: float = TORQUE, *, springs_open: bool = True) -> None:
        """Stores.

        Args:
            arm: The leader, connected.
            torque: Share of the full torque.
            springs_open: Whether the gripper opens when the finger lets go.
        """
        self._arm, self._torque, self._springs_open = arm, torque, springs_open

    @property
    def spec(self) -> RobotSpec:
        """That of the leader."""
        return self._arm.spec

    def __enter__(self) -> HeldLeader:
        """Switches weak motors on, where they are."""
        self._arm.limit_torque(self._torque)  # first, or they would pull at full strength
        self._goal = self._arm.observe().proprioception[: self.spec.action_dim].copy()
        self._arm.enable_torque()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Switches them off; the leader sinks."""
        self._arm.disable_torque()
        self._arm.limit_torque(1.0)

    def observe(self) -> Observation:
        """Reads the joints, and lets the motors hold where the hand has brought them."""
        observation = self._arm.observe()
        positions = observation.proprioception[: self.spec.action_dim]
        is_pushed = np.abs(positions - self._goal) > YIELDS
        self._goal = np.where(is_pushed, positions, self._goal)
        if self._springs_open and self.spec.joints[-1].unit == "opening":
            self._goal[-1] = 1.0
        self._goal = np.clip(self._goal, self.spec.low, self.spec.high).astype(np.float32)
        self._arm.act(self._goal)
        return observation
