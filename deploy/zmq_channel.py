"""The transport between two computers: DEALER and ROUTER, with keys when off loopback."""

from __future__ import annotations

import math
from collections.abc import Sequence

import zmq

from demoloop.deploy.auth import MAY_USE, Gate, Line, Pin
from demoloop.deploy.channel import Gone, Letter
from demoloop.deploy.handshakes import Handshakes
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.sockets import bind, connect, make_socket, receive, receive_from, send
from demoloop.deploy.wire import Message, Part, encode

_LINGER_MS = 100  # for the goodbyes


class ZmqConnection:
    """A robot's end; ZeroMQ connects, and again when the server comes back."""

    def __init__(self, endpoint: str, pin: Pin | None = None, line: Line = "policy") -> None:
        """Begins to connect; raises DeployError when `endpoint` is none."""
        self.endpoint = endpoint
        self._line: Line = line
        self._pin = pin
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = make_socket(self._context, zmq.DEALER)
        self._handshakes: Handshakes | None = Handshakes(self._socket)
        try:
            if pin is not None:
                pin.protect(self._socket)
            connect(self._socket, endpoint)
        except BaseException:
            self.close()
            raise

    def is_hopeless(self) -> bool:
        """Says whether the server has turned this robot away for good."""
        if self._handshakes is None:
            return False
        self._handshakes.look()
        return self._handshakes.is_key_refused or self._handshakes.is_plain_refused

    def why_not(self) -> str:
        """Returns a sentence about a connection that does not come off, empty without a reason."""
        handshakes = self._handshakes
        if handshakes is None:
            return ""
        # On the policy line it is the robot that connects, on the robot's whoever drives it.
        who = "robot" if self._line == "policy" else "computer"
        if self._pin is None and handshakes.is_plain_refused:
            return (
                f"{self.endpoint} asks who this {who} is; say --keys FOLDER, and make that folder "
                "with `demoloop keys generate NAME`"
            )
        if self._pin is not None and handshakes.is_key_refused:
            (role,) = MAY_USE[self._line]
            return (
                f"{self.endpoint} does not trust this {who}'s key on the {self._line} line; say "
                f"there `demoloop keys trust NAME.public.json --role {role}` "
                f"({self._pin.describe()})"
            )
        if self._pin is not None and handshakes.has_failed:
            return (
                f"what answers at {self.endpoint} does not prove that it is "
                f"{self._pin.server.name}: it has another key, or none; compare the fingerprints "
                f"with `demoloop keys list` there ({self._pin.describe()})"
            )
        return ""

    def settle(self) -> None:
        """The server has answered: how the connection came about is of no interest any more."""
        if self._handshakes is not None:
            self._handshakes.__exit__()
            self._handshakes = None

    def send(self, message: Message) -> bool:
        """Sends at once or not at all; returns whether it was sent."""
        return self.send_parts(encode(message))

    def send_parts(self, parts: Sequence[Part]) -> bool:
        """Sends what is encoded already; as `send`."""
        return send(self._socket, parts)

    def receive(self) -> Sequence[Part] | None:
        """Returns the parts of a message that is already here, else None."""
        return receive(self._socket)

    def wait(self, seconds: float) -> None:
        """Waits for a message, at most so long."""
        self._socket.poll(int(seconds * 1e3))

    def descriptors(self) -> tuple[int, ...]:
        """Returns what to poll; ZeroMQ's own descriptor says little, so receive until None."""
        return (self._socket.fileno(),)

    def close(self) -> None:
        """Lets go, once the goodbye has left."""
        self.settle()
        self._socket.close(linger=_LINGER_MS)
        self._context.term()


class ZmqListener:
    """A server's end, bound."""

    def __init__(self, endpoint: str, keys: KeyFolder | None = None, line: Line = "policy") -> None:
        """Binds; raises DeployError when the endpoint is taken or needs keys, or keys are bad."""
        self._line: Line = line
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._gate = Gate(self._context, keys) if keys is not None else None
        self._socket = make_socket(self._context, zmq.ROUTER)
        # A send to a robot that is gone says so instead of vanishing.
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        try:
            if self._gate is not None:
                self._gate.open()
                self._gate.protect(self._socket, line)
            self.endpoint = bind(self._socket, endpoint, has_keys=self._gate is not None)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        if self._gate is not None:
            self._poller.register(self._gate.socket, zmq.POLLIN)

    def wait(self, seconds: float) -> None:
        """Waits for a message, at most so long; answers handshakes."""
        self._poller.poll(math.ceil(seconds * 1e3))
        if self._gate is not None:
            self._gate.answer()
            self._gate.refresh()

    def allows(self, user_id: str) -> bool:
        """Says whether messages of a key may be taken in, as of the last `wait`."""
        return self._gate is None or self._gate.allows(user_id, self._line)

    def receive(self) -> Letter | None:
        """Returns a message that is already here, else None."""
        return receive_from(self._socket, has_keys=self._gate is not None)

    def send(self, message: Message, to: bytes) -> bool:
        """Sends at once or not at all; raises Gone when nobody is there any more."""
        return self.send_parts(encode(message), to)

    def send_parts(self, parts: Sequence[Part], to: bytes) -> bool:
        """Sends what is encoded already; as `send`."""
        try:
            return send(self._socket, parts, to=to)
        except zmq.ZMQError as error:  # EHOSTUNREACH
            raise Gone(f"nobody is connected under that identity: {error.strerror}") from error

    def dismiss(self, identity: bytes) -> None:
        """Does nothing: ZeroMQ ends no single connection, and a robot notices silence."""

    def descriptors(self) -> tuple[int, ...]:
        """Returns what to poll: messages and handshakes; `wait` before receiving."""
        sockets = [self._socket] + ([self._gate.socket] if self._gate is not None else [])
        return tuple(socket.fileno() for socket in sockets)

    def close(self) -> None:
        """Listens no more, once the goodbyes have left."""
        self._socket.close(linger=_LINGER_MS)
        if self._gate is not None:
            self._gate.close()
        self._context.term()
