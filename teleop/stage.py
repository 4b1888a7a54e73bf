"""What every phase of a session does: look, listen, hold, keep."""

from __future__ import annotations

from dataclasses import dataclass

from demoloop.datasets import DatasetWriter
from demoloop.robot import (
    Action,
    DemoloopError,
    Observation,
    RobotError,
    RobotSpec,
    WallClock,
    check_action,
)
from demoloop.teleop.bench import Bench
from demoloop.teleop.by_hand import SeenHand
from demoloop.teleop.commands import meant_by
from demoloop.teleop.driver import Driver
from demoloop.teleop.look import Shown, Verdict
from demoloop.teleop.orders import WORDS, Orders, Word
from demoloop.teleop.pacing import AsItStands, Paced
from demoloop.teleop.take import Take
from demoloop.teleop.teller import Teller

_MOST_NOTES = 100  # of one recording
_VERDICTS: dict[bool | None, Verdict] = {True: "success", False: "failure", None: "kept"}


@dataclass(frozen=True)
class Plan:
    """What a session is for."""

    task: str
    """What is shown, in a sentence."""
    wanted: int
    """It ends when the dataset has so many episodes, or when so many were judged."""
    max_seconds: float
    """After which an episode ends by itself."""
    agents: tuple[str, ...]
    """Devices one may choose between; the first is the one it begins with."""
    countdown_s: float = 3.0
    """Time to take one's hands from the keys to the device."""
    judges: bool = False
    """Whether physics judges at once and nobody is asked; each episode then counts, and once."""
    fixes_task: bool = False
    """Whether the task is the world's, and not what a person calls it."""


