"""What becomes of connections: those that do not come off, and those that are too many."""

from __future__ import annotations

import logging

import zmq
from zmq.utils.monitor import recv_monitor_message

_log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64  # at once, whether or not they have shown a key yet


class Handshakes:
    """Listens within a `with` block to how a connecting socket fares."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._events = socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_FAILED_AUTH
            | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
            | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
        )
        self.has_failed = False
        # Both for good: ZeroMQ does not try again.
        self.is_key_refused = False
        self.is_plain_refused = False  # one side has keys and the other has none

    def look(self) -> None:
        """Takes note of what failed since the last look."""
        while self._events.poll(0):
            message = recv_monitor_message(self._events)
            self.has_failed = True
            self.is_key_refused |= message["event"] == zmq.EVENT_HANDSHAKE_FAILED_AUTH
            self.is_plain_refused |= (
                message["event"] == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
                and message["value"] == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
            )

    def __enter__(self) -> Handshakes:
        """Listens from the beginning."""
        return self

    def __exit__(self, *error: object) -> None:
        """Listens no more; the socket still is open."""
        self._socket.disable_monitor()
        self._events.close(linger=0)


class Doorkeeper:
    """Closes the port of a bound socket while too many are connected; those stay connected.

    ZeroMQ itself accepts until the process is out of file handles.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        """Begins to count; the socket is not bound yet."""
        self.num_connections = 0
        self._socket = socket
        self._is_open = True
        self.events = socket.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)

    def close(self) -> None:
        """Counts no more; the socket still is open."""
        self._socket.disable_monitor()
        self.events.close(linger=0)

    def look(self, endpoint: str) -> None:
        """Counts, and opens or closes the port; called when `events` has some, and now and then."""
        while self.events.poll(0):
            event = recv_monitor_message(self.events)["event"]
            self.num_connections += 1 if event == zmq.EVENT_ACCEPTED else -1
        if self._is_open and self.num_connections >= MAX_CONNECTIONS:
            self._socket.unbind(endpoint)
            self._is_open = False
            _log.warning("%s is closed: %d connections", endpoint, self.num_connections)
        elif not self._is_open and self.num_connections < MAX_CONNECTIONS // 2:
            try:
                self._socket.bind(endpoint)
            except zmq.ZMQError:
                return  # the old listener is not quite gone, or another took the port; once more
            self._is_open = True
            _log.warning("%s is open again: %d connections", endpoint, self.num_connections)
