"""The guard's side of the io process: tells it what happens, and hears what operators order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from demoloop.deploy.channel import Gone
from demoloop.deploy.errors import DeployError
from demoloop.deploy.events import Detail, OnEvent
from demoloop.deploy.local_line import Line
from demoloop.deploy.note_line import NoteLine
from demoloop.deploy.notes import Event, FromIo, Order, Pulse, Reply, Say
from demoloop.deploy.relaxation import Relaxation
from demoloop.deploy.remote_agent import Permission, RemoteAgent
from demoloop.deploy.standing import Setting, Standing
from demoloop.deploy.translate import observation_message
from demoloop.deploy.vitals import Vitals
from demoloop.robot import Observation

IO_DIED = "the io process has died; the arm was brought to rest"
_PERIOD_S = 0.1  # of the status and of pictures for those who look on
_MAX_TEXT = 500  # characters of one detail


class Overseer(Protocol):
    """Who looks on while a robot runs, and may hold it."""

    @property
    def permission(self) -> Permission | None:
        """Says at each step whether the arm may move; None: always."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether the run must end, since nobody could hold it any more."""
        ...

    def begin(self, agent: RemoteAgent, relaxation: Relaxation) -> None:
        """A run begins, with these two."""
        ...

    def look(self, vitals: Vitals, observation: Observation | None = None) -> None:
        """Called with each tick, and without an observation between two episodes; at once back."""
        ...


class IoDesk:
    """An `Overseer` at the other end of a line.

    Args:
        notes: To the io process.
        pictures: The same, for frames.
        standing: What operators have ordered.
        on_event: Hears of each order and what came of it.
        now: s, monotonic.
    """

    def __init__(
        self,
        notes: NoteLine[FromIo],
        pictures: Line | None,
        standing: Standing,
        on_event: OnEvent,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notes = notes
        self._pictures = pictures
        self._standing = standing
        self._on_event = on_event
        self._now = now
        self._is_watched = False
        self._told_at = self._shown_at = -float("inf")
        self._num_shown = 0
        self._replies: list[Reply] = []  # to what was ordered at the last look

    @property
    def permission(self) -> Permission:
        """What operators have ordered."""
        return self._standing

    @property
    def has_ended(self) -> bool:
        """Whether the io process has died."""
        return self._standing.has_ended

    def begin(self, agent: RemoteAgent, relaxation: Relaxation) -> None:
        """Says what may be changed while the arm moves: what cannot make it move."""

        def replan_every(steps: float) -> None:
            agent.replan_every = round(steps)

        def relax_after_s(seconds: float) -> None:
            relaxation.after_s = seconds

        self._standing.settings = {
            "replan_every": Setting(1, 1000, replan_every),
            "relax_after_s": Setting(0.5, 3600, relax_after_s),
        }

    def look(self, vitals: Vitals, observation: Observation | None = None) -> None:
        """Hears orders, obeys them and answers; says what is going on, now and then."""
        for reply in self._replies:  # by now the arm does what was ordered
            ban = self._standing.ban[:1000]
            self._notes.send(msgspec.structs.replace(reply, state=vitals.state, reason=ban))
        self._replies.clear()
        for note in self._notes.receive():
            if isinstance(note, Pulse):
                self._standing.hear(note)
                self._is_watched = note.is_watched
            elif isinstance(note, Order):
                self._obey(note, vitals)
        self._standing.check()
        if self._notes.is_gone and not self._standing.has_ended:
            self._standing.end(IO_DIED)
        now = self._now()
        if now - self._told_at >= _PERIOD_S:
            self._told_at = now
            self._notes.offer(vitals.status(self._standing.mode, self._standing.operator))
        if self._is_watched and observation is not None and now - self._shown_at >= _PERIOD_S:
            self._shown_at = now
            self._show(observation)
        self._notes.flush()

    def _obey(self, order: Order, vitals: Vitals) -> None:
        reply = self._standing.take(order, vitals.state)
        self._replies.append(reply)
        if order.verb != "status":
            what = order.verb if order.verb != "set" else f"set {order.name} {order.value:g}"
            self._on_event(
                "order",
                order=what,
                who=order.who,
                is_done=reply.is_done,
                mode=reply.mode,
                reason=reply.text,
            )

    def _show(self, observation: Observation) -> None:
        if self._pictures is None or not observation.images:
            return
        self._num_shown += 1
        try:
            self._pictures.send(observation_message(observation, 0, self._num_shown))
        except Gone:
            self._pictures = None  # the notes tell that it has died
        except DeployError as error:  # no memory: nobody looks on, and the arm goes on
            self._pictures = None
            self._on_event("warning", source=__name__, reason=f"no pictures to look at: {error}")


class Telling(logging.Handler):
    """Hands the guard's events, and within a `with` block its log, over to the io process."""

    def __init__(self, notes: NoteLine[FromIo]) -> None:
        super().__init__(logging.INFO)
        self._notes = notes

    def __enter__(self) -> Telling:
        """Listens to what the program logs."""
        logger = logging.getLogger("demoloop")
        self._level = logger.level
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        """Listens no more."""
        logger = logging.getLogger("demoloop")
        logger.setLevel(self._level)
        logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Hands one record over."""
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            self._notes.send(Say(text[:4000], is_warning=True))
        self.note(record.levelname.lower(), source=record.name, reason=text)

    def note(self, event: str, session: int = 0, **details: Detail) -> None:
        """Hands one event over; an `OnEvent`."""
        short = {k: v[:_MAX_TEXT] if isinstance(v, str) else v for k, v in details.items()}
        self._notes.send(Event(time.monotonic(), time.time(), event[:64], session, short))

    def say(self, text: str) -> None:
        """Has a line printed that stays."""
        self._notes.send(Say(text[:4000]))