class Stage:
    """A robot that is looked at step by step, and what is said and recorded meanwhile.

    Attributes:
        results: The episodes of this session that were judged.
        take: What is recorded, or waits to be judged.
        is_again: Whether the episode that comes is the last one once more.
        has_moved: Whether the robot is no longer where an episode starts.
    """

    def __init__(
        self,
        bench: Bench,
        driver: Driver,
        plan: Plan,
        orders: Orders,
        writer: DatasetWriter | None,
        clock: WallClock,
    ) -> None:
        """Stores."""
        self.bench, self.driver, self.plan = bench, driver, plan
        self.teller = Teller(bench, driver, plan.wanted, plan.task, clock)
        self.results: list[Shown] = []
        self.take: Take | None = None
        self.is_again = self.has_moved = False
        self.robot = AsItStands(bench.robot)
        every = round(bench.hz / bench.robot.spec.control_hz)
        self.agent = Paced(driver, every, clock)
        self._orders, self._writer, self._clock = orders, writer, clock
        self._seed: int | None = None
        self._seen: SeenHand | None = None  # when the recording began
        self._next_tick = 0.0  # s
        self.teller.kept = self._num_kept()

    @property
    def spec(self) -> RobotSpec:
        """Of the robot."""
        return self.robot.spec

    def begin(self) -> Take | None:
        """Opens the files of a recording; None when that fails, which is said."""
        take = Take(self._writer, task=self.teller.task, seed=self._seed, events=self.bench.events)
        try:
            self.bench.begin()
            take.__enter__()
        except DemoloopError as error:
            self.teller.problem = str(error)
            return None
        self.take, self.has_moved = take, True
        self._seen = self.driver.seen
        self.teller.begin(take)
        if self.driver.policy is None:
            self.driver.connect()
        return take

    def end(self) -> None:
        """The recording has ended; what physics says of it is kept, and how it looked."""
        assert self.take is not None
        self._note_hand(self.take)
        self.driver.release()
        self.take.success = self.bench.succeeded()
        self.teller.end(len(self.results) + 1)

    def is_full(self) -> bool:
        """Whether there is as much as was wanted."""
        done = len(self.results) if self._writer is None else self._num_kept()
        return done >= self.plan.wanted

    def prepare(self, *, again: bool) -> None:
        """Brings the robot to where the next episode starts, or the last one once more."""
        self._seed = self.bench.prepare(again=again)
        self.has_moved = False

    def hold(self) -> None:
        """The arm stays, and whoever engages begins from where it is."""
        self.driver.release()
        self.bench.hold()
        self.agent.reset()

    def tick(self, *, practises: bool = False) -> list[Word]:
        """Looks once, at the control rate; returns what was said."""
        self._next_tick = max(self._next_tick + 1.0 / self.bench.hz, self._clock.now())
        self._clock.sleep_until(self._next_tick)
        observation = self.robot.observe()
        if practises and self.driver.is_wanted:
            wanted = check_action(self.spec, self.agent.decide(observation))
            self.driver.sent(self.robot.act(wanted))
            self.has_moved = True
        self.teller.look(observation, self.agent.decided_at)
        heard = self.hear()
        if practises and self.driver.is_acting and not self.driver.is_wanted:
            self.hold()  # nobody acts any more
        self.teller.tell()
        return heard

    def step(self, observation: Observation, action: Action) -> None:
        """Hears one step of the recording."""
        assert self.take is not None
        self.driver.sent(action)
        if self.agent.is_new:
            self.take.hear(observation, action, is_takeover=self.driver.is_takeover)
        self.teller.look(observation, self.agent.decided_at)
        self.teller.tell()

    def hear(self) -> list[Word]:
        """Does what can be done in any phase, and returns the rest."""
        rest: list[Word] = []
        for gesture in self.driver.watch():
            for said in meant_by([gesture], self.teller.phase):
                if said == "estop":
                    self.bench.estop(f"gesture {gesture}")
                elif said in WORDS:
                    self._orders.say(said, "", f"gesture {gesture}")
        for x, y in self.driver.points():  # elsewhere a stretched finger is no wish
            aim, marks = self.teller.aim, self.bench.marks
            if aim and marks is not None and self.teller.phase == "ready":
                self._orders.say(
                    "mark", f"{aim} {x:.4f} {y:.4f} {marks.camera}", "gesture pointing"
                )
        for word, text, by in self._orders.heard():
            if self.take is not None and by:
                self.take.note(f"{by}: {word}{f' {text}' if text else ''}")
            if not self._do(word, text):
                rest.append(word)
        return rest

    def keep(self, word: Word) -> None:
        """Makes an episode of what was recorded; the arm holds meanwhile."""
        take = self.take
        assert take is not None
        success = take.success if word == "keep" else word == "success"
        problem = ""
        try:
            with self.bench.held():
                problem = take.keep(success)
        except RobotError as error:  # what happened to the arm meanwhile
            problem = problem or str(error)
        if take.num_steps:
            self._judged(take, _VERDICTS[success], success)
        self.take, self.is_again = None, False
        self.teller.problem = problem

    def drop(self) -> None:
        """Removes what was recorded."""
        take = self.take
        assert take is not None
        take.drop()
        self._judged(take, "discarded", None)

    def _do(self, word: Word, text: str) -> bool:
        """Does what does not change the phase; returns whether it was that."""
        driver, teller = self.driver, self.teller
        match word:
            case "engage":
                driver.engage()
            case "release":
                driver.release()
            case "take":
                driver.take()
            case "give_back":
                driver.give_back()
            case "note":
                teller.notes = (*teller.notes, text)[-_MOST_NOTES:]
            case "task":
                if self.plan.fixes_task:
                    teller.problem = f"the task of a simulated world stays {self.plan.task!r}"
                elif text.strip():
                    teller.task = text.strip()
            case "agent":
                self._choose(text)
            case "mark":
                name, x, y, camera = text.split(" ", 3)
                self._point(name, float(x), float(y), camera)
            case "aim":
                marks = self.bench.marks
                if marks is not None and text in marks.names:
                    teller.aim = text
            case "left":
                driver.release()
                return False  # and it ends what goes on
            case _:
                return False
        return True

    def _point(self, name: str, x: float, y: float, camera: str) -> None:
        """Marks a point, before an episode: in its middle it would change what is shown."""
        if self.teller.phase != "ready":
            self.teller.problem = "point before an episode begins, not in its middle"
            return
        marks = self.bench.marks
        if marks is not None and camera != marks.camera:
            self.teller.problem = f"point in the picture of {marks.camera}, not of {camera[:40]!r}"
            return
        try:
            self.bench.point(name, x, y)
            assert marks is not None
            self.teller.aim = marks.names[(marks.names.index(name) + 1) % len(marks.names)]
            self.teller.problem = ""
        except RobotError as error:
            self.teller.problem = str(error)

    def _note_hand(self, take: Take) -> None:
        """Notes how well the hand was seen: a demonstration without it is no good one."""
        seen = self.driver.seen
        if seen is None:
            return
        before = self._seen or SeenHand("none", 0.0, None, 0.0, "")
        num_pictures = seen.num_pictures - before.num_pictures
        take.note(f"hand in {seen.num_hands - before.num_hands} of {num_pictures} pictures")

    def _choose(self, name: str) -> None:
        """Takes another device, where nothing is under way."""
        if name not in self.plan.agents:
            self.teller.problem = (
                f"there is no {name[:20]!r} here; choose {', '.join(self.plan.agents)}"
            )
        elif self.teller.phase in ("countdown", "recording"):
            self.teller.problem = "stop the recording before you take another device"
        else:
            try:
                with self.bench.held():
                    self.driver.choose(name)
                self.teller.problem = ""
            except DemoloopError as error:
                self.teller.problem = str(error)

    def _judged(self, take: Take, verdict: Verdict, success: bool | None) -> None:
        number = len(self.results) + 1
        shown = Shown(number, take.seconds, take.num_steps, verdict, take.seed, success)
        self.results.append(shown)
        self.take = None
        self.teller.judged(tuple(self.results), self._num_kept())

    def _num_kept(self) -> int:
        return 0 if self._writer is None else self._writer.num_episodes
