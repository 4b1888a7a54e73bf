"""What an arm with motors can do beyond a `Robot`: say how it is, and let go.

`Supervised` (robot/safety) is a robot around one of these; drivers of real arms implement it, and a
simulated one may.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from demoloop.robot.interface import Robot

Reading = NDArray[np.float64]


@dataclass(frozen=True)
class Health:
    """How the motors were at one instant. Readings are (action_dim,), NaN where none came."""

    time: float  # s, on the clock of the observations
    load: Reading  # share of the full drive, -1 .. 1
    current: Reading  # A
    voltage: Reading  # V
    temperature: Reading  # degrees Celsius
    torque: Reading  # 1 on, 0 off
    alarms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Joint -> what its servo complains of: overload, overheat, overcurrent, voltage, encoder."""
    silent: tuple[str, ...] = ()  # joints that did not answer this time


@runtime_checkable
class Arm(Robot, Protocol):
    """A robot whose motors can be switched on and off."""

    def connect(self) -> None:
        """Opens what it needs and checks that everything is there and as it should be.

        Moves nothing and switches no torque on.

        Raises:
            RobotError: What is missing, busy, foreign or wrong, and the next step.
        """
        ...

    def health(self) -> Health:
        """Returns how the motors were at the last `observe`; causes no traffic of its own."""
        ...

    def enable_torque(self) -> None:
        """Switches all motors on where they are: the goal is the present position first."""
        ...

    def disable_torque(self) -> tuple[str, ...]:
        """Switches every motor off that can be reached, whatever fails on the way.

        Returns:
            The joints that did not confirm it. Never raises.
        """
        ...

    def limit_torque(self, share: float) -> None:
        """Lets no motor use more than this share (0 .. 1) of its full torque."""
        ...
