"""Why a connection does not come off."""

from __future__ import annotations

import zmq
from zmq.utils.monitor import recv_monitor_message


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
