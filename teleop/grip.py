"""How hard a follower's gripper may close, when the hand that leads it feels nothing."""

from __future__ import annotations

from collections.abc import Callable

from demoloop.robot.arm import Health

MAX_LOAD = 0.25
"""Share of the gripper's full drive: it holds a cube, and does not burn in a minute of holding."""
_STILL = 0.03  # openings/s; a gripper that moves spends its load on moving
_MARGIN = 0.02  # of the opening that is left to squeeze with; 2 degrees of an SO-101's jaw


class GripLimit:
    """Stops closing where something is held, until the hand opens beyond that.

    A position servo pulls the harder the farther its target is inside of what it holds; a hand on
    a leader closes all the way. So the target stays where the load reached its limit.

    Args:
        health: The follower's; the load of the last joint is read.
        max_load: Share of the full drive.
    """

    def __init__(self, health: Callable[[], Health], max_load: float = MAX_LOAD) -> None:
        self._health, self._max_load = health, max_load
        self.reset()

    def reset(self) -> None:
        """Holds nothing."""
        self._floor = 0.0  # opening below which the target must not be

    def limit(self, target: float, opening: float, velocity: float) -> float:
        """Returns the opening to command.

        Args:
            target: What the hand wants.
            opening: Where the gripper is.
            velocity: How quickly it moves [1/s].
        """
        load = abs(float(self._health().load[-1]))  # not a number, where none came: no new limit
        if target > self._floor + _MARGIN:
            self._floor = 0.0
        if target < opening and load > self._max_load and abs(velocity) < _STILL:
            self._floor = max(self._floor, opening - _MARGIN)
        return max(target, self._floor)
