"""Motion within the range, velocity and acceleration of every joint, at any tick rate.

Numpy alone, and no clock of its own: time is handed in. Whoever makes commands follows a reference
with it (deploy/motion.py), and the safety of an arm does so again, whoever commands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from demoloop.robot.interface import Action
from demoloop.robot.spec import RobotSpec

Vector = NDArray[np.float64]

_STALL_PERIODS = 2.5  # without a tick for longer, the arm has come to rest where it was sent last


class Limiter:
    """Follows a reference within each joint's range, velocity and acceleration.

    Velocity and acceleration are those of the commands: (p' - p) / dt and (v' - v) / dt. It never
    goes faster than it could still stop from, before a limit of the joint as well as before a
    reference at rest; that holds for any dt, since it reckons with the stopping distance
    v^2 / 2a, which no sequence of ticks exceeds.

    Args:
        spec: Whose limits to keep.
    """

    def __init__(self, spec: RobotSpec) -> None:
        self.low, self.high = spec.low.astype(np.float64), spec.high.astype(np.float64)
        self.max_velocity = np.array([joint.max_velocity for joint in spec.joints])
        self.max_acceleration = np.array([joint.max_acceleration for joint in spec.joints])
        self.position: Vector = np.zeros(spec.action_dim)  # commanded [unit]
        self.velocity: Vector = np.zeros(spec.action_dim)  # of the last tick [unit/s]
        self.time = 0.0  # s, of the last tick
        self._stall_s = _STALL_PERIODS / spec.control_hz

    def start(self, position: Action | Vector, time: float) -> None:
        """Begins at rest at `position` (action_dim,), which is put within the limits."""
        self.position = np.clip(position, self.low, self.high).astype(np.float64)
        self.velocity = np.zeros_like(self.position)
        self.time = time

    def follow(self, target: Vector, velocity: Vector, time: float) -> Vector:
        """Moves on to `time` after a reference that is at `target` and moves at `velocity`.

        Returns:
            The position (action_dim,) to command.
        """
        dt = self._advance(time)
        if dt <= 0:
            return self.position
        # Seen from the reference: how far it was away at the last tick, had it moved evenly.
        distance = target - velocity * dt - self.position
        return self._move(velocity + np.sign(distance) * self._stoppable(abs(distance), dt), dt)

    def brake(self, time: float) -> Vector:
        """Moves on to `time`, slowing down as quickly as is allowed; returns the position."""
        dt = self._advance(time)
        return self._move(np.zeros_like(self.velocity), dt) if dt > 0 else self.position

    def _advance(self, time: float) -> float:
        dt = time - self.time
        if dt <= 0:  # the same tick again
            return 0.0
        self.time = time
        if dt > self._stall_s:
            # The servos reached the last command long ago: go on from rest, and not by a leap.
            self.velocity = np.zeros_like(self.velocity)
            return self._stall_s
        return dt

    def _stoppable(self, distance: Vector, dt: float) -> Vector:
        """Returns the greatest v with v dt + v^2 / 2a <= distance, written for small distances."""
        root = np.sqrt(dt * dt + 2 * distance / self.max_acceleration)
        stoppable: Vector = 2 * distance / (dt + root)
        return stoppable

    def _move(self, wanted: Vector, dt: float) -> Vector:
        change = self.max_acceleration * dt
        # The range counts first: from every state this keeps, braking stays within `change`.
        lowest = np.maximum(-self.max_velocity, -self._stoppable(self.position - self.low, dt))
        highest = np.minimum(self.max_velocity, self._stoppable(self.high - self.position, dt))
        wanted = np.clip(wanted, self.velocity - change, self.velocity + change)
        self.velocity = np.clip(wanted, lowest, highest)
        self.position = np.clip(self.position + self.velocity * dt, self.low, self.high)
        return self.position
