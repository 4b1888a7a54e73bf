"""The keyboard: keys that are held move the hand, or one joint."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from demoloop.robot import RobotSpec
from demoloop.teleop.inputs import Inputs
from demoloop.teleop.motion import Motion

SPEED, FINE_SPEED = 0.15, 0.04  # m/s: across the table in two seconds; a millimetre a tap
TURN, FINE_TURN = 1.2, 0.4  # rad/s
OPENING, FINE_OPENING = 1.2, 0.4  # 1/s
JOINT, FINE_JOINT = 0.8, 0.2  # rad/s, or openings/s

MAX_HELD = 16
_LONGEST_CODE = 32


class KeyboardState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which keys are down now, by their place on the board: `KeyboardEvent.code` of the DOM."""

    held: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.held) > MAX_HELD or any(len(code) > _LONGEST_CODE for code in self.held):
            raise ValueError(
                f"{len(self.held)} keys held; expected at most {MAX_HELD} codes of up to "
                f"{_LONGEST_CODE} letters, as in 'KeyW'"
            )


@dataclass(frozen=True)
class Key:
    """One row of what page, handbook and this file say about the keys."""

    code: str  # KeyboardEvent.code
    does: str  # said to a person
    moves: str = ""  # velocity, turning or opening; empty: none of them
    axis: int = 0  # of the vector
    sign: float = 0.0


KEYS = (
    Key("KeyW", "forward", "velocity", 0, 1.0),
    Key("KeyS", "back", "velocity", 0, -1.0),
    Key("KeyA", "left", "velocity", 1, 1.0),
    Key("KeyD", "right", "velocity", 1, -1.0),
    Key("KeyE", "up", "velocity", 2, 1.0),
    Key("KeyQ", "down", "velocity", 2, -1.0),
    Key("ArrowUp", "lift the fingertips", "turning", 0, 1.0),
    Key("ArrowDown", "lower the fingertips", "turning", 0, -1.0),
    Key("ArrowRight", "roll clockwise", "turning", 1, 1.0),
    Key("ArrowLeft", "roll counterclockwise", "turning", 1, -1.0),
    Key("KeyO", "open the gripper", "opening", 0, 1.0),
    Key("KeyP", "close the gripper", "opening", 0, -1.0),
    Key("ShiftLeft", "slowly and finely, while held"),
    Key("ShiftRight", "slowly and finely, while held"),
    *(
        Key(f"Digit{n}", f"joint {n}: the up and down arrows move it, while held")
        for n in range(1, 8)
    ),
)
"""The keys that move the arm; those that command the session are in teleop/commands.py."""


class Keyboard:
    """End-effector jog; with a digit held, joint jog of that joint.

    It has no modes that could be forgotten: everything follows from which keys are down.
    """

    name = "keyboard"

    def __init__(self, inputs: Inputs, spec: RobotSpec) -> None:
        """Stores."""
        self._inputs, self._spec = inputs, spec

    def read(self, time: float) -> Motion:
        """Returns what the keys held now say; without a sign of life from the page, released."""
        state = self._inputs.latest(self.name, KeyboardState)
        if state is None:
            return Motion()
        held = set(state.held)
        is_fine = bool(held & {"ShiftLeft", "ShiftRight"})
        pushed = {"velocity": np.zeros(3), "turning": np.zeros(2), "opening": np.zeros(1)}
        for key in KEYS:
            if key.moves and key.code in held:
                pushed[key.moves][key.axis] += key.sign
        jogged = [n for n in range(self._spec.action_dim) if f"Digit{n + 1}" in held]
        if jogged:
            joints = np.zeros(self._spec.action_dim)
            joints[jogged] = pushed["turning"][0] * (FINE_JOINT if is_fine else JOINT)
            return Motion(is_engaged=True, joints=joints)
        return Motion(
            is_engaged=True,
            velocity=pushed["velocity"] * (FINE_SPEED if is_fine else SPEED),
            turning=pushed["turning"] * (FINE_TURN if is_fine else TURN),
            opening_rate=float(pushed["opening"][0]) * (FINE_OPENING if is_fine else OPENING),
        )
