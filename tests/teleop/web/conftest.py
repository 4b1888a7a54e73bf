"""A panel over a stick, in real time, with a session in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest
from tests.teleop.bench import STEP, StickBench
from tests.teleop.web.wire import Wire

from demoloop.datasets import DatasetWriter
from demoloop.robot import Action, Observation
from demoloop.teleop import Teleoperator
from demoloop.teleop.bench import Bench
from demoloop.teleop.inputs import Inputs
from demoloop.teleop.keyboard import KeyboardState
from demoloop.teleop.session import Session
from demoloop.teleop.stage import Plan
from demoloop.teleop.tracking import Tracker
from demoloop.teleop.web.panel import Panel
from demoloop.teleop.web.where import Where

PLAN = Plan("Push.", 3, 60.0, ("keyboard", "lever"), countdown_s=0.1)


class Keys:
    """W held pushes the stick; silence, as with any device of a page, is letting go."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self.status = ""

    def reset(self) -> None: ...

    def begin(self, commanded: Action) -> None:
        self._target = commanded

    def decide(self, observation: Observation) -> Action:
        state = self._inputs.latest("keyboard", KeyboardState)
        if state is not None and "KeyW" in state.held:
            self._target = self._target + np.array([STEP, 0], np.float32)
        return self._target


class Lever(Keys):
    """Pushes whatever the page says, as a leader arm in somebody's hand does."""

    def decide(self, observation: Observation) -> Action:
        self._target = self._target + np.array([STEP, 0], np.float32)
        return self._target


class Show:
    """`with Show(root) as show: with show.page() as page: …`."""

    def __init__(
        self,
        root: Path | None = None,
        host: str = "",
        plan: Plan = PLAN,
        bench: Bench | None = None,
    ) -> None:
        self.bench = bench or StickBench(time.monotonic)
        self.inputs = Inputs()
        self.stop = threading.Event()
        self._root, self._host, self._plan = root, host, plan
        self._opened = ExitStack()

    def __enter__(self) -> Show:
        writer = None
        if self._root is not None:
            marks = self.bench.marks
            writer = self._opened.enter_context(
                DatasetWriter(self._root, self.bench.robot.spec, marks=marks)
            )
        self.session = Session(self.bench, self.opens, self._plan, writer=writer, stop=self.stop)
        where = Where("record", host=self._host, root=self._root)
        self.panel = self._opened.enter_context(Panel(self.session, self.inputs, where))
        self.address = self.panel.at.address
        self._thread = threading.Thread(target=self.session.run)
        self._thread.start()
        self._opened.callback(self._end)
        return self

    def opens(self, name: str) -> AbstractContextManager[Teleoperator]:
        """The keyboard, a lever, or the hand of a machine on which its tracker is not."""
        if name == "hand":
            return Tracker(folder=Path("nowhere"))  # type: ignore[return-value]
        return nullcontext({"keyboard": Keys, "lever": Lever}[name](self.inputs))

    def _end(self) -> None:
        self.stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def page(self, *, beats: bool = True) -> Wire:
        return Wire(self.address, beats=beats)

    @property
    def num_acts(self) -> int:
        assert isinstance(self.bench, StickBench)
        return len(self.bench.stick.sent)


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.01)


@pytest.fixture
def show() -> Iterator[Show]:
    """A panel over nothing that is recorded."""
    with Show() as shown:
        yield shown


@contextmanager
def recording(page: Wire) -> Iterator[Wire]:
    """A page that has started a recording."""
    page.until_phase("ready")
    page.command("start")
    page.until_phase("recording")
    yield page
