"""The line to a computer that hosts a robot: who has the seat asks, and is answered."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import msgspec

from demoloop.deploy.channel import Connection, Gone
from demoloop.deploy.endpoints import HEARTBEAT_S, check_endpoint
from demoloop.deploy.errors import DeployError, WireError
from demoloop.deploy.robot_wire import (
    NOT_DRIVING,
    OF_ROBOT,
    ROBOT_LINE,
    Acted,
    Done,
    Drive,
    Look,
    Order,
    Pulse,
    Seat,
)
from demoloop.deploy.translate import to_nanoseconds
from demoloop.deploy.transports import open_connection
from demoloop.deploy.wire import Array, Bye, Fault, Message
from demoloop.robot import RobotSpec
from demoloop.robot.errors import Disconnected
from demoloop.robot.safety import SafetyError

if TYPE_CHECKING:
    from demoloop.deploy.auth import Pin

DEAF_S = 1.0
"""Without a sign of life of the robot's loop for longer it counts as gone; by then it holds."""
_DRIVE_EVERY_S = 0.2
_TURN_S = 0.01  # an emergency stop of another thread waits at most so long
_BURST = 64

Answer = TypeVar("Answer", Look, Acted, Done)


def dial(endpoint: str, pin: Pin | None) -> Connection:
    """Opens the connection that a `HostLine` speaks over."""
    return open_connection(endpoint, pin, "robot")


