"""Options of every verb that a bare hand can work; read without loading a web server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from demoloop.teleop.hand import HandDevice, View
from demoloop.teleop.hand_state import HandState
from demoloop.teleop.person import load_person, person_file


@dataclass(frozen=True)
class HandOptions:
    """Your bare hand before a camera."""

    view: View = "opposite"
    """opposite: you face the arm and the camera. behind: you stand behind the arm. above: the
    camera looks down on your hand."""
    roll: bool = True
    """Whether turning your hand in the picture turns the gripper."""

    def device(self, look: Callable[[], HandState | None]) -> HandDevice:
        """Returns the device for whoever practised last; raises TeleopError, damaged file."""
        person = load_person(person_file())
        return HandDevice(look, person=person, view=self.view, has_roll=self.roll)
