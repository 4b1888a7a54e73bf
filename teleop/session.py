"""The recording session: what happens when while a person shows an arm what to do.

    moving -> ready -> countdown -> recording -> review -> moving -> …
    any of them -> fault (the robot has stopped), which only `reset` leaves

Whoever is heard (a page, a key, a gamepad's button, a gesture) says the same words, and every robot
is recorded by this code: what differs is its `Bench`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from demoloop.datasets import DatasetWriter
from demoloop.robot import Agent, DemoloopError, RobotSpec, WallClock, run_episode
from demoloop.teleop.bench import Bench
from demoloop.teleop.driver import Driver, OpenDevice
from demoloop.teleop.look import Listener, Phase, Shown
from demoloop.teleop.orders import Orders, Word
from demoloop.teleop.stage import Plan, Stage

_JUDGING: tuple[Word, ...] = ("keep", "success", "failure")
_ENDING: tuple[Word, ...] = ("stop", "left", "finish", *_JUDGING, "discard", "redo")


class Session:
    """`Session(…).run()` in the thread that owns the robot; `order` and `estop` from any.

    Attributes:
        bench: Where the robot is.
        plan: What it is for.
        driver: Who moves the arm.
    """

    def __init__(
        self,
        bench: Bench,
        opens: OpenDevice,
        plan: Plan,
        *,
        writer: DatasetWriter | None = None,
        policy: Agent | None = None,
        stop: threading.Event | None = None,
        clock: WallClock | None = None,
    ) -> None:
        """Stores.

        Args:
            bench: Where the robot is.
            opens: Opens the devices of the plan.
            plan: What it is for.
            writer: Of the dataset; None: nothing is recorded.
            policy: Works until the person takes over; None: the person works.
            stop: Ends it, as `finish` does.
            clock: Another than the system's.
        """
        self.bench, self.plan = bench, plan
        self._clock = clock or WallClock()
        self.driver = Driver(opens, bench.robot.spec, self._clock, policy)
        self._orders = Orders(stop or threading.Event())
        self._stage = Stage(bench, self.driver, plan, self._orders, writer, self._clock)
        self._teller = self._stage.teller

    # Said by anybody, in any thread.

    def listen(self, listener: Listener) -> None:
        """Shows the session from now on."""
        self._teller.listen(listener)

    def order(self, word: Word, text: str = "", by: str = "panel") -> None:
        """Says a word; it is heard between two steps, and passes unnoticed where it means nothing.

        Args:
            word: What shall be.
            text: For task, note and agent.
            by: Who said it; recorded with the episode.
        """
        self._orders.say(word, text, by)

    def estop(self, reason: str) -> None:
        """Stops the robot at once."""
        self.bench.estop(reason)

    @property
    def phase(self) -> Phase:
        """What goes on."""
        return self._teller.phase

    @property
    def spec(self) -> RobotSpec:
        """Of the robot."""
        return self._stage.spec

    @property
    def agents(self) -> tuple[str, ...]:
        """Devices one may choose between."""
        return self.plan.agents

    @property
    def device(self) -> str:
        """The one that is worked with."""
        return self.driver.name or self.plan.agents[0]

    @property
    def is_following(self) -> bool:
        """Whether the arm is to follow the device."""
        return self.driver.is_wanted

    @property
    def task(self) -> str:
        """What is shown, in a sentence."""
        return self._teller.task

    @property
    def can_retask(self) -> bool:
        """Whether a person may call it something else."""
        return not self.plan.fixes_task

    @property
    def results(self) -> tuple[Shown, ...]:
        """The episodes of this session that were judged."""
        return tuple(self._stage.results)

    # The loop.

    def run(self) -> None:
        """Works until the episodes that are wanted are there, or somebody says `finish`.

        What was shown and not judged by then is kept: it can be dropped later, not shown again.

        Raises:
            TeleopError: The first device cannot be opened.
        """
        phases: Mapping[Phase, Callable[[], Phase]] = {
            "moving": self._bring, "ready": self._wait, "countdown": self._count_down,
            "recording": self._record, "review": self._review, "fault": self._wait_for_reset,
        }  # fmt: skip
        with self.driver:
            with self.bench.held():  # a device may take its time, and an arm must be looked at
                self.driver.choose(self.plan.agents[0])
            phase: Phase = "moving"
            try:
                while phase != "finished":
                    self._teller.enter(phase)
                    try:
                        phase = phases[phase]()
                    except DemoloopError as error:
                        phase = self._fail(str(error))
            finally:
                if self._stage.take is not None:
                    self._stage.keep("keep")
                self._teller.enter("finished")

    def _bring(self) -> Phase:
        """Brings the robot to where an episode starts."""
        if self._stage.is_full():
            return "finished"
        self.driver.release()
        self._stage.prepare(again=self._stage.is_again)
        self._stage.is_again = True
        return "ready"

    def _wait(self) -> Phase:
        """Holds until somebody says start; whoever engages may practise meanwhile."""
        self._stage.hold()
        while True:
            for word in self._stage.tick(practises=self.driver.policy is None):
                if word == "start":
                    self._teller.problem = ""
                    return "countdown"
                if word in ("home", "finish"):
                    return "moving" if word == "home" else "finished"
            if self.bench.fault:
                return self._fail(self.bench.fault)

    def _count_down(self) -> Phase:
        """Gives the person time to get ready, with the robot where an episode starts."""
        if self._stage.has_moved:
            self._teller.enter("moving")
            self._stage.prepare(again=True)
            self._teller.enter("countdown")
        self._stage.hold()
        end = self._clock.now() + self.plan.countdown_s
        while (left := end - self._clock.now()) > 0:
            self._teller.countdown = left
            for word in self._stage.tick():
                if word in ("stop", "left", "discard"):
                    return "ready"
                if word == "finish":
                    return "finished"
            if self.bench.fault:
                return self._fail(self.bench.fault)
        return "recording"

    def _record(self) -> Phase:
        """Runs and records one episode."""
        stage = self._stage
        take = stage.begin()
        if take is None:
            return "ready"
        ended_by: list[Word] = []

        def is_over() -> bool:
            ended_by.extend(word for word in stage.hear() if word in _ENDING)
            return bool(ended_by or self.bench.fault or self.bench.succeeded() or take.problem)

        hz = self.bench.hz
        steps = max(1, round(self.plan.max_seconds * hz))
        try:
            run_episode(
                stage.robot, stage.agent, steps, stage.step, is_over=is_over, clock=self._clock,
                hz=hz,
            )  # fmt: skip
        finally:
            stage.end()
        if self.bench.fault:
            return self._fail(self.bench.fault)
        self.bench.hold()
        if "finish" in ended_by:
            return "finished"
        if self.plan.judges:
            stage.keep("keep")
            return "moving"
        for word in ended_by:  # whoever judges before it has stopped need not say it twice
            self._orders.say(word, "", "")
        return "review"

    def _review(self) -> Phase:
        """Holds until somebody says what becomes of the recording."""
        stage = self._stage
        assert stage.take is not None
        if stage.take.problem:  # a full disk; what could be written comes first
            stage.keep("keep")
            return "moving"
        self._teller.problem = ""
        while True:
            for word in stage.tick():
                if word in _JUDGING:
                    stage.keep(word)
                    return "moving"
                if word in ("discard", "redo"):
                    stage.drop()
                    stage.is_again = word == "redo"
                    return "moving"
                if word == "finish":
                    return "finished"
            if self.bench.fault:
                return self._fail(self.bench.fault)

    def _wait_for_reset(self) -> Phase:
        """Nothing moves until a person has looked at the robot and says so."""
        self.driver.release()
        with suppress(DemoloopError):  # one that has stopped needs no more holding
            self.bench.hold()
        while True:
            try:
                heard = self._stage.tick()
            except DemoloopError as error:  # it is not even to be seen, but people are heard
                self._fail(str(error))
                heard = self._stage.hear()
                self._teller.tell()
            for word in heard:
                if word == "finish":
                    return "finished"
                if word == "reset" and self._has_recovered():
                    self._teller.problem, self._stage.has_moved = "", True
                    return "ready" if self._stage.take is None else "review"

    def _has_recovered(self) -> bool:
        try:
            self.bench.recover()
        except DemoloopError as error:  # as before
            self._fail(str(error))
            return False
        return True

    def _fail(self, sentence: str) -> Phase:
        self._teller.problem = sentence
        return "fault"
