"""What a panel leads: a session here, or a run elsewhere."""

from __future__ import annotations

from typing import Protocol

from demoloop.robot import RobotSpec
from demoloop.teleop.look import Listener
from demoloop.teleop.orders import Word


class Led(Protocol):
    """Whatever says how it is and can be told words. Each method from any thread."""

    @property
    def spec(self) -> RobotSpec:
        """Of the robot."""
        ...

    @property
    def agents(self) -> tuple[str, ...]:
        """Devices one may choose between."""
        ...

    @property
    def device(self) -> str:
        """The one that is worked with."""
        ...

    @property
    def is_following(self) -> bool:
        """Whether the arm is to follow the device."""
        ...

    @property
    def task(self) -> str:
        """What is shown, in a sentence."""
        ...

    @property
    def can_retask(self) -> bool:
        """Whether a person may call it something else."""
        ...

    def listen(self, listener: Listener) -> None:
        """Shows it from now on."""
        ...

    def order(self, word: Word, text: str = "", by: str = "panel") -> None:
        """Says a word, which passes unnoticed where it means nothing."""
        ...

    def estop(self, reason: str) -> None:
        """Stops the robot at once."""
        ...
