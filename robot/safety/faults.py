"""What can go wrong with an arm, and what is done about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from demoloop.robot.errors import RobotError

State = Literal["DISCONNECTED", "IDLE", "ARMED", "RUNNING", "FAULT"]

Reaction = Literal["brake", "hold", "relax", "off"]
"""The later, the stronger. Brake: slow down within the limits, then hold softly. Hold: freeze where
the joints are, softly. Relax: let the torque sink to nothing. Off: torque off at once."""
STRENGTH: dict[Reaction, int] = {"brake": 0, "hold": 1, "relax": 2, "off": 3}

Kind = Literal[
    "command",  # not a number, of another shape, or outside a joint's range
    "jump",
    "heartbeat",
    "camera",
    "following",
    "stall",
    "temperature",
    "current",
    "voltage",
    "brown-out",
    "alarm",
    "silent",
    "torque",  # could not be switched off
    "watchdog",
    "e-stop",
]

REACTIONS: dict[Kind, Reaction] = {
    # The arm is well, whoever commands it is not.
    "command": "brake",
    "jump": "brake",
    "heartbeat": "brake",
    "camera": "brake",
    "watchdog": "brake",
    # The arm pushes against something, or part of it does not obey: stay, and do not push.
    "following": "hold",
    "stall": "hold",
    "voltage": "hold",
    "brown-out": "hold",
    "alarm": "hold",
    "silent": "hold",
    # Holding on is what harms it.
    "temperature": "relax",
    "current": "relax",
    "torque": "off",
    "e-stop": "off",
}


@dataclass(frozen=True)
class Fault:
    """Why an arm stopped. Latched: only a person's `reset_fault()` takes it back."""

    kind: Kind
    sentence: str  # what is wrong, by how much, and the next step
    time: float  # s, on the clock of the supervision
    joint: str = ""  # or the camera; empty when it is none in particular
    value: float = math.nan
    limit: float = math.nan
    reaction: Reaction = "hold"


def make_fault(
    kind: Kind,
    sentence: str,
    time: float,
    joint: str = "",
    value: float = math.nan,
    limit: float = math.nan,
) -> Fault:
    """Returns a fault with the reaction of its kind."""
    return Fault(kind, sentence, time, joint, value, limit, REACTIONS[kind])


@dataclass(frozen=True)
class Event:
    """One transition of a supervised arm, or a warning (`before` is `after`)."""

    time: float  # s, on the clock of the supervision
    before: State
    after: State
    sentence: str
    fault: Fault | None = None


class SafetyError(RobotError):
    """The arm does not do what it is asked, for its own or somebody's safety."""

    def __init__(self, sentence: str, fault: Fault | None = None) -> None:
        super().__init__(sentence)
        self.fault = fault
