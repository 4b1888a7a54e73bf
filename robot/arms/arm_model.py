"""What is known of one kind of arm: what a driver, a calibration or an emulator asks about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from demoloop.robot.arms.servo_map import ServoMap
from demoloop.robot.spec import RobotSpec


@dataclass(frozen=True)
class Place:
    """Somewhere a person can bring a joint by hand, and where the joint then is."""

    position: float  # [rad], or an opening for a gripper
    words: str  # what the person is told, as in "turn the arm to its left until it stops"


@dataclass(frozen=True)
class JointGuide:
    """Two places of a joint: from them follow its zero, its direction and whether it is whole."""

    joint: str
    first: Place
    second: Place
    are_stops: bool = False  # the joint goes no further; else the places are found by eye


@dataclass(frozen=True)
class ArmModel:
    """One kind of arm.

    A joint's zero is that of the MJCF. The gripper's MJCF joint goes from closed to open, which
    the spec counts as 0 .. 1; the MJCF's actuators, and its first joints, are in the spec's order.
    """

    spec: RobotSpec
    mjcf: Path
    servos: ServoMap  # as the plans say it is built; a calibration measures what it really is
    home: tuple[float, ...]  # [unit of each joint] where an episode begins: bent, looking down
    rest: tuple[float, ...]  # [unit of each joint] where torque may go off: folded, nothing falls
    guides: tuple[JointGuide, ...]  # one per joint, in the spec's order

    @property
    def stops(self) -> dict[str, tuple[float, float]]:
        """Joint -> where it stops [rad]: a little beyond the spec's limits, which keep off it."""
        return {
            guide.joint: (guide.first.position, guide.second.position)
            for guide in self.guides
            if guide.are_stops
        }
