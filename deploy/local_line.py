"""One connected Unix socket that carries messages, their pictures in memory both sides share.

A packet is one message, whole or not there. It holds the message's short parts; the long ones, the
pictures, are in the sender's ring, whose descriptor came with a packet. Nothing that comes is
trusted: the two could be of different versions, and one could be broken.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from demoloop.deploy.channel import Gone
from demoloop.deploy.errors import WireError
from demoloop.deploy.ring import RingReader, RingWriter
from demoloop.deploy.wire import MAX_FRAMES, Message, Part, encode

_RING_BYTES = 8 << 10  # a part of at least so many bytes travels in the ring
_MAX_PARTS = 2 + MAX_FRAMES
_PACKET_BYTES = 1024 + _MAX_PARTS * _RING_BYTES
_DESCRIPTOR = array.array("i").itemsize

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
        return self.send_parts(encode(message))

    def send_parts(self, parts: Sequence[Part]) -> bool:
        """Sends what is encoded already; as `send`."""
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
