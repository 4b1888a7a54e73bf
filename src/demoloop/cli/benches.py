"""Where a session works: a simulated arm in real time, or one that is supervised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoloop.cli.arm_address import EMULATED, parse_arm
from demoloop.cli.robots import SIM, Opened, check_emulated, open_emulated, open_real
from demoloop.robot import Marked, Marks, Observation, Robot, RobotError
from demoloop.robot.arms import ArmModel
from demoloop.robot.arms.so101 import ARM, SO101
from demoloop.robot.cameras import OpenCapture, open_capture
from demoloop.robot.marked import check_goal
from demoloop.sim.make import make_robot, marks_of
from demoloop.sim.robot import SimRobot
from demoloop.sim.tasks import TASKS
from demoloop.sim.window import HEIGHT, WIDTH, Window
from demoloop.teleop.bench import Bench, Pictures

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


@dataclass
class SupervisedBench:
    """An emulated or a real arm, opened by whoever made this."""

    opened: Opened
    seeds: Seeds | None = None
    """Those that the world of an emulated arm takes from."""
    marked: Marked | None = None
    """The arm with what a person points at; None where the world says it, or nobody."""

    shows_actions = False
    _goal: NDArray[np.float32] | None = None

    @property
    def robot(self) -> Robot:
        """Who moves."""
        return self.marked or self.opened.robot

    def begin(self) -> None:
        """What is marked counts."""
        if self.marked is not None:
            self.marked.latch()
            check_goal(self.marked.observe().goal, self.marked.marks)

    @property
    def marks(self) -> Marks | None:
        """What there is to point at."""
        if self.opened.world is not None:
            return marks_of(self.opened.world.task)
        return None if self.marked is None else self.marked.marks

    @property
    def pointed(self) -> Mapping[str, tuple[float, float]]:
        """What is marked, or what the world means."""
        if self.marked is not None:
            return self.marked.pointed
        return {} if self.marks is None else _named(self.marks, self._goal)

    def point(self, name: str, x: float, y: float) -> None:
        """Marks a point, for the next episode."""
        if self.marked is None:
            raise RobotError(_NOTHING if self.opened.world is None else _JUDGED)
        self.marked.point(name, x, y)

    @property
    def hz(self) -> float:
        """The control rate."""
        return self.robot.spec.control_hz

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
        self._goal = observation.goal
        return lambda: observation.images


def _named(marks: Marks, goal: NDArray[np.float32] | None) -> dict[str, tuple[float, float]]:
    if goal is None:
        return {}
    return {name: (x, y) for name, (x, y) in zip(marks.names, goal.tolist(), strict=True)}


@contextmanager
def open_bench(
    robot: str,
    task: str,
    seeds: Iterable[int],
    cameras: str = "",
    calibration: Path | None = None,
    *,
    opens: OpenCapture = open_capture,
) -> Iterator[Bench]:
    """Opens the robot that `--robot` names: sim, so101:emulated, or ARM:PORT.

    Args:
        robot: As in `--robot`.
        task: Of the world, where there is one.
        seeds: Likewise.
        cameras: Of an arm at a port, as in `--cameras`.
        calibration: Likewise.
        opens: Another way to open a camera.

    Raises:
        RobotError: What is missing, busy, foreign or wrong; the arm at rest.
    """
    if robot == SIM:
        with SimBench(task, seeds) as bench:
            yield bench
    elif is_world(robot):
        taken = Seeds(seeds)
        with open_emulated(robot, task, taken) as opened:
            yield SupervisedBench(opened, taken)
    else:
        marks = marks_of(TASKS[task]) if task in TASKS else None
        with open_real(robot, cameras, calibration, opens=opens) as opened:
            yield SupervisedBench(
                opened, marked=None if marks is None else Marked(opened.robot, marks)
            )


def is_world(robot: str) -> bool:
    """Whether `--robot` names a world with a task and a judge, and not an arm on a desk.

    Raises:
        RobotError: It names no robot, or an emulated arm that no task is built around.
    """
    if robot == SIM:
        return True
    if parse_arm(robot)[1] != EMULATED:
        return False
    check_emulated(robot)
    return True


def arm_of(robot: str) -> ArmModel:
    """Returns which arm `--robot` names; the simulated one is the SO-101."""
    return ARM if robot == SIM else parse_arm(robot)[0]
