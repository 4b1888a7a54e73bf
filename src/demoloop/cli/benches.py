"""Where a session works: a simulated arm in real time, or one that is supervised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from demoloop.cli.robots import Opened
from demoloop.robot import Observation, Robot
from demoloop.sim.make import make_robot
from demoloop.sim.robot import SimRobot
from demoloop.sim.window import Window
from demoloop.teleop.bench import Pictures


class Seeds:
    """Seeds one after another, of which each may be had again: for a robot that takes the next."""

    def __init__(self, seeds: Iterable[int]) -> None:
        self.is_again = False  # whether the last one is wanted once more
        self.last: int | None = None
        self._seeds = iter(seeds)

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if self.last is None or not self.is_again:
            self.last = next(self._seeds)
        return self.last


class SimBench:
    """A simulated arm, which a person moves in real time. `with SimBench(task, seeds) as bench`."""

    shows_actions = True
    events: tuple[str, ...] = ()
    state = ""

    def __init__(self, task: str, seeds: Iterable[int]) -> None:
        """Builds the world."""
        self._seeds = Seeds(seeds)
        self._robot = make_robot(task, self._seeds)
        self._window = Window(self._robot)
        self._fault = ""

    def __enter__(self) -> SimBench:
        return self

    def __exit__(self, *_: object) -> None:
        self._robot.close()

    @property
    def robot(self) -> SimRobot:
        """Who moves."""
        return self._robot

    @property
    def fault(self) -> str:
        """Who stopped it; empty while nobody has."""
        return self._fault

    def prepare(self, *, again: bool) -> int | None:
        """Starts the world of the next seed, or of the last one once more."""
        self._seeds.is_again = again
        self._robot.reset()
        return self._robot.seed

    def hold(self) -> None:
        """Nothing: without an action no time passes."""

    def held(self) -> AbstractContextManager[None]:
        """Likewise."""
        return nullcontext()

    def estop(self, reason: str) -> None:
        """Nothing is sent any more."""
        self._fault = f"stopped: {reason}"

    def recover(self) -> None:
        """Goes on from where it stopped."""
        self._fault = ""

    def succeeded(self) -> bool:
        """What physics says."""
        return self._robot.succeeded()

    def pictures(self, observation: Observation) -> Callable[[], Pictures]:
        """Draws what the action has brought about, larger than a policy sees it."""
        return self._window.snapshot()


@dataclass
class SupervisedBench:
    """An emulated or a real arm, opened by whoever made this."""

    opened: Opened
    seeds: Seeds | None = None
    """Those that the world of an emulated arm takes from."""

    shows_actions = False

    @property
    def robot(self) -> Robot:
        """Who moves."""
        return self.opened.robot

    @property
    def state(self) -> str:
        """Of the supervisor."""
        return self.opened.supervised.state

    @property
    def fault(self) -> str:
        """What is latched."""
        fault = self.opened.supervised.fault
        return "" if fault is None else fault.sentence

    @property
    def events(self) -> tuple[str, ...]:
        """The calibration, and how the cameras are set."""
        return self.opened.events

    def prepare(self, *, again: bool) -> int | None:
        """Goes home, and has an emulated world put in order."""
        if self.seeds is not None:
            self.seeds.is_again = again
        self.opened.robot.reset()
        return None if self.opened.world is None else self.opened.world.seed

    def hold(self) -> None:
        """Slows down and stays."""
        if self.opened.supervised.state in ("ARMED", "RUNNING"):
            self.opened.supervised.hold()

    def held(self) -> AbstractContextManager[None]:
        """Holds, looked at by another thread."""
        return self.opened.held()

    def estop(self, reason: str) -> None:
        """Torque off at once."""
        self.opened.supervised.estop(reason)

    def recover(self) -> None:
        """A person has looked at the arm: torque on again, where it is."""
        supervised = self.opened.supervised
        if supervised.fault is not None:
            supervised.reset_fault()
        if supervised.state == "IDLE":
            supervised.arm()

    def succeeded(self) -> bool | None:
        """What physics says; None on a desk."""
        return self.opened.succeeded()

    def pictures(self, observation: Observation) -> Callable[[], Pictures]:
        """Shows what the robot saw."""
        return lambda: observation.images
