"""Who moves the arm in a session: a person with a device, or a policy that is corrected."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action, Agent, Observation, RobotSpec, WallClock
from demoloop.teleop.by_hand import SeenHand
from demoloop.teleop.clutch import Clutch
from demoloop.teleop.gestures import Name
from demoloop.teleop.takeover import Takeover, Teleoperator

OpenDevice = Callable[[str], AbstractContextManager[Teleoperator]]
"""Opens a device by its name; raises TeleopError when it is not there."""


@runtime_checkable
class Telling(Protocol):
    """A teleoperator that says in a sentence how it is."""

    status: str  # empty while there is nothing to say


@runtime_checkable
class Aiming(Protocol):
    """A teleoperator that leads the gripper to a point."""

    @property
    def target(self) -> NDArray[np.float64]:
        """Where the hand is sent, (3,) [m] in the frame of the robot's base."""
        ...


@runtime_checkable
class Gesturing(Protocol):
    """A teleoperator with a clutch of its own, worked by gestures that also lead the session."""

    def watch(self, time: float) -> list[Name]:
        """Looks, at each step; returns the gestures given since. `time` [s] as for `decide`."""
        ...

    def engage(self) -> None:
        """The arm follows."""
        ...

    def release(self) -> None:
        """The arm stays."""
        ...

    def points(self) -> list[tuple[float, float]]:
        """Returns where a finger pointed since last asked: shares of a picture, right and down."""
        ...

    @property
    def is_engaged(self) -> bool:
        """Whether it follows."""
        ...

    @property
    def seen(self) -> SeenHand:
        """What a page shows of the hand."""
        ...


class Driver:
    """An agent around a device behind a clutch, and perhaps a policy: `with Driver(…) as driver`.

    Attributes:
        name: Of the device.
    """

    def __init__(
        self, opens: OpenDevice, spec: RobotSpec, clock: WallClock, policy: Agent | None = None
    ) -> None:
        """Stores.

        Args:
            opens: Opens the devices.
            spec: Of the robot.
            clock: The person's.
            policy: Decides until the person takes over; None: the person decides.
        """
        self.name = ""
        self.policy = policy
        self._opens, self._clock = opens, clock
        self._held = ExitStack()
        self._device: Teleoperator | None = None
        self._clutch = Clutch(spec, clock)
        self._takeover = None if policy is None else Takeover(policy, self._clutch)

    def __enter__(self) -> Driver:
        """Has no device yet: `choose` one."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the device."""
        self._held.close()

    def choose(self, name: str) -> None:
        """Takes another device, released; raises TeleopError and keeps the old one."""
        if name == self.name:
            return
        opening = ExitStack()
        device = opening.enter_context(self._opens(name))
        self._held.close()
        self._held, self._device, self.name = opening, device, name
        self._clutch.connect(device)

    def connect(self) -> None:
        """The arm follows the device as soon as that wants to; one with a clutch is asked first."""
        self._clutch.engage()

    def engage(self) -> None:
        """The arm follows the device."""
        self._clutch.engage()
        if isinstance(self._device, Gesturing):
            self._device.engage()

    def release(self) -> None:
        """The arm stays, if it is not the policy that decides."""
        self._clutch.release()
        if isinstance(self._device, Gesturing):
            self._device.release()

    def watch(self) -> list[Name]:
        """Looks at the person, moving or not; returns the gestures they gave since."""
        if isinstance(self._device, Gesturing):
            return self._device.watch(self._clock.now())
        return []

    def points(self) -> list[tuple[float, float]]:
        """Returns where a finger pointed since last asked: shares of a picture, right and down."""
        return self._device.points() if isinstance(self._device, Gesturing) else []

    @property
    def seen(self) -> SeenHand | None:
        """What is seen of a hand; None for another device."""
        return self._device.seen if isinstance(self._device, Gesturing) else None

    def take(self) -> None:
        """The person corrects the policy."""
        if self._takeover is not None:
            self._takeover.take()
            self.engage()

    def give_back(self) -> None:
        """The policy goes on."""
        if self._takeover is not None:
            self._takeover.give_back()

    @property
    def is_wanted(self) -> bool:
        """Whether the device is to decide the next step, if no policy does."""
        return self._clutch.is_wanted

    @property
    def is_acting(self) -> bool:
        """Whether the device was asked for the last step."""
        return self._clutch.is_engaged

    @property
    def is_engaged(self) -> bool:
        """Whether the arm follows the person."""
        if isinstance(self._device, Gesturing) and not self._device.is_engaged:
            return False
        is_held = self._clutch.is_engaged and self._clutch.is_wanted
        return is_held and self.who == "person"

    @property
    def is_takeover(self) -> bool:
        """Whether a person decided the last step in place of a policy."""
        return self._takeover is not None and self._takeover.is_takeover

    @property
    def who(self) -> Literal["person", "policy"]:
        """Whose turn it is."""
        return "person" if self._takeover is None or self._takeover.is_takeover else "policy"

    @property
    def status(self) -> str:
        """What the device has to say."""
        return self._device.status if isinstance(self._device, Telling) else ""

    @property
    def target(self) -> tuple[float, ...] | None:
        """Where the hand is led to, (3,) m; None while it is not."""
        if not (isinstance(self._device, Aiming) and self.is_engaged):
            return None
        return tuple(self._device.target.tolist())

    def reset(self) -> None:
        """An episode begins."""
        (self._takeover or self._clutch).reset()

    def decide(self, observation: Observation) -> Action:
        """Returns what whoever's turn it is decides."""
        return (self._takeover or self._clutch).decide(observation)

    def sent(self, action: Action) -> None:
        """Hears what the robot was really sent."""
        self._clutch.sent(action)
        if self._takeover is not None:
            self._takeover.sent(action)
