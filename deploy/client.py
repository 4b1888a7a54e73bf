"""The robot's end of the line to a policy server."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING

from demoloop.deploy.channel import Connection, Gone
from demoloop.deploy.chunks import ActionChunk
from demoloop.deploy.endpoints import HEARTBEAT_S, check_endpoint
from demoloop.deploy.errors import DeployError, WireError
from demoloop.deploy.translate import chunk_of, marks_of, observation_message, to_nanoseconds
from demoloop.deploy.transports import open_connection
from demoloop.deploy.wire import (
    Body,
    Bye,
    ChunkBody,
    Credit,
    Fault,
    Heartbeat,
    Hello,
    Message,
    Welcome,
    decode,
)
from demoloop.robot import Marks, Observation, RobotSpec

if TYPE_CHECKING:
    from demoloop.deploy.auth import Pin

_HELLO_EVERY_S = 0.2
_DEAF_S = 0.25  # five heartbeats missed: the server is gone or restarted, so say Hello again
_BURST = 64  # messages read at one go: whatever the other side sends, the control loop goes on


@dataclass(frozen=True)
class Arrival:
    """A chunk that came, and how long after its observation left."""

    chunk: ActionChunk
    round_trip_ms: float  # until it was collected
    inference_ms: float  # the server's own share


class RemotePolicy:
    """A connection to a policy server; nothing here waits longer than it is told.

    `send` and `collect` never wait and are for a control loop (`RemoteAgent`); `predict` waits for
    the answer and makes the connection a policy like any other. A server that went away is
    greeted again by itself. `connect` before use, `close` after, or use a `with` block.

    Args:
        endpoint: Where the server is.
        spec: The robot at this end.
        timeout_s: How long `connect` and `predict` wait.
        pin: Which server to obey; needed off loopback, unless a relay sees to it.
        relay: Where to connect instead, when a `Relay` on this computer passes messages on.
        dial: Opens the connection; another than the system's is for a simulated network.
        clock: Seconds that only ever count up; those of the observations.
    """

    def __init__(
        self,
        endpoint: str,
        spec: RobotSpec,
        timeout_s: float = 5.0,
        pin: Pin | None = None,
        *,
        relay: str | None = None,
        dial: Callable[[str, Pin | None], Connection] = open_connection,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_endpoint(endpoint, "--server", has_keys=pin is not None or relay is not None)
        self.endpoint = endpoint
        self._address = relay or endpoint
        self.timeout_s = timeout_s
        self.policy = ""  # the server's name for what it serves
        self.marks: Marks | None = None  # what the policy must be pointed at; None: nothing
        self.refusal = ""  # with which the server refused something since the last chunk
        self._obstacle = ""  # why a relay does not reach the server
        self.num_welcomes = 0  # sessions so far: 1, unless the server went away in between
        self.num_dropped = 0  # messages that were garbled, foreign, unasked for or unsafe
        self._spec = spec
        self._pin = pin
        self._dial = dial
        self._clock = clock
        self._channel: Connection | None = None
        self._session = 0  # 0: not welcome yet
        self._up_to = 0
        self._sent = 0  # seq of the last observation
        # Observations that may still be answered: seq -> (observation time, sent at).
        self._asked: dict[int, tuple[float, float]] = {}
        self._greetings: deque[int] = deque(maxlen=16)  # header times not answered yet, in turn
        self._progress = -1
        self._heard_at = self._progress_at = self._hello_at = self._beat_at = 0.0

    @property
    def spec(self) -> RobotSpec:
        """The robot at this end."""
        return self._spec

    @property
    def is_connected(self) -> bool:
        """Whether the server has welcomed this robot and is heard, be its inference hanging."""
        return self._session != 0 and self._clock() - self._heard_at < _DEAF_S

    @property
    def session(self) -> int:
        """The server's number for this connection; 0 without a welcome."""
        return self._session

    @property
    def credit(self) -> int:
        """How many observations the server has room for at this moment."""
        return max(0, self._up_to - self._sent) if self._session else 0

    @property
    def silence_s(self) -> float:
        """How long the server's inference loop has shown no sign of life."""
        return self._clock() - self._progress_at

    def connect(self) -> None:
        """Waits until the server welcomes this robot.

        Raises:
            DeployError: Nobody answers within `timeout_s`, or the policy does not fit the robot.
        """
        self._channel = self._dial(self._address, self._pin)
        try:
            self._await_welcome(self._channel)
            self._channel.settle()
        except BaseException:
            self._session = 0
            self.close()
            raise

    def close(self) -> None:
        """Says goodbye and lets go of the connection; may be called twice."""
        if self._channel is None:
            return
        if self._session:
            self._send(Bye(), self._clock())
        self._channel.close()
        self._channel = None
        self._session = 0

    def __enter__(self) -> RemotePolicy:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, observation: Observation) -> bool:
        """Sends the observation if the server has room for one; returns whether it did."""
        if self._session == 0 or self._sent >= self._up_to:
            return False
        if self.marks is None:
            observation = replace(observation, goal=None)  # an older server knows of none
        message = observation_message(observation, self._session, self._sent + 1)
        if self._channel is None or not self._channel.send(message):
            return False
        self._sent += 1
        self._asked[self._sent] = (observation.time, self._clock())
        return True

    def collect(self, wait_s: float = 0.0) -> list[Arrival]:
        """Takes in all that has come, and keeps the connection alive; returns the chunks.

        Raises:
            DeployError: The server now serves a policy that does not fit this robot, or one of
                the two keys was revoked.
        """
        if self._channel is None:
            return []
        if wait_s > 0:
            self._channel.wait(wait_s)
        arrivals = []
        for _ in range(_BURST):
            try:
                parts = self._channel.receive()
                if parts is None:
                    break
                arrival = self._hear(decode(parts))
            except Gone:
                self._end()
                break
            except WireError:
                self.num_dropped += 1
                continue
            if arrival is not None:
                arrivals.append(arrival)
        # Last, since what had not been collected for long is no silence of the server's.
        self._keep_alive()
        return arrivals

    def forget(self) -> None:
        """Drops the answers that are still under way: another episode begins."""
        self._asked.clear()

    def predict(self, observation: Observation) -> ActionChunk:
        """Sends the observation and waits for its chunk; raises DeployError after `timeout_s`."""
        deadline = self._clock() + self.timeout_s
        self.refusal = ""
        asked_in = 0  # session
        while self._clock() < deadline and not self.refusal:
            # A new session knows nothing of what was asked in the one before.
            if asked_in != self._session and self.send(observation):
                asked_in = self._session
            for arrival in self.collect(wait_s=0.02):
                if asked_in and arrival.chunk.time == observation.time:
                    return arrival.chunk
        reason = self.refusal or f"no answer within {self.timeout_s:g} s"
        raise DeployError(f"{self.endpoint}: {reason}")

    def _await_welcome(self, channel: Connection) -> None:
        deadline = self._clock() + self.timeout_s
        self._keep_alive()
        while self._session == 0:
            if channel.is_hopeless() or self._clock() > deadline:
                because = f" ({self.refusal})" if self.refusal else ""
                raise DeployError(
                    channel.why_not()
                    or self._obstacle
                    or f"no policy server at {self.endpoint} welcomed this robot within "
                    f"{self.timeout_s:g} s{because}; start one with "
                    f"`demoloop serve POLICY.onnx --bind {self.endpoint}`"
                )
            self.collect(wait_s=0.02)

    def _keep_alive(self) -> None:
        if self._pin is not None:
            self._pin.check()
        now = self._clock()
        if now - self._heard_at > _DEAF_S and now - self._hello_at > _HELLO_EVERY_S:
            # One that did not leave, because nobody is connected yet, is tried at the next call.
            if self._send(Hello(self._spec, self._spec.fingerprint()), now):
                self._hello_at = now
                self._greetings.append(to_nanoseconds(now))
        elif self._session and now - self._beat_at > HEARTBEAT_S:
            self._beat_at = now
            self._send(Heartbeat(), now)

    def _hear(self, message: Message) -> Arrival | None:
        body = message.body
        if isinstance(body, Welcome):
            self._begin(message, body)
        elif isinstance(body, Fault) and message.session in (0, self._session):
            self._take_fault(body)
        elif message.session != self._session or not self._session:
            self.num_dropped += 1
        elif isinstance(body, ChunkBody):
            return self._take_chunk(message, body)
        elif isinstance(body, Heartbeat):
            self._up_to = max(self._up_to, body.up_to)
            self._note_life(body.progress, body.still_ms / 1e3)
        elif isinstance(body, Credit):
            self._up_to = max(self._up_to, body.up_to)
        elif isinstance(body, Bye):
            self._end()
        return None

    def _end(self) -> None:
        self._session, self._progress_at = 0, -float("inf")

    def _begin(self, message: Message, welcome: Welcome) -> None:
        if message.time_ns not in self._greetings:
            self.num_dropped += 1  # a duplicate, or late: a greeting after it was answered already
            return
        while self._greetings.popleft() != message.time_ns:
            pass
        self._session, self._up_to, self._sent = message.session, welcome.up_to, 0
        self._asked.clear()
        self.num_welcomes += 1
        self.policy, self.refusal = welcome.policy, ""
        self.marks = marks_of(welcome.marks)
        self._note_life(-1)
        self._progress_at = self._beat_at = self._heard_at

    def _note_life(self, progress: int, still_s: float = 0.0) -> None:
        self._heard_at = self._clock()
        if progress != self._progress:
            # The step that hangs began a moment before the heartbeat that first counts it.
            self._progress = progress
            self._progress_at = max(self._progress_at, self._heard_at - still_s)

    def _take_fault(self, fault: Fault) -> None:
        if fault.code == "unknown_session":
            return  # a server that began anew; who hears no heartbeats says Hello by himself
        self.refusal = fault.text
        self._obstacle = fault.text if fault.code == "unreachable" else ""
        if fault.code in ("spec_mismatch", "not_trusted"):
            # A relay's sentence names the server already.
            is_named = self.endpoint in fault.text
            raise DeployError(fault.text if is_named else f"{self.endpoint}: {fault.text}")

    def _take_chunk(self, message: Message, body: ChunkBody) -> Arrival | None:
        self._up_to = max(self._up_to, body.up_to)
        asked = self._asked.get(message.ack_seq)
        if asked is None or to_nanoseconds(asked[0]) != message.time_ns:
            self.num_dropped += 1  # a duplicate, or the answer to another episode
            return None
        # Nor will an earlier one be answered any more: answers keep the order of their questions.
        self._asked = {seq: it for seq, it in self._asked.items() if seq > message.ack_seq}
        chunk = chunk_of(message, self._spec, asked[0])
        self._heard_at = self._progress_at = self._clock()
        self.refusal = ""
        return Arrival(chunk, (self._heard_at - asked[1]) * 1e3, body.inference_ms)

    def _send(self, body: Body, now: float) -> bool:
        message = Message(body, self._session, self._sent, time_ns=to_nanoseconds(now))
        return self._channel is not None and self._channel.send(message)
