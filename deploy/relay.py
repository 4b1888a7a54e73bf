"""Passes messages on between robots and a policy server, as they are, in a process of its own.

A guard that owns an arm then speaks over shared memory alone, and the process that speaks to the
network may die without it. Nothing is decoded here: whoever receives checks.
"""

from __future__ import annotations

import contextlib
import logging
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from demoloop.deploy.auth import Pin
from demoloop.deploy.channel import Connection, Gone, Listener
from demoloop.deploy.endpoints import check_endpoint
from demoloop.deploy.errors import DeployError, WireError
from demoloop.deploy.transports import open_connection, open_listener
from demoloop.deploy.wire import MAX_FRAMES, Fault, FaultCode, Message, Part

_log = logging.getLogger(__name__)

MAX_ROBOTS = 8  # at once, as at a server
_FORGET_S = 10.0  # a robot that was silent for so long has gone; one that waits says Hello
_BURST = 64  # messages of one sender before the others get their turn
_LOOK_S = 0.05  # to whether it shall stop, and to what becomes of a handshake
_RETRY_S = 0.02  # for a message that could not be sent on yet


class Traffic(Protocol):
    """What becomes of messages on their way, in one direction."""

    @property
    def due_at(self) -> float:
        """When there is something to take [s, time.monotonic()]; infinite while there is not."""
        ...

    def put(self, parts: Sequence[Part], now: float) -> None:
        """A message sets out."""
        ...

    def take(self, now: float) -> Sequence[Part] | None:
        """Returns a message that has arrived, else None."""
        ...


class Direct:
    """Messages arrive at once and in turn."""

    def __init__(self) -> None:
        self._parts: deque[Sequence[Part]] = deque()

    @property
    def due_at(self) -> float:
        """Now, when there is something."""
        return -float("inf") if self._parts else float("inf")

    def put(self, parts: Sequence[Part], now: float) -> None:
        """A message sets out."""
        self._parts.append(parts)

    def take(self, now: float) -> Sequence[Part] | None:
        """Returns the first that was put."""
        return self._parts.popleft() if self._parts else None


@dataclass
class _Link:
    """One robot, and its own connection to the server."""

    identity: bytes
    connection: Connection
    up: Traffic  # to the server
    down: Traffic
    heard_at: float  # from the robot
    unsent: Sequence[Part] | None = None  # the newest that could not be sent to the server
    is_settled: bool = False  # the server has answered
    told: str = ""  # the last sentence about a connection that does not come off


