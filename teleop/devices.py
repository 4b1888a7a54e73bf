"""The teleoperators that are driven through `Inputs`: one file each, and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from demoloop.robot.arms import ArmModel
from demoloop.teleop.cartesian import Cartesian
from demoloop.teleop.gamepad import Gamepad
from demoloop.teleop.inputs import Inputs
from demoloop.teleop.keyboard import Keyboard
from demoloop.teleop.phone import Phone
from demoloop.teleop.spacemouse import SpaceMouse

TELEOPERATORS: Mapping[str, Callable[[Inputs, ArmModel], Cartesian]] = {
    "keyboard": lambda inputs, arm: Cartesian(Keyboard(inputs, arm.spec), arm),
    "gamepad": lambda inputs, arm: Cartesian(Gamepad(inputs), arm),
    "phone": lambda inputs, arm: Cartesian(Phone(inputs), arm),
    "spacemouse": lambda inputs, arm: Cartesian(SpaceMouse(inputs), arm),
}
"""Device -> what moves an arm as the device's states in `Inputs` say."""
