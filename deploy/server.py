"""A policy server: answers the observations of robots with action chunks over ZeroMQ."""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import zmq

from demoloop.deploy.auth import Gate
from demoloop.deploy.chunks import Predictor
from demoloop.deploy.connections import Doorkeeper
from demoloop.deploy.errors import PolicyError, WireError
from demoloop.deploy.fit import check_fit
from demoloop.deploy.inference import Answer, Inference, Question
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.sockets import (
    HEARTBEAT_S,
    Letter,
    bind,
    make_socket,
    receive,
    receive_from,
    send,
)
from demoloop.deploy.translate import chunk_message, observation_of
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

MAX_ROBOTS = 8  # at once; one inference after the other serves them all
MAX_OF_ONE_KEY = 2  # a robot, and what it was before it was started again
_FORGET_S = 10.0  # a robot that was silent for so long must say Hello again
_BURST = 64  # messages read before answers and heartbeats get their turn


@dataclass
class _Robot:
    """What the server knows of one connected robot."""

    session: int
    heard_at: float
    user_id: str  # its public key; empty without keys
    up_to: int = 1  # the credit: observations up to this seq may come
    received: int = 0  # seq of the last observation
    is_waiting: bool = False  # for the answer to it
    num_chunks: int = 0


class PolicyServer:
    """Serves one policy on a ROUTER socket, inside a `with` block.

    Only the newest observation travels: a robot may send its next one when its last was
    answered. Inference has a thread of its own, so one slow answer delays no heartbeat.
    """

    def __init__(
        self,
        policy: Predictor,
        endpoint: str,
        name: str = "policy",
        keys: KeyFolder | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.num_answered = 0
        self._policy = policy
        self._name = name[:200]
        self._robots: dict[bytes, _Robot] = {}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._inference = Inference(policy, self._context)
        self._gate = Gate(self._context, keys) if keys is not None else None

    def __enter__(self) -> PolicyServer:
        """Binds; raises DeployError when the endpoint is taken or needs keys, or keys are bad."""
        self._socket = make_socket(self._context, zmq.ROUTER)
        # A send to a robot that is gone says so instead of vanishing.
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._door = Doorkeeper(self._socket)
        try:
            if self._gate is not None:
                self._gate.open()
                self._gate.protect(self._socket, "policy")
            has_keys = self._gate is not None
            self.endpoint = bind(self._socket, self.endpoint, has_keys=has_keys)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self._bell = self._inference.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Says goodbye to each robot, so that it holds at once, and closes."""
        for identity in list(self._robots):
            self._send(identity, Bye())
        has_ended = self._inference.stop()
        self._bell.close(linger=0)
        self._door.close()
        self._socket.close(linger=100)  # ms, for the goodbyes
        if self._gate is not None:
            self._gate.close()
        if has_ended:
            self._context.term()  # would wait for ever for a hanging thread's socket

    @property
    def num_robots(self) -> int:
        """How many robots have a session."""
        return len(self._robots)

    def serve(self, stop: threading.Event, on_beat: Callable[[], None] | None = None) -> None:
        """Answers until `stop` is set; calls `on_beat` with each heartbeat."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._bell, zmq.POLLIN)
        poller.register(self._door.events, zmq.POLLIN)
        if self._gate is not None:
            poller.register(self._gate.socket, zmq.POLLIN)
        beat_at = time.monotonic()
        while not stop.is_set():
            poller.poll(math.ceil(max(0.0, beat_at - time.monotonic()) * 1e3))
            while receive(self._bell) is not None:
                self._deliver(self._inference.answers.get())
            for _ in range(_BURST):
                letter = receive_from(self._socket, has_keys=self._gate is not None)
                if letter is None:
                    break
                self._hear(letter)
            self._door.look(self.endpoint)
            if self._gate is not None:
                self._gate.answer()
            if time.monotonic() >= beat_at:
                self._beat()
                if on_beat is not None:
                    on_beat()
                beat_at = time.monotonic() + HEARTBEAT_S

    def _hear(self, letter: Letter) -> None:
        """Handles one message; whatever it is, only its sender feels the consequences."""
        identity = letter.identity
        if self._gate is not None and not self._gate.allows(letter.user_id, "policy"):
            return None  # its key was revoked; a robot that was here has been told
        try:
            message = decode(letter.parts)
        except WireError as error:
            return self._refuse(identity, 0, "bad_message", str(error))
        body, session = message.body, message.session
        if isinstance(body, Hello):
            return self._greet(letter, body)
        robot = self._robots.get(identity)
        if robot is None or robot.session != session:
            if not isinstance(body, Bye):
                self._refuse(identity, session, "unknown_session", "say Hello first")
            return None
        robot.heard_at = time.monotonic()
        if isinstance(body, ObservationBody):
            self._take(identity, robot, message)
        elif isinstance(body, Heartbeat):
            self._notice_loss(identity, robot, message.seq)
        elif isinstance(body, Bye):
            del self._robots[identity]
        return None

    def _greet(self, letter: Letter, hello: Hello) -> None:
        identity = letter.identity
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
        robot = _Robot(session, time.monotonic(), letter.user_id)
        self._robots[identity] = robot
        self._send(identity, Welcome(self._name, self._policy.spec.fingerprint(), robot.up_to))
        return None

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
        self._inference.ask(Question(identity, message, observation))
        return None

    def _notice_loss(self, identity: bytes, robot: _Robot, last_sent: int) -> None:
        # Messages keep their order, so a heartbeat that speaks of an observation that has not
        # come tells of one that never will; without a new credit both sides would wait for ever.
        if last_sent > robot.received and not robot.is_waiting:
            robot.received = min(last_sent, robot.up_to)
            self._grant(identity, robot)

    def _deliver(self, answer: Answer) -> None:
        question = answer.question
        robot = self._robots.get(question.identity)
        if robot is None or robot.session != question.message.session:
            return
        robot.is_waiting = False
        if answer.chunk is None:
            self._refuse(question.identity, robot.session, "bad_observation", answer.reason)
        else:
            robot.num_chunks += 1
            self.num_answered += 1
            reply = chunk_message(
                answer.chunk, answer.inference_ms, question.message, robot.num_chunks
            )
            self._post(question.identity, reply)
        self._grant(question.identity, robot)

    def _grant(self, identity: bytes, robot: _Robot) -> None:
        robot.up_to = robot.received + 1
        self._send(identity, Credit(robot.up_to))

    def _beat(self) -> None:
        if self._gate is not None:
            self._gate.refresh()
        for identity, robot in list(self._robots.items()):
            if self._gate is not None and not self._gate.allows(robot.user_id, "policy"):
                self._refuse(identity, robot.session, "not_trusted", "this robot's key was revoked")
                del self._robots[identity]
            elif time.monotonic() - robot.heard_at > _FORGET_S:
                del self._robots[identity]
            else:
                self._send(identity, Heartbeat(self._inference.progress, robot.up_to))

    def _refuse(self, identity: bytes, session: int, code: FaultCode, text: str) -> None:
        fault = Fault(code, text[:1000])
        self._post(identity, Message(fault, session, time_ns=time.monotonic_ns()))

    def _send(self, identity: bytes, body: Body) -> None:
        robot = self._robots.get(identity)
        session = robot.session if robot else 0
        self._post(identity, Message(body, session, time_ns=time.monotonic_ns()))

    def _post(self, identity: bytes, message: Message) -> None:
        try:
            send(self._socket, message, to=identity)
        except zmq.ZMQError:  # EHOSTUNREACH: it has gone without a Bye
            self._robots.pop(identity, None)
