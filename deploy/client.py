"""The robot's end of the line to a policy server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType

import zmq

from demoloop.deploy.auth import Pin
from demoloop.deploy.chunks import ActionChunk
from demoloop.deploy.connections import Handshakes
from demoloop.deploy.errors import DeployError, WireError
from demoloop.deploy.sockets import HEARTBEAT_S, check_endpoint, connect, make_socket, receive, send
from demoloop.deploy.translate import chunk_of, observation_message, to_nanoseconds
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
from demoloop.robot import Observation, RobotSpec

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
    """

    def __init__(
        self, endpoint: str, spec: RobotSpec, timeout_s: float = 5.0, pin: Pin | None = None
    ) -> None:
        """Connects to nothing yet; `pin` says which server to obey, and is needed off loopback."""
        check_endpoint(endpoint, "--server", has_keys=pin is not None)
        self.endpoint = endpoint
        self.timeout_s = timeout_s
        self.policy = ""  # the server's name for what it serves
        self.refusal = ""  # the last sentence with which the server refused something
        self.num_welcomes = 0  # sessions so far: 1, unless the server went away in between
        self.num_dropped = 0  # messages that were garbled, foreign, unasked for or unsafe
        self._spec = spec
        self._pin = pin
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes]
        self._session = 0  # 0: not welcome yet
        self._up_to = 0
        self._sent = 0  # seq of the last observation
        # Observations that may still be answered: seq -> (observation time, sent at).
        self._asked: dict[int, tuple[float, float]] = {}
        self._progress = -1
        self._heard_at = self._progress_at = self._hello_at = self._beat_at = 0.0

    @property
    def spec(self) -> RobotSpec:
        """The robot at this end."""
        return self._spec

    @property
    def is_connected(self) -> bool:
        """Whether the server has welcomed this robot and is heard, be its inference hanging."""
        return self._session != 0 and time.monotonic() - self._heard_at < _DEAF_S

    @property
    def silence_s(self) -> float:
        """How long the server's inference loop has shown no sign of life."""
        return time.monotonic() - self._progress_at

    def connect(self) -> None:
        """Waits until the server welcomes this robot.

        Raises:
            DeployError: Nobody answers within `timeout_s`, or the policy does not fit the robot.
        """
        self._context = zmq.Context()
        self._socket = make_socket(self._context, zmq.DEALER)
        try:
            if self._pin is not None:
                self._pin.protect(self._socket)
            with Handshakes(self._socket) as handshakes:
                connect(self._socket, self.endpoint)
                self._await_welcome(handshakes)
        except BaseException:
            self._session = 0
            self.close()
            raise

    def close(self) -> None:
        """Says goodbye and lets go of the socket; may be called twice."""
        if self._context is None:
            return
        if self._session:
            self._send(Bye())
        self._socket.close(linger=100)  # ms, for the goodbye
        self._context.term()
        self._context = None
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
        message = observation_message(observation, self._session, self._sent + 1)
        if not send(self._socket, message):
            return False
        self._sent += 1
        self._asked[self._sent] = (observation.time, time.monotonic())
        return True

    def collect(self, wait_s: float = 0.0) -> list[Arrival]:
        """Takes in all that has come, and keeps the connection alive; returns the chunks.

        Raises:
            DeployError: The server now serves a policy that does not fit this robot, or one of
                the two keys was revoked.
        """
        self._keep_alive()
        if wait_s > 0:
            self._socket.poll(int(wait_s * 1e3))
        arrivals = []
        for _ in range(_BURST):
            parts = receive(self._socket)
            if parts is None:
                break
            try:
                arrival = self._hear(decode(parts))
            except WireError:
                self.num_dropped += 1
                continue
            if arrival is not None:
                arrivals.append(arrival)
        return arrivals

    def forget(self) -> None:
        """Drops the answers that are still under way: another episode begins."""
        self._asked.clear()

    def predict(self, observation: Observation) -> ActionChunk:
        """Sends the observation and waits for its chunk; raises DeployError after `timeout_s`."""
        deadline = time.monotonic() + self.timeout_s
        self.refusal = ""
        is_sent = False
        while time.monotonic() < deadline and not self.refusal:
            is_sent = is_sent or self.send(observation)
            for arrival in self.collect(wait_s=0.02):
                if is_sent and arrival.chunk.time == observation.time:
                    return arrival.chunk
        reason = self.refusal or f"no answer within {self.timeout_s:g} s"
        raise DeployError(f"{self.endpoint}: {reason}")

    def _await_welcome(self, handshakes: Handshakes) -> None:
        deadline = time.monotonic() + self.timeout_s
        while self._session == 0:
            handshakes.look()
            is_hopeless = handshakes.is_key_refused or handshakes.is_plain_refused
            if is_hopeless or time.monotonic() > deadline:
                raise DeployError(self._why_not(handshakes))
            self.collect(wait_s=0.02)

    def _why_not(self, handshakes: Handshakes) -> str:
        """Returns the sentence for a robot that was not welcomed."""
        if self._pin is None and handshakes.is_plain_refused:
            return (
                f"{self.endpoint} asks who this robot is; say --keys FOLDER, and make that folder "
                "with `demoloop keys generate NAME`"
            )
        if self._pin is not None and handshakes.is_key_refused:
            return (
                f"{self.endpoint} does not trust this robot's key on the policy line; say there "
                "`demoloop keys trust NAME.public.json --role policy` "
                f"({self._pin.describe()})"
            )
        if self._pin is not None and handshakes.has_failed:
            return (
                f"what answers at {self.endpoint} does not prove that it is "
                f"{self._pin.server.name}: it has another key, or none; compare the fingerprints "
                f"with `demoloop keys list` there ({self._pin.describe()})"
            )
        because = f" ({self.refusal})" if self.refusal else ""
        return (
            f"no policy server at {self.endpoint} welcomed this robot within "
            f"{self.timeout_s:g} s{because}; start one with "
            f"`demoloop serve POLICY.onnx --bind {self.endpoint}`"
        )

    def _keep_alive(self) -> None:
        if self._pin is not None:
            self._pin.check()
        now = time.monotonic()
        if now - self._heard_at > _DEAF_S and now - self._hello_at > _HELLO_EVERY_S:
            # One that did not leave, because nobody is connected yet, is tried at the next call.
            if self._send(Hello(self._spec, self._spec.fingerprint())):
                self._hello_at = now
        elif self._session and now - self._beat_at > HEARTBEAT_S:
            self._beat_at = now
            self._send(Heartbeat())

    def _hear(self, message: Message) -> Arrival | None:
        body = message.body
        if isinstance(body, Welcome):
            self._begin(message, body)
        elif isinstance(body, Fault):
            self._take_fault(body)
        elif message.session != self._session:
            self.num_dropped += 1
        elif isinstance(body, ChunkBody):
            return self._take_chunk(message, body)
        elif isinstance(body, Heartbeat):
            self._up_to = max(self._up_to, body.up_to)
            self._note_life(body.progress)
        elif isinstance(body, Credit):
            self._up_to = max(self._up_to, body.up_to)
        elif isinstance(body, Bye):
            self._session, self._progress_at = 0, -float("inf")
        return None

    def _begin(self, message: Message, welcome: Welcome) -> None:
        self._session, self._up_to, self._sent = message.session, welcome.up_to, 0
        self._asked.clear()
        self.num_welcomes += 1
        self.policy, self.refusal = welcome.policy, ""
        self._note_life(-1)
        self._progress_at = self._heard_at

    def _note_life(self, progress: int) -> None:
        self._heard_at = time.monotonic()
        if progress != self._progress:
            self._progress, self._progress_at = progress, self._heard_at

    def _take_fault(self, fault: Fault) -> None:
        if fault.code == "unknown_session":
            return  # a server that began anew; who hears no heartbeats says Hello by himself
        self.refusal = fault.text
        if fault.code in ("spec_mismatch", "not_trusted"):
            raise DeployError(f"{self.endpoint}: {fault.text}")

    def _take_chunk(self, message: Message, body: ChunkBody) -> Arrival | None:
        asked = self._asked.get(message.ack_seq)
        if asked is None or to_nanoseconds(asked[0]) != message.time_ns:
            self.num_dropped += 1  # a duplicate, or the answer to another episode
            return None
        # Nor will an earlier one be answered any more: answers keep the order of their questions.
        self._asked = {seq: it for seq, it in self._asked.items() if seq > message.ack_seq}
        chunk = chunk_of(message, self._spec, asked[0])
        self._heard_at = self._progress_at = time.monotonic()
        return Arrival(chunk, (self._heard_at - asked[1]) * 1e3, body.inference_ms)

    def _send(self, body: Body) -> bool:
        message = Message(body, self._session, self._sent, time_ns=time.monotonic_ns())
        return send(self._socket, message)
