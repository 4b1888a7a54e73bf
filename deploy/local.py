"""The transport between two processes of one user: a Unix socket, and frames in shared memory."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time
from collections import deque
from collections.abc import Sequence

from demoloop.deploy.channel import Gone, Letter
from demoloop.deploy.errors import DeployError, WireError
from demoloop.deploy.local_line import Line
from demoloop.deploy.local_socket import bind, connect, path_of, unbind, user_of
from demoloop.deploy.wire import Fault, Message, Part, encode

_log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64  # at once, whether or not they have said Hello
_RETRY_S = 0.02  # from one attempt to connect to the next


class LocalConnection:
    """A robot's end: connects when it first sends, and again when the server comes back."""

    def __init__(self, endpoint: str) -> None:
        """Connects to nothing yet; raises DeployError when `endpoint` is none."""
        self._path = path_of(endpoint, "--server")
        self._line: Line | None = None
        self._poll = select.poll()
        self._tried_at = -float("inf")

    def is_hopeless(self) -> bool:
        """Says no: a server may come at any time, and one of another user is an error."""
        return False

    def why_not(self) -> str:
        """Says nothing: without a server there is no connection, and no other reason."""
        return ""

    def settle(self) -> None:
        """Has nothing to do."""

    def send(self, message: Message) -> bool:
        """Sends at once or not at all; raises DeployError when the server is another user's."""
        return self.send_parts(encode(message))

    def send_parts(self, parts: Sequence[Part]) -> bool:
        """Sends what is encoded already; as `send`."""
        if self._line is None:
            self._connect()
        if self._line is None:
            return False
        try:
            return self._line.send_parts(parts)
        except Gone:
            return False  # `receive` will tell, once it has read what came before

    def receive(self) -> Sequence[Part] | None:
        """Returns the parts of a message that is here; raises Gone or WireError."""
        if self._line is None:
            return None
        try:
            return self._line.receive()
        except (Gone, WireError):
            self.close()
            raise

    def wait(self, seconds: float) -> None:
        """Waits for a message, or for time to try again."""
        if self._line is None:
            time.sleep(min(seconds, _RETRY_S))
        else:
            self._poll.poll(seconds * 1e3)

    def descriptors(self) -> tuple[int, ...]:
        """Returns what to poll: the socket, while it is connected."""
        return () if self._line is None else (self._line.fileno(),)

    def close(self) -> None:
        """Lets go; what was sent can still be read."""
        if self._line is not None:
            self._poll.unregister(self._line)
            self._line.close()
            self._line = None

    def _connect(self) -> None:
        now = time.monotonic()
        if now - self._tried_at < _RETRY_S:
            return
        self._tried_at = now
        connected = connect(self._path)
        if connected is not None:
            self._line = Line(connected)
            self._poll.register(self._line, select.POLLIN)


class LocalListener:
    """A server's end, bound to a socket that only this user can reach."""

    def __init__(self, endpoint: str) -> None:
        """Binds; raises DeployError when it cannot, or when others could reach the socket."""
        self.endpoint = endpoint
        self._path = path_of(endpoint, "--bind")
        self._socket, self._inode = bind(self._path)
        self._poll = select.epoll()
        self._poll.register(self._socket, select.EPOLLIN)
        self._lines: dict[int, Line] = {}  # by descriptor
        self._by_identity: dict[bytes, Line] = {}
        self._ready: deque[int] = deque()
        self._count = 0

    def wait(self, seconds: float) -> None:
        """Waits for a packet, at most so long, and lets in who comes."""
        self._ready.extend(descriptor for descriptor, _ in self._poll.poll(seconds))

    def allows(self, user_id: str) -> bool:
        """Says yes: who is not the same user was turned away."""
        return True

    def receive(self) -> Letter | None:
        """Returns one message of each who had sent one at the last `wait`, in turn, else None."""
        while self._ready:
            descriptor = self._ready.popleft()
            line = self._lines.get(descriptor)
            if line is not None:
                parts = self._parts(line)
                if parts is not None:
                    return Letter(line.identity, "", parts)
            elif descriptor == self._socket.fileno():
                self._accept()
        return None

    def send(self, message: Message, to: bytes) -> bool:
        """Sends at once or not at all; raises Gone when nobody is there any more."""
        return self.send_parts(encode(message), to)

    def send_parts(self, parts: Sequence[Part], to: bytes) -> bool:
        """Sends what is encoded already; as `send`."""
        line = self._by_identity.get(to)
        if line is None:
            raise Gone("nobody is connected under that identity")
        return line.send_parts(parts)

    def dismiss(self, identity: bytes) -> None:
        """Ends the connection with one robot, which sees it at once."""
        line = self._by_identity.get(identity)
        if line is not None:
            self._drop(line)

    def descriptors(self) -> tuple[int, ...]:
        """Returns what to poll: one that stands for all sockets."""
        return (self._poll.fileno(),)

    def close(self) -> None:
        """Closes all connections and removes the socket's name."""
        for line in list(self._lines.values()):
            self._drop(line)
        self._poll.close()
        self._socket.close()
        unbind(self._path, self._inode)

    def _accept(self) -> None:
        try:
            connected, _ = self._socket.accept()
        except OSError:
            return  # it has gone again
        user = user_of(connected)
        if user != os.geteuid() or len(self._lines) >= MAX_CONNECTIONS:
            _log.warning("turned away a process of user %d; %d connected", user, len(self._lines))
            connected.close()
            return
        self._count += 1
        line = Line(connected, self._count.to_bytes(8, "little"))
        self._lines[line.fileno()] = self._by_identity[line.identity] = line
        self._poll.register(line.fileno(), select.EPOLLIN)

    def _parts(self, line: Line) -> list[Part] | None:
        try:
            return line.receive()
        except WireError as error:
            _log.warning("refused a connection: %s", error)
            with contextlib.suppress(DeployError):  # it may not listen either
                line.send(Message(Fault("bad_message", str(error)[:1000])))
        except Gone:
            pass
        self._drop(line)
        return None

    def _drop(self, line: Line) -> None:
        self._poll.unregister(line.fileno())
        del self._lines[line.fileno()], self._by_identity[line.identity]
        line.close()