class Relay:
    """Stands between robots and a server, inside a `with` block.

    It never waits for either and keeps no backlog: to a robot a message is sent at once or not at
    all; to the server the newest is tried again, since credits and heartbeats make up for the rest.
    When a server on a Unix socket goes, so does the connection of the robot; when a robot goes, so
    does its connection to the server.

    Args:
        bind: Where robots connect; on this computer.
        server: Where the policy is served.
        pin: Which server to obey; needed when it is on another computer.
        traffic: Makes what each direction of each connection goes through.
    """

    def __init__(
        self,
        bind: str,
        server: str,
        pin: Pin | None = None,
        traffic: Callable[[], Traffic] = Direct,
    ) -> None:
        check_endpoint(server, "--server", has_keys=pin is not None)
        self.endpoint = bind
        self.server = server
        self.num_up = 0  # messages that went to the server
        self.num_down = 0
        self.num_dropped = 0  # for want of room on the other side, or a soul there
        self._pin = pin
        self._traffic = traffic
        self._links: dict[bytes, _Link] = {}
        self._listener: Listener

    def __enter__(self) -> Relay:
        """Binds; raises DeployError when the endpoint is taken or needs keys."""
        self._listener = open_listener(self.endpoint, None)
        self.endpoint = self._listener.endpoint
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Lets go of both sides, which see it."""
        for link in list(self._links.values()):
            self._end(link)
        self._listener.close()

    def run(self, stop: threading.Event) -> None:
        """Passes messages on until `stop` is set.

        Raises:
            DeployError: The server's key was revoked; the robots have been told.
        """
        while not stop.is_set():
            try:
                if self._pin is not None:
                    self._pin.check()
            except DeployError as error:
                for link in list(self._links.values()):
                    self._tell(link, "not_trusted", str(error))
                raise
            if not self.turn():
                self._wait()

    def turn(self) -> bool:
        """Passes on what is here; returns whether anything was."""
        has_moved = self._hear_robots()
        for link in list(self._links.values()):
            has_moved = self._serve(link) or has_moved
        return has_moved

    def _wait(self) -> None:
        """Waits for something to pass on, with nothing left to receive."""
        poll = select.poll()
        descriptors = [*self._listener.descriptors()]
        seconds = _LOOK_S
        for link in self._links.values():
            descriptors += link.connection.descriptors()
            if link.unsent is not None:
                seconds = min(seconds, _RETRY_S)
            seconds = min(seconds, min(link.up.due_at, link.down.due_at) - time.monotonic())
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1e3)

    def _hear_robots(self) -> bool:
        self._listener.wait(0.0)
        now = time.monotonic()
        for count in range(_BURST):
            letter = self._listener.receive()
            if letter is None:
                return count > 0
            link = self._links.get(letter.identity) or self._open(letter.identity)
            if link is not None and self._is_message(letter.parts):
                link.heard_at = now
                link.up.put(letter.parts, now)
        return True

    def _open(self, identity: bytes) -> _Link | None:
        if len(self._links) >= MAX_ROBOTS:
            text = f"{MAX_ROBOTS} robots are connected already"
            self._post(identity, "busy", text)
            return None
        connection = open_connection(self.server, self._pin)
        link = _Link(identity, connection, self._traffic(), self._traffic(), time.monotonic())
        self._links[identity] = link
        return link

    def _serve(self, link: _Link) -> bool:
        """Passes on what goes to and comes from one robot; returns whether there was anything."""
        has_moved = False
        try:
            has_moved = self._hear_server(link)
            has_moved = self._send_up(link) or has_moved
            has_moved = self._send_down(link) or has_moved
        except (Gone, WireError) as error:
            _log.info("a connection has ended: %s", error)
            self._end(link)
        except DeployError as error:
            self._tell(link, "unreachable", str(error))  # the server is another user's
        now = time.monotonic()
        if now - link.heard_at > _FORGET_S:
            self._end(link)
        elif not link.is_settled:
            self._look_why_not(link)
        return has_moved

    def _hear_server(self, link: _Link) -> bool:
        now = time.monotonic()
        for count in range(_BURST):
            parts = link.connection.receive()
            if parts is None:
                return count > 0
            if not link.is_settled:
                link.connection.settle()
                link.is_settled = True
            if self._is_message(parts):
                link.down.put(parts, now)
        return True

    def _send_up(self, link: _Link) -> bool:
        now, num_before = time.monotonic(), self.num_up
        parts, link.unsent = link.unsent or link.up.take(now), None
        while parts is not None:
            newer = link.up.take(now)
            if link.connection.send_parts(parts):
                self.num_up += 1
            elif newer is None:
                link.unsent = parts
            else:
                self.num_dropped += 1
            parts = newer
        return self.num_up > num_before

    def _send_down(self, link: _Link) -> bool:
        now, has_sent = time.monotonic(), False
        while (parts := link.down.take(now)) is not None:
            has_sent = self._listener.send_parts(parts, link.identity)
            self.num_down += has_sent
            self.num_dropped += not has_sent
        return has_sent

    def _look_why_not(self, link: _Link) -> None:
        is_hopeless = link.connection.is_hopeless()
        if reason := link.connection.why_not():
            self._tell(link, "not_trusted" if is_hopeless else "unreachable", reason)

    def _tell(self, link: _Link, code: FaultCode, text: str) -> None:
        if text != link.told:
            link.told = text
            self._post(link.identity, code, text)

    def _post(self, identity: bytes, code: FaultCode, text: str) -> None:
        with contextlib.suppress(DeployError):  # it has gone
            self._listener.send(Message(Fault(code, text[:1000])), identity)

    def _is_message(self, parts: Sequence[Part]) -> bool:
        is_one = 2 <= len(parts) <= 2 + MAX_FRAMES
        self.num_dropped += not is_one
        return is_one

    def _end(self, link: _Link) -> None:
        self._links.pop(link.identity, None)
        self._listener.dismiss(link.identity)
        link.connection.close()
