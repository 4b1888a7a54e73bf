"""How a person shows an arm what to do, and corrects it: one device per file."""

from demoloop.teleop.errors import TeleopError
from demoloop.teleop.grip import GripLimit
from demoloop.teleop.held_leader import HeldLeader
from demoloop.teleop.leader import Leader
from demoloop.teleop.takeover import Takeover, Teleoperator, marking

__all__ = [
    "GripLimit",
    "HeldLeader",
    "Leader",
    "Takeover",
    "TeleopError",
    "Teleoperator",
    "marking",
]
