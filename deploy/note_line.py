"""A private line for notes between the guard and its io process; neither end ever waits."""

from __future__ import annotations

import select
import socket
from collections import deque
from typing import Generic, TypeVar

from demoloop.deploy.errors import WireError
from demoloop.deploy.notes import MAX_NOTE_BYTES, Note, Reader, pack

T = TypeVar("T")

_MAX_WAITING = 256  # notes; more only come while the other side does not read
_BURST = 32  # notes read at one go: whatever the other side sends, a tick stays a tick


class NoteLine(Generic[T]):
    """One end of a pair of Unix sockets that keep the bounds of messages.

    Whoever holds the other end is one process, so `is_gone` is true once that process has ended,
    however it ended: the kernel closes what it held.

    Args:
        connected: One of a `socket.socketpair` of SOCK_SEQPACKET; taken over.
        reader: Of what may come.
    """

    def __init__(self, connected: socket.socket, reader: Reader[T]) -> None:
        connected.setblocking(False)
        self.is_gone = False
        self.num_lost = 0  # notes that were not sent, for want of room
        self.num_garbled = 0
        self._socket = connected
        self._reader = reader
        self._waiting: deque[bytes] = deque()

    def fileno(self) -> int:
        """Returns what to poll."""
        return self._socket.fileno()

    def send(self, note: Note) -> None:
        """Sends as soon as there is room; what has to wait longest is never lost for what came."""
        if len(self._waiting) >= _MAX_WAITING:
            self.num_lost += 1
            return
        self._waiting.append(pack(note))
        self.flush()

    def offer(self, note: Note) -> bool:
        """Sends at once or not at all: for what the next one makes worthless."""
        self.flush()
        return not self._waiting and self._put(pack(note))

    def flush(self) -> None:
        """Sends what waits, as far as there is room."""
        while self._waiting:
            data = self._waiting.popleft()
            if not self._put(data):
                self._waiting.appendleft(data)
                return

    def receive(self) -> list[T]:
        """Returns what has come, a burst at most."""
        notes: list[T] = []
        for _ in range(_BURST):
            try:
                data = self._socket.recv(MAX_NOTE_BYTES + 1)
            except BlockingIOError:
                break
            except ConnectionResetError:
                continue  # it ended with notes of ours unread; what it sent before comes next
            except OSError:
                data = b""
            if not data:
                self.is_gone = True
                break
            try:
                notes.append(self._reader.read(data))
            except WireError:
                self.num_garbled += 1  # another version of demoloop: nothing of it is obeyed
        return notes

    def wait(self, seconds: float) -> None:
        """Waits for a note, at most so long."""
        select.select([self._socket], [], [], seconds)

    def close(self) -> None:
        """Lets go; what was sent can still be read."""
        self.flush()
        self._socket.close()
        self._waiting.clear()

    def _put(self, data: bytes) -> bool:
        try:
            self._socket.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError:
            pass  # it has gone, which `receive` tells once it has read what came before
        return True
