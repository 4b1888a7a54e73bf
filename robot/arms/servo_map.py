"""Which servo moves which joint, and how its ticks count what the joint counts.

An arm's file writes the map as it is built; a calibration is the same map with what was measured on
one arm. Zero is a number here and never an offset in a servo: those reach half a turn only.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Literal

BusKind = Literal["feetech", "dynamixel"]


@dataclass(frozen=True)
class TickScale:
    """Ticks of one servo as the unit of its joint, and back."""

    zero_tick: float  # where the joint counts 0: 0 rad, or a closed gripper
    ticks_per_unit: float  # below zero where the servo counts the other way round
    middle_tick: float  # of what the joint can reach
    ticks_per_turn: int = 4096

    def to_joint(self, tick: float) -> float:
        """Returns the joint [rad or opening] where the servo reads `tick`.

        A servo that passed the end of its turn begins at 0 again, so whole turns are taken off
        until the reading is within half a turn of `middle_tick`.
        """
        turns = round((tick - self.middle_tick) / self.ticks_per_turn)
        return (tick - turns * self.ticks_per_turn - self.zero_tick) / self.ticks_per_unit

    def to_tick(self, joint: float) -> int:
        """Returns the tick at which the joint is at `joint` [rad or opening].

        Outside 0 .. ticks_per_turn - 1 lies what a servo in its position mode cannot go to.
        """
        return round(self.zero_tick + joint * self.ticks_per_unit)

    def to_joint_velocity(self, ticks_per_s: float) -> float:
        """Returns [rad/s or opening/s]."""
        return ticks_per_s / self.ticks_per_unit


@dataclass(frozen=True)
class ServoJoint:
    """One joint of a spec, and the servo that moves it."""

    name: str  # as in the spec
    id: int
    model: str  # of `robot/bus/registers.MODELS`
    sign: int = 1  # -1 where the servo counts down as the joint turns its positive way
    zero_tick: float = 2048  # at 0 rad
    closed_tick: float | None = None  # a gripper: where it is closed ..
    open_tick: float | None = None  # .. and where it is open; they replace sign and zero
    shadow_id: int | None = None  # a second servo on the same joint that obeys the id of the first
    torque_share: float = 1.0  # of its full torque, the most this servo ever uses
    ticks_per_turn: int = 4096

    @property
    def scale(self) -> TickScale:
        """How its ticks count the joint."""
        if self.closed_tick is not None and self.open_tick is not None:
            span = self.open_tick - self.closed_tick
            middle = self.closed_tick + span / 2
            return TickScale(self.closed_tick, span, middle, self.ticks_per_turn)
        per_rad = self.sign * self.ticks_per_turn / (2 * pi)
        return TickScale(self.zero_tick, per_rad, self.zero_tick, self.ticks_per_turn)


@dataclass(frozen=True)
class ServoMap:
    """The servos of one arm on one bus, in the order of its spec's joints."""

    bus: BusKind
    baud: int
    joints: tuple[ServoJoint, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids of the joints' servos, in the order of an action; shadows are not among them."""
        return tuple(joint.id for joint in self.joints)
