"""`demoloop operate page`: a run in the browser, with its cameras, its state and a big stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack

import cv2
import numpy as np
from numpy.typing import NDArray

from demoloop.cli.panel import announce
from demoloop.cli.panel_options import PanelOptions
from demoloop.cli.stopping import stop_on_signals
from demoloop.deploy.control import ALIVE_EVERY_S, Operator
from demoloop.deploy.errors import DeployError
from demoloop.deploy.notes import Mode, Status
from demoloop.deploy.telemetry import Sight, Viewer
from demoloop.robot import RobotSpec
from demoloop.teleop.inputs import Inputs
from demoloop.teleop.look import Listener, Look, Phase, Progress
from demoloop.teleop.orders import Orders, Word
from demoloop.teleop.web.panel import Panel
from demoloop.teleop.web.where import Where

_LOOK_S = 0.02  # an order waits no longer
_GONE_S = 2.0  # without news the run is over, or the way to it
_BLIND_S = 0.5  # without pictures, as between two episodes, what is known is shown without
_PHASES: Mapping[Mode, Phase] = {"go": "recording", "hold": "ready", "stopped": "fault"}
_VERBS: Mapping[Word, str] = {"start": "go", "stop": "hold", "left": "hold", "reset": "reset"}


def operate_by_page(
    operator: Operator, news: Viewer, pictures: Viewer, options: PanelOptions, timeout_s: float
) -> None:
    """Serves the page until Ctrl-C, until somebody says finish, or until the run is over.

    Args:
        operator: Gives the orders.
        news: Sees how the run is, at any time.
        pictures: Sees what the robot sees, during an episode.
        options: Of the page.
        timeout_s: How long the first news may take.

    Raises:
        DeployError: Nobody publishes there.
        TeleopError: The port cannot be had.
    """
    first = news.look(timeout_s)
    if first is None:
        raise DeployError(
            f"no run publishes at {news.endpoint} within {timeout_s:g} s, or its key list does "
            "not trust yours; `demoloop run` prints where it does"
        )
    with ExitStack() as opened:
        stop = opened.enter_context(stop_on_signals())
        run = Run(operator, news, pictures, first.status, stop)
        where = Where("run", options.port, options.host)
        panel = opened.enter_context(Panel(run, Inputs(), where))
        announce(panel, options)
        run.follow(panel)


class Run:
    """A run elsewhere, as a panel leads it: go is its recording, hold its ready, stopped its fault.

    A page that is closed holds it. While the page is there and has the focus the operator counts as
    present, for a run that needs one.
    """

    agents = ("policy",)
    device = "policy"
    is_following = False
    can_retask = False

    def __init__(
        self,
        operator: Operator,
        news: Viewer,
        pictures: Viewer,
        first: Status,
        stop: threading.Event,
    ) -> None:
        """Stores; `first` is what was heard first."""
        # Which cameras there are its pictures say, and a run that waits for us sends none yet.
        self.spec = RobotSpec(first.robot, (), (), first.guard_hz)
        self.task = first.policy
        self._operator, self._news, self._pictures = operator, news, pictures
        self._status = first
        self._seen_at = 0.0  # s, monotonic
        self._orders = Orders(stop)
        self._listeners: list[Listener] = []
        self._said = ""  # what came of the last order, when it was not done
        self._stops = False
        self._told: Progress | None = None

    def listen(self, listener: Listener) -> None:
        """Shows it from now on."""
        self._listeners.append(listener)
        self._told = None

    def order(self, word: Word, text: str = "", by: str = "panel") -> None:
        """Says a word."""
        self._orders.say(word, text, by)

    def estop(self, reason: str) -> None:
        """Stops the arm, within the next look."""
        self._stops = True

    def follow(self, panel: Panel) -> None:
        """Shows and leads the run until it is over."""
        heard_at, alive_at = time.monotonic(), 0.0
        while True:
            now = time.monotonic()
            if panel.is_attended and now >= alive_at:
                alive_at = now + ALIVE_EVERY_S
                self._operator.say_alive()
            if self._look():
                heard_at = now
            elif now - heard_at > _GONE_S:
                self._tell("finished", "the run is over, or the way to it is")
                return
            if self._stops:
                self._stops = False
                self._give("stop")
            for word, _, _ in self._orders.heard():
                if word == "finish":
                    self._tell("finished", "")
                    return
                if word in _VERBS:
                    self._give(_VERBS[word])
            self._tell(_PHASES[self._status.mode], self._problem())

    def _look(self) -> bool:
        """Shows what is new; returns whether anything was heard of the run."""
        news, seen = self._news.look(_LOOK_S), self._pictures.look(0.0)
        # An arm that is brought to its start says nothing, but the way to it answers.
        self._operator.status = None
        self._operator.hear(0.0)
        newest = seen or news
        if newest is None:
            return self._operator.status is not None
        self._status = newest.status
        now = time.monotonic()
        if seen is not None:
            self._seen_at = now
        if seen is not None or now - self._seen_at > _BLIND_S:
            look = look_of(newest)
            for listener in self._listeners:
                listener.look(look)
        return True

    def _give(self, verb: str) -> None:
        try:
            reply = self._operator.order(verb)
            self._said = "" if reply.is_done else reply.text
        except DeployError as error:
            self._said = str(error)

    def _problem(self) -> str:
        status = self._status
        return self._said or (status.reason if status.state in ("holding", "stopped") else "")

    def _tell(self, phase: Phase, problem: str) -> None:
        status = self._status
        progress = Progress(
            phase=phase, task=status.policy, notes=(), agent=self.device, kept=status.num_over,
            wanted=status.num_episodes, episodes=(), drops={}, problem=problem,
            armed=status.state,
        )  # fmt: skip
        if progress != self._told:
            self._told = progress
            for listener in self._listeners:
                listener.progress(progress)


def look_of(sight: Sight) -> Look:
    """Returns what a page is shown of one moment of a run."""
    status: Status = sight.status
    return Look(
        time=status.time,
        shows_until=0.0,
        phase=_PHASES[status.mode],
        step=status.num_ticks,
        seconds=max(0.0, status.time - status.began_at),
        countdown=None,
        joints=(),
        target=None,
        is_engaged=False,
        num_late=status.num_late,
        who="policy",
        status=f"{status.state}{f': {status.reason}' if status.reason else ''}",
        seen=None,
        draw=lambda: {name: picture(jpeg) for name, jpeg in sight.jpegs.items()},
    )


def picture(jpeg: bytes) -> NDArray[np.uint8]:
    """Returns a JPEG as (height, width, 3) RGB; a grey pixel for one that cannot be read."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return np.full((1, 1, 3), 128, np.uint8)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
