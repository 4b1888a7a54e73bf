"""A bench for tests: a stick that goes where it is told, in counted time, and who directs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np

from demoloop.robot import (
    Action,
    CameraSpec,
    JointSpec,
    Marks,
    Observation,
    RobotError,
    RobotSpec,
    WallClock,
)
from demoloop.teleop import Teleoperator
from demoloop.teleop.bench import Pictures
from demoloop.teleop.look import Look, Progress
from demoloop.teleop.orders import Word
from demoloop.teleop.session import Session

SPEC = RobotSpec(
    "stick",
    (
        JointSpec("lean", -3.0, 3.0, 2.0, 10.0),
        JointSpec("gripper", 0.0, 1.0, 2.0, 10.0, "opening"),
    ),
    (CameraSpec("front", 32, 48),),
    20.0,
)
STEP = np.float32(0.01)  # rad; what a push moves the stick by, each time it decides


class CountedClock(WallClock):
    """Time that passes only by sleeping; `naps` real seconds each time, so that threads run."""

    def __init__(self, nap: Callable[[], None] = lambda: None) -> None:
        self.time = 100.0
        self._nap = nap

    def now(self) -> float:
        return self.time

    def sleep_until(self, deadline: float) -> None:
        self.time = max(self.time, deadline)
        self._nap()


class Stick:
    """A robot that is where it was sent."""

    spec = SPEC

    def __init__(self, now: Callable[[], float]) -> None:
        self.sent: list[Action] = []
        self.on_act: Callable[[int], None] = lambda count: None
        self.most = 3.0  # rad; it goes no further
        self.gone = ""  # why it cannot be looked at
        self.num_missed = 0  # looks meanwhile
        self._now = now
        self.reset()

    def reset(self) -> None:
        self.at = np.array([0.5, 1.0], np.float32)

    def observe(self) -> Observation:
        if self.gone:
            self.num_missed += 1
            assert self.num_missed < 500, "nobody is heard while it is gone"
            raise RobotError(self.gone)
        shade = int(self.at[0] * 100) % 256
        images = {"front": np.full((32, 48, 3), shade, np.uint8)}
        proprioception = np.concatenate([self.at, np.zeros(2, np.float32)])
        return Observation(self._now(), proprioception, images, {"front": self._now()})

    def act(self, action: Action) -> Action:
        self.on_act(len(self.sent) + 1)
        self.at = np.minimum(action, np.float32(self.most))
        self.sent.append(self.at)
        return self.at

    def close(self) -> None: ...


class StickBench:
    """Where a stick stands."""

    state = ""
    shows_actions = True

    def __init__(self, now: Callable[[], float], looks: int = 1) -> None:
        self.stick = Stick(now)
        self.hz = looks * SPEC.control_hz
        self.fault = ""
        self.prepared: list[bool] = []  # whether again
        self.solved_after: int | None = None  # acts
        self.num_held = 0
        self.events: tuple[str, ...] = ()

    @property
    def robot(self) -> Stick:
        return self.stick

    def prepare(self, *, again: bool) -> int | None:
        self.prepared.append(again)
        self.stick.reset()
        return 10_000 + self.prepared.count(False)

    marks: Marks | None = None

    def begin(self) -> None: ...

    @property
    def pointed(self) -> dict[str, tuple[float, float]]:
        return {}

    def point(self, name: str, x: float, y: float) -> None:
        raise RobotError("nothing is pointed at")

    def hold(self) -> None:
        self.num_held += 1

    def held(self) -> AbstractContextManager[None]:
        return nullcontext()

    def estop(self, reason: str) -> None:
        self.fault = f"stick stopped: {reason}"

    def recover(self) -> None:
        self.fault = self.stick.gone = ""

    def succeeded(self) -> bool | None:
        return None if self.solved_after is None else len(self.stick.sent) >= self.solved_after

    def pictures(self, observation: Observation) -> Callable[[], Pictures]:
        return lambda: observation.images


class Push:
    """A device that always pushes, from wherever it begins."""

    def __init__(self) -> None:
        self.begun: list[Action] = []
        self.status = ""

    def reset(self) -> None: ...

    def begin(self, commanded: Action) -> None:
        self.begun.append(commanded)
        self._target = commanded

    def decide(self, observation: Observation) -> Action:
        self._target = self._target + np.array([STEP, 0], np.float32)
        return self._target


@contextmanager
def opens_push(name: str) -> Iterator[Teleoperator]:
    """Opens a device called so; one called `broken` is not there."""
    if name == "broken":
        raise RobotError("broken is not plugged in")
    yield Push()


class Director:
    """A listener that says words when a phase begins, in the thread of the loop."""

    def __init__(self, session: Session, **lines: list[str]) -> None:
        self.lines = lines
        self.phases: list[str] = []
        self.problems: list[str] = []
        self.looks: list[Look] = []
        self.thumbnails: list[int] = []
        self.told: list[Progress] = []
        self.after: dict[int, str] = {}  # step of a recording -> what is said then
        self._session = session
        session.listen(self)

    def progress(self, progress: Progress) -> None:
        self.told.append(progress)
        if progress.problem and progress.problem not in self.problems:
            self.problems.append(progress.problem)
        if self.phases[-1:] == [progress.phase]:
            return
        self.phases.append(progress.phase)
        lines = self.lines.get(progress.phase, [])
        if lines:
            self.say(lines.pop(0))
        elif progress.phase in ("ready", "review", "fault"):
            self.say("finish")

    def look(self, look: Look) -> None:
        self.looks.append(look)
        assert len(self.looks) < 5000, "nobody ends this session"
        if look.phase == "recording" and look.step in self.after:
            self.say(self.after.pop(look.step))

    def thumbnail(self, number: int, draw: Callable[[], Pictures]) -> None:
        assert draw()["front"].shape == (32, 48, 3)
        self.thumbnails.append(number)

    def say(self, line: str) -> None:
        for said in filter(None, line.split(", ")):
            word, _, text = said.partition(":")
            if word == "estop":
                self._session.estop("test")
            else:
                words: dict[str, Word] = {word: word}  # type: ignore[dict-item]
                self._session.order(words[word], text)
