"""The transport between two processes of one user: frames in shared memory, all else in packets.

A packet on a Unix socket is one message, whole or not there. It holds the message's short parts;
the long ones, the pictures, are in the sender's ring, whose descriptor came with a packet. Nothing
that comes is trusted: the two could be of different versions, and one could be broken.
"""

from __future__ import annotations

import array
import contextlib
import logging
import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator, Sequence

from demoloop.deploy.channel import Gone, Letter
from demoloop.deploy.errors import DeployError, WireError
from demoloop.deploy.local_socket import bind, connect, path_of, unbind, user_of
from demoloop.deploy.ring import RingReader, RingWriter
from demoloop.deploy.wire import MAX_FRAMES, Fault, Message, Part, encode

_log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64  # at once, whether or not they have said Hello
_RING_BYTES = 8 << 10  # a part of at least so many bytes travels in the ring
_MAX_PARTS = 2 + MAX_FRAMES
_PACKET_BYTES = 1024 + _MAX_PARTS * _RING_BYTES
_DESCRIPTOR = array.array("i").itemsize
_RETRY_S = 0.02  # from one attempt to connect to the next

# Stamp of the ring's slot (0: no ring is needed), number of parts; the size of each part follows.
_HEAD = struct.Struct("<QI")
_SIZES = tuple(struct.Struct(f"<{count}I") for count in range(_MAX_PARTS + 1))


class Line:
    """One connected socket, and the rings of both sides."""

    def __init__(self, connected: socket.socket, identity: bytes = b"") -> None:
        """Takes the socket over."""
        connected.setblocking(False)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _PACKET_BYTES)
        self.identity = identity
        self._socket = connected
        self._buffer = memoryview(bytearray(_PACKET_BYTES))
        self._writer: RingWriter | None = None
        self._is_announced = False  # whether the other side has the writer's memory
        self._reader: RingReader | None = None

    def fileno(self) -> int:
        """Returns what to poll."""
        return self._socket.fileno()

    def send(self, message: Message) -> bool:
        """Sends at once or not at all; raises Gone, or DeployError without memory for frames."""
        parts = encode(message)
        long = [part for part in parts if len(part) >= _RING_BYTES]
        stamp = self._write(long) if long else 0
        sizes = _SIZES[len(parts)].pack(*map(len, parts))
        short = [part for part in parts if len(part) < _RING_BYTES]
        rights: list[tuple[int, int, array.array[int]]] = []
        if long and not self._is_announced and self._writer is not None:
            descriptors = array.array("i", [self._writer.descriptor])
            rights.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors))
        try:
            self._socket.sendmsg([_HEAD.pack(stamp, len(parts)), sizes, *short], rights)
        except BlockingIOError:
            return False
        except OSError as error:
            raise Gone(f"the other side has gone: {error.strerror}") from error
        self._is_announced = self._is_announced or bool(long)
        return True

    def receive(self) -> list[Part] | None:
        """Returns the parts of a message that is here; None without one, or with a torn one.

        Raises:
            Gone: The other side has closed the connection.
            WireError: It sends what is no packet; nothing that follows can be understood either.
        """
        try:
            size, rights, flags, _ = self._socket.recvmsg_into(
                [self._buffer], socket.CMSG_SPACE(_DESCRIPTOR), socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except OSError as error:
            raise Gone(f"the other side has gone: {error.strerror}") from error
        if rights or flags & socket.MSG_CTRUNC:
            self._take_memory(rights)
        if size == 0:
            raise Gone("the other side has closed the connection")
        if flags & socket.MSG_TRUNC:
            raise WireError(f"a packet of more than {_PACKET_BYTES} bytes")
        return self._parts(bytes(self._buffer[:size]))

    def close(self) -> None:
        """Closes the socket and lets go of the memory."""
        self._socket.close()
        for ring in (self._writer, self._reader):
            if ring is not None:
                ring.close()
        self._writer = self._reader = None

    def _write(self, parts: Sequence[Part]) -> int:
        sizes = [len(part) for part in parts]
        if self._writer is None or not self._writer.has_room(sizes):
            writer = RingWriter(sizes)
            if self._writer is not None:
                self._writer.close()
            self._writer, self._is_announced = writer, False
        return self._writer.write(parts)

    def _take_memory(self, rights: Sequence[tuple[int, int, bytes]]) -> None:
        descriptors = array.array("i")
        for _, _, data in rights:
            descriptors.frombytes(data[: len(data) // _DESCRIPTOR * _DESCRIPTOR])
        try:
            if len(descriptors) != 1:
                raise WireError(f"{len(descriptors)} descriptors with one packet")
            reader = RingReader(descriptors[0])
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        if self._reader is not None:
            self._reader.close()
        self._reader = reader

    def _parts(self, packet: bytes) -> list[Part] | None:
        if len(packet) < _HEAD.size:
            raise WireError(f"a packet of {len(packet)} bytes")
        stamp, count = _HEAD.unpack_from(packet)
        start = _HEAD.size + 4 * count
        if count > _MAX_PARTS or start > len(packet):
            raise WireError(f"a packet of {len(packet)} bytes that is said to have {count} parts")
        sizes: tuple[int, ...] = _SIZES[count].unpack_from(packet, _HEAD.size)
        if start + sum(size for size in sizes if size < _RING_BYTES) != len(packet):
            raise WireError(f"parts of {sizes} bytes do not make a packet of {len(packet)}")
        long = [size for size in sizes if size >= _RING_BYTES]
        frames: Iterator[memoryview] = iter(())
        if long:
            if self._reader is None:
                raise WireError("frames in shared memory, and no memory has come")
            whole = self._reader.read(stamp, long)
            if whole is None:
                return None
            frames = iter(whole)
        parts: list[Part] = []
        for size in sizes:
            if size >= _RING_BYTES:
                parts.append(next(frames))
            else:
                parts.append(packet[start : start + size])
                start += size
        return parts


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
        if self._line is None:
            self._connect()
        if self._line is None:
            return False
        try:
            return self._line.send(message)
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
        line = self._by_identity.get(to)
        if line is None:
            raise Gone("nobody is connected under that identity")
        return line.send(message)

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
