"""How a servo's set-point travels to its goal: within a speed and an acceleration."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt


@dataclass
class Profile:
    """A set-point that moves to a goal and arrives with no speed."""

    position: float  # rad
    velocity: float = 0.0  # rad/s

    def jump(self, position: float) -> None:
        """Starts again at `position`, at rest: what the servo does when its torque comes on."""
        self.position, self.velocity = position, 0.0

    def advance(self, goal: float, dt: float, speed: float, acceleration: float = inf) -> None:
        """Moves for `dt` [s] with at most `speed` [rad/s] and `acceleration` [rad/s^2]."""
        if dt <= 0:
            return
        way = goal - self.position
        # No quicker than what can still be braked before the goal.
        brake = sqrt(2 * acceleration * abs(way)) if acceleration < inf else inf
        wanted = min(speed, abs(way) / dt, brake)
        wanted = wanted if way >= 0 else -wanted
        change = acceleration * dt
        self.velocity += max(-change, min(change, wanted - self.velocity))
        step = self.velocity * dt
        is_there = abs(step) >= abs(way) and step * way >= 0
        if is_there and abs(self.velocity) <= abs(way) / dt + change:
            self.jump(goal)
        else:
            self.position += step
