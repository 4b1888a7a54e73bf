"""Robots as `demoloop host` offers them: each a `Hosted`, on the clock of this computer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from demoloop.cli.robots import Opened
from demoloop.robot import Action, Observation, RobotSpec, check_action
from demoloop.robot.safety import SafetyError

if TYPE_CHECKING:
    from demoloop.sim.robot import SimRobot


class Worlds:
    """Seeds that count up; whoever drives may ask for another, and they count on from there."""

    def __init__(self, first: int) -> None:
        self._next = first

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self._next += 1
        return self._next - 1

    def begin(self, seed: int | None) -> None:
        """Has the next world be that of `seed`; None: the one whose turn it is."""
        if seed is not None:
            self._next = seed


class HostedArm:
    """An arm with motors, on the desk or emulated: `Supervised` inside, and everything through it.

    Args:
        opened: Armed.
        worlds: Those that an emulated one takes from; None for an arm on the desk.
    """

    def __init__(self, opened: Opened, worlds: Worlds | None = None) -> None:
        self._opened, self._supervised, self._worlds = opened, opened.supervised, worlds

    @property
    def spec(self) -> RobotSpec:
        """Of the arm."""
        return self._opened.robot.spec

    @property
    def state(self) -> str:
        """Of its supervisor."""
        return self._supervised.state

    @property
    def fault(self) -> str:
        """What its supervisor has latched."""
        return self._opened.fault

    def succeeded(self) -> bool | None:
        """The emulated world tells."""
        return self._opened.succeeded()

    def observe(self) -> Observation:
        """Looks, and has it judged."""
        return self._opened.robot.observe()

    def act(self, action: Action) -> Action:
        """Sends what the supervisor lets through."""
        return self._opened.robot.act(action)

    def hold(self) -> None:
        """Slows down and stays; one in FAULT has stopped in its own way."""
        if self._supervised.state == "RUNNING":
            self._supervised.hold()

    def reset(self, seed: int | None) -> None:
        """Goes home; an emulated one to its next world."""
        if self._worlds is not None:
            self._worlds.begin(seed)
        self._opened.robot.reset()

    def arm(self) -> None:
        """Torque on, where it has none."""
        if self._supervised.state not in ("ARMED", "RUNNING"):
            self._supervised.arm()

    def reset_fault(self) -> None:
        """FAULT to IDLE, torque off."""
        self._supervised.reset_fault()

    def estop(self, reason: str) -> None:
        """Torque off at once; from any thread."""
        self._supervised.estop(reason)


class HostedSim:
    """A simulated arm whose time passes as real time does: one step of physics per look.

    Args:
        robot: Acts as often as it is looked at (`acting_hz`).
        worlds: Those that it takes from.
    """

    def __init__(self, robot: SimRobot, worlds: Worlds) -> None:
        self._robot, self._worlds = robot, worlds
        self._stopped = ""  # why it is in FAULT
        self._target = np.zeros(robot.spec.action_dim, np.float32)
        self._taken: dict[str, tuple[float, float]] = {}  # camera -> simulated, real time of it [s]

    @property
    def spec(self) -> RobotSpec:
        """Of the arm."""
        return self._robot.spec

    @property
    def state(self) -> str:
        """FAULT after an emergency stop; else it is always ready."""
        return "FAULT" if self._stopped else "ARMED"

    @property
    def fault(self) -> str:
        """Why it was stopped."""
        return self._stopped

    def succeeded(self) -> bool | None:
        """Physics tells."""
        return self._robot.succeeded()

    def observe(self) -> Observation:
        """Lets one step pass on the way to where it was sent, and looks."""
        self._robot.act(self._target)
        seen, now = self._robot.observe(), time.monotonic()
        for name, taken_at in seen.image_times.items():
            if name not in self._taken or self._taken[name][0] != taken_at:
                self._taken[name] = (taken_at, now - (seen.time - taken_at))
        times = {name: real for name, (_, real) in self._taken.items()}
        return Observation(now, seen.proprioception, seen.images, times, seen.goal)

    def act(self, action: Action) -> Action:
        """Goes there from the next look on; raises SafetyError while it is stopped."""
        if self._stopped:
            raise SafetyError(f"{self.spec.name} is in FAULT: {self._stopped}")
        self._target = check_action(self.spec, action)
        return self._target

    def hold(self) -> None:
        """Stays where it was sent last: servos hold by themselves."""

    def reset(self, seed: int | None) -> None:
        """Begins the world of `seed`, else of the next one."""
        self._worlds.begin(seed)
        self._robot.reset()
        self._stopped = ""
        self._taken.clear()
        home = self._robot.positions().clip(self.spec.low, self.spec.high)
        self._target = home.astype(np.float32)

    def arm(self) -> None:
        """It always is."""

    def reset_fault(self) -> None:
        """It may move again."""
        self._stopped = ""

    def estop(self, reason: str) -> None:
        """Stays where it is, and takes no action any more."""
        self._stopped = f"e-stop ({reason}); reset the fault, or the episode"