class HostLine:
    """Dials, takes the seat, asks and waits for answers. One thread at a time may use it.

    What is asked is answered or is not: nothing is sent twice, and the answer to what was asked
    before the last question is dropped.

    Args:
        endpoint: Where the host is.
        pin: Which host to obey; needed off loopback.
        who: A name for whoever is refused because this one drives.
        timeout_s: How long to wait for the seat.
        dials: Opens the connection; another than the system's is for a simulated network.
        clock: Seconds that only ever count up.
    """

    def __init__(
        self,
        endpoint: str,
        pin: Pin | None = None,
        who: str = "",
        timeout_s: float = 5.0,
        *,
        dials: Callable[[str, Pin | None], Connection] = dial,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_endpoint(endpoint, "--robot", has_keys=pin is not None)
        self.endpoint = endpoint
        self.seat: Seat | None = None  # the last that was given
        self.session = 0  # 0: no seat
        self.num_seats = 0  # 1, unless the line broke in between
        self.pressed: deque[str] = deque()  # reasons of emergency stops that are not sent yet
        self._pin, self._who, self._timeout_s = pin, who[:64], timeout_s
        self._dials, self.clock = dials, clock
        self._channel: Connection | None = None
        self._why_not = ""  # there is no seat
        self._seq = 0
        self._greetings: deque[int] = deque(maxlen=16)  # header times not answered yet
        self._answers: dict[int, Message] = {}  # by the seq that is answered
        self._heard_at = self._beat_at = self._drive_at = 0.0
        self._still_s = 0.0  # how long the robot's loop has stood still

    @property
    def spec(self) -> RobotSpec:
        """Of the robot; raises DeployError before it was reached."""
        if self.seat is None:
            raise DeployError(f"{self.endpoint} was not reached yet; connect() first")
        return self.seat.spec

    def open(self) -> None:
        """Waits for the seat.

        Raises:
            DeployError: Nobody answers within `timeout_s`, somebody else drives, or keys differ.
        """
        # What was pressed while there was no line is no wish of whoever takes the seat anew.
        self.pressed.clear()
        self._channel = self._dials(self.endpoint, self._pin)
        try:
            self._sit_down(self._channel)
            self._channel.settle()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leaves the seat, so that the robot holds at once; may be called twice."""
        if self._channel is None:
            return
        if self.session:
            self._send(Bye())
        self._channel.close()
        self._channel, self.session = None, 0

    def ask(
        self,
        body: msgspec.Struct,
        kind: type[Answer],
        arrays: Mapping[str, Array] | None = None,
        within_s: float = DEAF_S,
    ) -> tuple[Message, Answer]:
        """Asks, and waits for the answer as long as the robot's loop shows signs of life.

        Raises:
            Disconnected: The line broke.
            SafetyError: The robot does not do that; it says why.
        """
        self._seq += 1
        self._answers.clear()
        until = self.clock() + within_s
        self.collect(0.0)  # a goodbye is lost once its connection is
        if not self.session:
            raise self._gone()
        if not self._send(body, arrays):
            raise self.lost(self._silent())
        while self._seq not in self._answers:
            self.collect(_TURN_S)
            now = self.clock()
            if not self.session:
                raise self._gone()
            if now - self._heard_at > DEAF_S or self._still_s > DEAF_S or now > until:
                raise self.lost(self._silent())
        message = self._answers.pop(self._seq)
        if isinstance(message.body, Fault):
            raise SafetyError(message.body.text)
        if not isinstance(message.body, kind):
            raise self.lost(f"{self.endpoint} answers with something else than was asked")
        return message, message.body

    def lost(self, reason: str) -> Disconnected:
        """Gives the line up; returns what to raise."""
        # Where the host still hears it, it need not wait for the silence.
        self._send(Bye())
        self._end(reason)
        return Disconnected(reason)

    def send_stops(self) -> None:
        """Sends the emergency stops that were pressed."""
        while self.pressed and self._send(Order("stop", self.pressed[0])):
            self.pressed.popleft()

    def collect(self, wait_s: float) -> None:
        """Takes in what has come, says that this side lives, and sends what another thread said."""
        channel = self._channel
        if channel is None:
            return
        if self._pin is not None:
            try:
                self._pin.check()
            except DeployError as error:
                return self._end(str(error))
        self.send_stops()
        channel.wait(wait_s)
        for _ in range(_BURST):
            try:
                parts = channel.receive()
                if parts is None:
                    break
                self._hear(ROBOT_LINE.decode(parts))
            except Gone:
                self._end(f"the line to the robot at {self.endpoint} broke; it holds by itself")
                break
            except WireError:
                continue  # whatever it was, it answers nothing
        now = self.clock()
        if self.session and now - self._beat_at > HEARTBEAT_S:
            self._beat_at = now
            self._send(Pulse())
        return None

    def _sit_down(self, channel: Connection) -> None:
        until = self.clock() + self._timeout_s
        self._why_not, self._drive_at = "", -_DRIVE_EVERY_S
        while not self.session:
            now = self.clock()
            if channel.is_hopeless() or now > until or self._why_not:
                raise DeployError(
                    self._why_not
                    or channel.why_not()
                    or f"no robot answers at {self.endpoint} within {self._timeout_s:g} s; start "
                    f"one there with `demoloop host ARM:PORT --bind {self.endpoint}`"
                )
            name = to_nanoseconds(now)
            if now - self._drive_at > _DRIVE_EVERY_S and self._send(Drive(self._who), time_ns=name):
                self._drive_at = now
                self._greetings.append(name)
            self.collect(_TURN_S)

    def _hear(self, message: Message) -> None:
        body = message.body
        if isinstance(body, Seat):
            self._begin(message, body)
        elif isinstance(body, Fault) and message.session in (0, self.session):
            self._take_fault(message, body)
        elif message.session != self.session or not self.session:
            return  # of an earlier session
        elif isinstance(body, Look | Acted | Done):
            self._heard_at = self.clock()
            self._answers[message.ack_seq] = message
        elif isinstance(body, Pulse):
            self._heard_at, self._still_s = self.clock(), body.still_ms / 1e3
        elif isinstance(body, Bye):
            self._end(f"the host of the robot at {self.endpoint} has ended; the robot is at rest")

    def _take_fault(self, message: Message, fault: Fault) -> None:
        if fault.code == OF_ROBOT:
            self._answers[message.ack_seq] = message
        elif fault.code == NOT_DRIVING:
            if self.session and message.session:
                self._end(f"{self.endpoint} gave the seat away; the robot there holds by itself")
        elif not self.session or fault.code == "not_trusted":
            self._end(f"{self.endpoint}: {fault.text}")

    def _begin(self, message: Message, seat: Seat) -> None:
        if message.time_ns not in self._greetings:
            return  # it came twice, or late
        self._greetings.clear()
        if self.seat is not None and (seat.spec, seat.task) != (self.seat.spec, self.seat.task):
            what = f"{seat.spec.name}{f' at {seat.task}' if seat.task else ''}"
            self._end(f"{self.endpoint} offers another robot than before, {what}; begin anew")
            return
        self.seat, self.session = seat, message.session
        self.num_seats += 1
        self._still_s = 0.0
        self._heard_at = self._beat_at = self.clock()

    def _send(
        self, body: msgspec.Struct, arrays: Mapping[str, Array] | None = None, time_ns: int = 0
    ) -> bool:
        message = Message(body, self.session, self._seq, time_ns=time_ns, arrays=arrays or {})
        if self._channel is None:
            return False
        return self._channel.send_parts(ROBOT_LINE.encode(message))

    def _end(self, reason: str) -> None:
        self.session, self._why_not = 0, reason

    def _gone(self) -> Disconnected:
        return Disconnected(self._why_not or f"{self.endpoint} is not connected; reset() first")

    def _silent(self) -> str:
        return (
            f"the robot at {self.endpoint} shows no sign of life; it holds by itself; see "
            "whether `demoloop host` still runs there"
        )
