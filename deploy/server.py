"""A policy server: answers the observations of robots with action chunks."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from demoloop.deploy.channel import Letter, Listener
from demoloop.deploy.chunks import Predictor
from demoloop.deploy.endpoints import HEARTBEAT_S
from demoloop.deploy.errors import DeployError, PolicyError, WireError
from demoloop.deploy.events import OnEvent, ignore
from demoloop.deploy.fit import check_fit
from demoloop.deploy.inference import Answer, Question, answer
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.metrics import LATENCY_BOUNDS_S, Histogram
from demoloop.deploy.translate import chunk_message, marks_body, observation_of, to_nanoseconds
from demoloop.deploy.transports import open_listener
from demoloop.deploy.wire import (
    Body,
    Bye,
    Credit,
    Fault,
    FaultCode,
    Heartbeat,
    Hello,
    Message,
    ObservationBody,
    Welcome,
    decode,
)
from demoloop.robot import Marks

MAX_ROBOTS = 8  # at once; one inference after the other serves them all
MAX_OF_ONE_KEY = 2  # a robot, and what it was before it was started again
_FORGET_S = 10.0  # a robot that was silent for so long must say Hello again
_TURN_S = 0.02  # well under a heartbeat, so that one is never much too late
_END_S = 1.0  # for an inference to end; one that hangs is left behind
_BURST = 64  # messages read before answers and heartbeats get their turn


@dataclass
class _Robot:
    """What the server knows of one connected robot."""

    session: int
    heard_at: float
    user_id: str  # its public key; empty without keys
    greeted_ns: int  # the time in the header of its Hello, which names it
    up_to: int = 1  # the credit: observations up to this seq may come
    received: int = 0  # seq of the last observation
    is_waiting: bool = False  # for the answer to it
    num_chunks: int = 0


class PolicyServer:
    """Serves one policy, inside a `with` block.

    Only the newest observation travels: a robot may send its next one when its last was
    answered. The thread that listens also infers, so that a question waits for no other thread;
    while it infers, the thread that called `serve` listens, so that one slow answer delays no
    heartbeat. A heartbeat carries how far the first of them has come: a count that stands still
    hangs, though the process be alive.

    Args:
        policy: Answers.
        endpoint: Where to listen.
        name: Of the policy, for robots to show.
        keys: Who may connect; needed off loopback.
        on_event: Hears of robots that come and go, and of refusals.
        listen: Binds; another than the system's is for a simulated network.
        clock: Seconds that only ever count up.
        marks: What the policy must be pointed at; None: nothing.
    """

    def __init__(
        self,
        policy: Predictor,
        endpoint: str,
        name: str = "policy",
        keys: KeyFolder | None = None,
        on_event: OnEvent = ignore,
        *,
        listen: Callable[[str, KeyFolder | None], Listener] = open_listener,
        clock: Callable[[], float] = time.monotonic,
        marks: Marks | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.num_answered = 0
        self.inference = Histogram(LATENCY_BOUNDS_S)  # of each answer [s]
        self._on_event = on_event
        self._policy = policy
        self._name = name[:200]
        self._marks = marks_body(marks)
        self._robots: dict[bytes, _Robot] = {}
        self._keys = keys
        self._open = listen
        self._clock = clock
        self._questions: deque[Question] = deque()  # credits keep it to one per robot
        self._progress = 0  # turns of the inference loop
        self._turned_at = 0.0
        self._beat_at = 0.0
        self._lock = threading.Lock()  # of all that follows but the policy itself
        self._has_ended = False
        self._failure: BaseException | None = None

    def __enter__(self) -> PolicyServer:
        """Binds; raises DeployError when the endpoint is taken or needs keys, or keys are bad."""
        self._channel = self._open(self.endpoint, self._keys)
        self.endpoint = self._channel.endpoint
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Says goodbye to each robot, so that it holds at once, and closes."""
        with self._lock:
            self._has_ended = True
            for identity in list(self._robots):
                self._send(identity, Bye())
            self._channel.close()

    @property
    def num_robots(self) -> int:
        """How many robots have a session."""
        return len(self._robots)

    @property
    def turns(self) -> int:
        """How far the inference loop has come."""
        return self._progress

    def serve(self, stop: threading.Event, on_beat: Callable[[], None] | None = None) -> None:
        """Answers until `stop` is set; calls `on_beat` with each heartbeat."""
        # A daemon, since a policy that hangs must not keep the process from ending.
        worker = threading.Thread(target=self._work, name="inference", daemon=True)
        worker.start()
        shown_at = self._clock()
        try:
            while not stop.wait(_TURN_S) and self._failure is None:
                if self._lock.acquire(blocking=False):  # the worker infers
                    try:
                        self.listen()
                    finally:
                        self._lock.release()
                if on_beat is not None and self._clock() >= shown_at:
                    on_beat()
                    shown_at = self._clock() + HEARTBEAT_S
        finally:
            self._has_ended = True
            worker.join(_END_S)
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        """Answers one question after the other."""
        answered: Answer | None = None
        try:
            while True:
                with self._lock:
                    if self._has_ended:
                        return
                    until = 0.0 if self._questions else self._beat_at - self._clock()
                    question = self.turn(answered, max(0.0, until))
                answered = answer(self._policy, question) if question is not None else None
        except BaseException as error:
            self._failure = error  # for the thread that called `serve`

    def turn(self, answered: Answer | None, wait_s: float = 0.0) -> Question | None:
        """Delivers an answer, hears what comes, and returns what is to be answered next.

        One turn of the inference loop, for whoever turns it himself instead of calling `serve`.
        """
        if answered is not None:
            self._deliver(answered)
        self._progress += 1
        self._turned_at = self._clock()
        self.listen(wait_s)
        return self._questions.popleft() if self._questions else None

    def listen(self, wait_s: float = 0.0) -> None:
        """Waits at most so long, hears what has come, and says that the server lives."""
        self._channel.wait(wait_s)
        for _ in range(_BURST):
            letter = self._channel.receive()
            if letter is None:
                break
            self._hear(letter)
        if self._clock() >= self._beat_at:
            self._beat()
            self._beat_at = self._clock() + HEARTBEAT_S

    def _hear(self, letter: Letter) -> None:
        """Handles one message; whatever it is, only its sender feels the consequences."""
        identity = letter.identity
        if not self._channel.allows(letter.user_id):
            return None  # its key was revoked; a robot that was here has been told
        try:
            message = decode(letter.parts)
        except WireError as error:
            return self._refuse(identity, 0, "bad_message", str(error))
        body, session = message.body, message.session
        if isinstance(body, Hello):
            return self._greet(letter, body, message.time_ns)
        robot = self._robots.get(identity)
        if robot is None or robot.session != session:
            if not isinstance(body, Bye):
                self._refuse(identity, session, "unknown_session", "say Hello first")
            return None
        robot.heard_at = self._clock()
        if isinstance(body, ObservationBody):
            self._take(identity, robot, message)
        elif isinstance(body, Heartbeat):
            self._notice_loss(identity, robot, message.seq)
        elif isinstance(body, Bye):
            self._part(identity, "said goodbye")
        return None

    def _greet(self, letter: Letter, hello: Hello, time_ns: int) -> None:
        identity = letter.identity
        known = self._robots.get(identity)
        if known is not None and time_ns <= known.greeted_ns:
            return self._welcome(identity, known)  # it came twice, or late
        try:
            check_fit(self._policy.spec, hello.spec, f"the served policy {self._name}")
        except PolicyError as error:
            return self._refuse(identity, 0, "spec_mismatch", str(error))
        others = [r for name, r in self._robots.items() if name != identity]
        if len(others) >= MAX_ROBOTS:
            text = f"{MAX_ROBOTS} robots are connected already"
            return self._refuse(identity, 0, "busy", text)
        if letter.user_id and sum(r.user_id == letter.user_id for r in others) >= MAX_OF_ONE_KEY:
            text = f"{MAX_OF_ONE_KEY} robots with this key are connected already"
            return self._refuse(identity, 0, "busy", text)
        # Random, so that nothing meant for an earlier session or server fits this one.
        session = secrets.randbelow(2**32 - 1) + 1
        # One that greets again and again must not pile up questions, each with a new credit.
        self._questions = deque(q for q in self._questions if q.identity != identity)
        self._part(identity, "greeted anew")
        robot = _Robot(session, self._clock(), letter.user_id, time_ns)
        self._robots[identity] = robot
        self._on_event("welcomed", session, robot=hello.spec.name, key=letter.user_id[:16])
        return self._welcome(identity, robot)

    def _welcome(self, identity: bytes, robot: _Robot) -> None:
        fingerprint = self._policy.spec.fingerprint()
        body = Welcome(self._name, fingerprint, robot.up_to, marks=self._marks)
        self._post(identity, Message(body, robot.session, time_ns=robot.greeted_ns))

    def _take(self, identity: bytes, robot: _Robot, message: Message) -> None:
        if not robot.received < message.seq <= robot.up_to:
            return None  # a duplicate, or sent without credit: there is none before the answer
        robot.received = message.seq
        try:
            observation = observation_of(message, self._policy.spec)
        except WireError as error:
            self._refuse(identity, robot.session, "bad_observation", str(error))
            return self._grant(identity, robot)
        robot.is_waiting = True
        self._questions.append(Question(identity, message, observation))
        return None

    def _notice_loss(self, identity: bytes, robot: _Robot, last_sent: int) -> None:
        # Messages keep their order, so a heartbeat that speaks of an observation that has not
        # come tells of one that never will; without a new credit both sides would wait for ever.
        if last_sent > robot.received and not robot.is_waiting:
            robot.received = min(last_sent, robot.up_to)
            self._grant(identity, robot)

    def _deliver(self, answered: Answer) -> None:
        question = answered.question
        robot = self._robots.get(question.identity)
        if robot is None or robot.session != question.message.session:
            return None
        robot.is_waiting = False
        if answered.chunk is None:
            self._refuse(question.identity, robot.session, "bad_observation", answered.reason)
            return self._grant(question.identity, robot)
        robot.num_chunks += 1
        robot.up_to = robot.received + 1
        self.num_answered += 1
        self.inference.add(answered.inference_ms / 1e3)
        reply = chunk_message(
            answered.chunk, answered.inference_ms, question.message, robot.num_chunks, robot.up_to
        )
        return self._post(question.identity, reply)

    def _grant(self, identity: bytes, robot: _Robot) -> None:
        robot.up_to = robot.received + 1
        self._send(identity, Credit(robot.up_to))

    def _beat(self) -> None:
        for identity, robot in list(self._robots.items()):
            if not self._channel.allows(robot.user_id):
                self._refuse(identity, robot.session, "not_trusted", "this robot's key was revoked")
                self._part(identity, "its key was revoked")
            elif self._clock() - robot.heard_at > _FORGET_S:
                self._part(identity, f"silent for {_FORGET_S:g} s")
            else:
                still_ms = (self._clock() - self._turned_at) * 1e3
                self._send(identity, Heartbeat(self._progress, robot.up_to, still_ms))

    def _refuse(self, identity: bytes, session: int, code: FaultCode, text: str) -> None:
        self._on_event("refused", session, code=code, reason=text)
        fault = Fault(code, text[:1000])
        self._post(identity, Message(fault, session, time_ns=to_nanoseconds(self._clock())))

    def _send(self, identity: bytes, body: Body) -> None:
        robot = self._robots.get(identity)
        session = robot.session if robot else 0
        self._post(identity, Message(body, session, time_ns=to_nanoseconds(self._clock())))

    def _post(self, identity: bytes, message: Message) -> None:
        try:
            self._channel.send(message, identity)
        except DeployError as error:  # it has gone without a Bye, or there is no memory to tell it
            self._part(identity, str(error))

    def _part(self, identity: bytes, reason: str) -> None:
        robot = self._robots.pop(identity, None)
        if robot is not None:
            self._on_event("left", robot.session, reason=reason, chunks=robot.num_chunks)
