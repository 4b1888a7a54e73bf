"""Where a session works: a simulated arm in real time, or one that is supervised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import NDArray

from demoloop.cli.robots import Opened
from demoloop.robot import Marked, Marks, Observation, Robot, RobotError
from demoloop.robot.arms.so101 import SO101
from demoloop.robot.marked import check_goal
from demoloop.sim.make import make_robot, marks_of
from demoloop.sim.robot import SimRobot
from demoloop.sim.window import HEIGHT, WIDTH, Window
from demoloop.teleop.bench import Pictures

_JUDGED = "the world itself says what is meant, since it is also the judge"
_NOTHING = "nothing is pointed at in this task"
_LOOKS = 2
"""In a control period: 50 pictures/s, which an eye takes for movement, and a key is seen sooner."""


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
        self.hz = _LOOKS * SO101.control_hz
        self._robot = make_robot(task, self._seeds, acting_hz=self.hz)
        self._window = Window(self._robot)
        self._fault = ""
        self._goal: NDArray[np.float32] | None = None
        self.marks = marks_of(self._robot.task)

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

    def begin(self) -> None:
        """Nothing: the world has said what is meant."""

    @property
    def pointed(self) -> Mapping[str, tuple[float, float]]:
        """What the world means."""
        if self.marks is None:
            return {}
        spec = self._robot.spec.camera(self.marks.camera)
        # As high, and wider than the policy's picture.
        wider = (WIDTH / HEIGHT) / (spec.width / spec.height)
        return {
            name: (0.5 + (x - 0.5) / wider, y)
            for name, (x, y) in _named(self.marks, self._goal).items()
        }

    def point(self, name: str, x: float, y: float) -> None:
        """Refuses: another goal would not be the one that is judged."""
        raise RobotError(_JUDGED)

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
        self._goal = observation.goal
        return self._window.snapshot()


class OnTable:
    """A bench whose robot lives in real time: who points at what, and what a page is shown of it.

    Attributes:
        marks: What there is to point at.
        is_world: Whether a world says what is meant; else a person does, on a desk.
    """

    shows_actions = False

    def __init__(self, robot: Robot, marks: Marks | None, *, is_world: bool) -> None:
        """Stores."""
        self.marks, self.is_world = marks, is_world
        self._marked = Marked(robot, marks) if marks is not None and not is_world else None
        self._robot = robot
        self._goal: NDArray[np.float32] | None = None

    @property
    def robot(self) -> Robot:
        """Who moves, and sees what a person points at."""
        return self._marked or self._robot

    @property
    def hz(self) -> float:
        """The control rate."""
        return self._robot.spec.control_hz

    def begin(self) -> None:
        """What is marked counts."""
        if self._marked is not None:
            self._marked.latch()
            check_goal(self._marked.observe().goal, self._marked.marks)

    @property
    def pointed(self) -> Mapping[str, tuple[float, float]]:
        """What is marked, or what the world means."""
        if self._marked is not None:
            return self._marked.pointed
        return {} if self.marks is None else _named(self.marks, self._goal)

    def point(self, name: str, x: float, y: float) -> None:
        """Marks a point, for the next episode."""
        if self._marked is None:
            raise RobotError(_JUDGED if self.is_world else _NOTHING)
        self._marked.point(name, x, y)

    def pictures(self, observation: Observation) -> Callable[[], Pictures]:
        """Shows what the robot saw."""
        self._goal = observation.goal
        return lambda: observation.images


class SupervisedBench(OnTable):
    """An emulated or a real arm, opened by whoever made this."""

    def __init__(self, opened: Opened, marks: Marks | None, seeds: Seeds | None = None) -> None:
        """Stores; `seeds`: those that the world of an emulated arm takes from."""
        super().__init__(opened.robot, marks, is_world=opened.world is not None)
        self._opened, self._seeds = opened, seeds

    @property
    def state(self) -> str:
        """Of the supervisor."""
        return self._opened.supervised.state

    @property
    def fault(self) -> str:
        """What is latched."""
        return self._opened.fault

    @property
    def events(self) -> tuple[str, ...]:
        """The calibration, and how the cameras are set."""
        return self._opened.events

    def prepare(self, *, again: bool) -> int | None:
        """Goes home, and has an emulated world put in order."""
        if self._seeds is not None:
            self._seeds.is_again = again
        self._opened.robot.reset()
        return None if self._opened.world is None else self._opened.world.seed

    def hold(self) -> None:
        """Slows down and stays."""
        if self._opened.supervised.state in ("ARMED", "RUNNING"):
            self._opened.supervised.hold()

    def held(self) -> AbstractContextManager[None]:
        """Holds, looked at by another thread."""
        return self._opened.held()

    def estop(self, reason: str) -> None:
        """Torque off at once."""
        self._opened.supervised.estop(reason)

    def recover(self) -> None:
        """A person has looked at the arm: torque on again, where it is."""
        supervised = self._opened.supervised
        if supervised.fault is not None:
            supervised.reset_fault()
        if supervised.state == "IDLE":
            supervised.arm()

    def succeeded(self) -> bool | None:
        """What physics says; None on a desk."""
        return self._opened.succeeded()


def _named(marks: Marks, goal: NDArray[np.float32] | None) -> dict[str, tuple[float, float]]:
    if goal is None:
        return {}
    return {name: (x, y) for name, (x, y) in zip(marks.names, goal.tolist(), strict=True)}
