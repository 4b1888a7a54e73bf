"""For those who look on: publish and subscribe, newest only, lossy by design.

One part a message, as ZeroMQ's CONFLATE wants it: a topic, the status, and with topic `p` a JPEG a
camera. A viewer that is slow, or has gone to sleep, costs the others nothing and gets the newest
when it wakes.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from demoloop.deploy.auth import Gate, Pin
from demoloop.deploy.endpoints import check_endpoint
from demoloop.deploy.errors import DeployError, WireError
from demoloop.deploy.notes import MAX_NOTE_BYTES, Reader, Status, pack
from demoloop.deploy.sockets import bind, connect, make_socket

STATUS_TOPIC, PICTURES_TOPIC = b"DMTs", b"DMTp"
JPEG_QUALITY = 80
_MAX_PICTURES, _MAX_BYTES = 16, 4 << 20
_MAX_SUBSCRIPTION_BYTES = 1024  # which also bounds the handshake of CURVE
_BURST = 64
_HEAD = struct.Struct("<IB")  # bytes of the status, number of pictures
_ENTRY = struct.Struct("<BI")  # bytes of a camera's name, of its JPEG
_STATUS: Reader[Status] = Reader(Status)


@dataclass(frozen=True)
class Sight:
    """What a viewer sees at one moment."""

    status: Status
    jpegs: Mapping[str, bytes]  # camera -> JPEG; empty unless asked for


def pack_sight(sight: Sight, topic: bytes) -> bytes:
    """Returns one message."""
    status = pack(sight.status)
    parts = [topic, _HEAD.pack(len(status), len(sight.jpegs)), status]
    for camera, jpeg in sight.jpegs.items():
        name = camera.encode()
        parts += [_ENTRY.pack(len(name), len(jpeg)), name, jpeg]
    return b"".join(parts)


def read_sight(data: bytes) -> Sight:
    """Returns what a message says; raises WireError, and nothing else, for what is none."""
    at = len(STATUS_TOPIC)
    if data[:at] not in (STATUS_TOPIC, PICTURES_TOPIC) or len(data) < at + _HEAD.size:
        raise WireError(f"not a message for viewers: it starts with {data[:at]!r}")
    size, count = _HEAD.unpack_from(data, at)
    at += _HEAD.size
    if count > _MAX_PICTURES or size > MAX_NOTE_BYTES:
        raise WireError(f"a message for viewers of {size} bytes of status and {count} pictures")
    status = _STATUS.read(data[at : at + size])
    at += size
    jpegs: dict[str, bytes] = {}
    for _ in range(count):
        if at + _ENTRY.size > len(data):
            raise WireError("a message for viewers that was cut off")
        name_size, jpeg_size = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        end = at + name_size + jpeg_size
        if end > len(data):
            raise WireError("a message for viewers that was cut off")
        name = data[at : at + name_size].decode(errors="replace")
        jpegs[name], at = data[at + name_size : end], end
    return Sight(status, jpegs)


def to_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Returns an RGB picture (height, width, 3) as a JPEG."""
    import cv2  # here, since it takes a tenth of a second and often nobody looks on

    flags = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    is_done, jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)
    return bytes(jpeg) if is_done else b""


class Publisher:
    """The io process's end.

    Args:
        context: Of the gate, if there is one.
        endpoint: Where to listen; port * takes a free one.
        gate: Who may look on; None on loopback only.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, gate: Gate | None
    ) -> None:
        check_endpoint(endpoint, "--telemetry", any_port=True, has_keys=gate is not None)
        self._context = context
        self._gate = gate
        self._topics: set[bytes] = set()
        self._revision = gate.revision if gate is not None else 0
        self._open(endpoint)

    @property
    def is_watched(self) -> bool:
        """Whether somebody wants pictures."""
        return PICTURES_TOPIC in self._topics

    def hear(self) -> None:
        """Takes in who comes and goes; cuts off a viewer that is trusted no longer."""
        if self._gate is not None and self._gate.revision != self._revision:
            self._revision = self._gate.revision
            self.close()
            self._topics.clear()
        if self._socket.closed:
            # ZeroMQ gives a port back some time after: until then nobody sees anything.
            with contextlib.suppress(DeployError):
                self._open(self.endpoint)  # where everybody has to show a key again
            return
        for _ in range(_BURST):
            try:
                asked = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            topic = asked[1:]
            if asked[:1] == b"\x01" and topic in (STATUS_TOPIC, PICTURES_TOPIC):
                self._topics.add(topic)
            elif asked[:1] == b"\x00":
                self._topics.discard(topic)

    def publish(self, status: Status) -> None:
        """Sends the status to those who want that; at once, or not at all."""
        if STATUS_TOPIC in self._topics:
            self._send(pack_sight(Sight(status, {}), STATUS_TOPIC))

    def publish_pictures(self, status: Status, images: Mapping[str, NDArray[np.uint8]]) -> None:
        """Sends pictures and status to those who want both; at once, or not at all."""
        if self.is_watched:
            jpegs = {camera: to_jpeg(image) for camera, image in images.items()}
            self._send(pack_sight(Sight(status, jpegs), PICTURES_TOPIC))

    def close(self) -> None:
        """Sends no more."""
        self._socket.close()

    def _open(self, endpoint: str) -> None:
        self._socket = make_socket(self._context, zmq.XPUB)
        # What a viewer did not take is old news.
        self._socket.setsockopt(zmq.SNDHWM, 2)
        self._socket.setsockopt(zmq.SNDBUF, 256 << 10)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_SUBSCRIPTION_BYTES)
        has_keys = self._gate is not None
        try:
            if self._gate is not None:
                self._gate.protect(self._socket, "telemetry")
            self.endpoint = bind(self._socket, endpoint, "--telemetry", has_keys=has_keys)
        except BaseException:
            self._socket.close()
            raise

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(zmq.Again):
            self._socket.send(data, zmq.NOBLOCK)


class Viewer:
    """A viewer's end, inside a `with` block; sends nothing but what it wants to see.

    Args:
        endpoint: Where the run publishes.
        wants_pictures: Or the status alone.
        pin: Whom to trust; needed off loopback.
    """

    def __init__(self, endpoint: str, *, wants_pictures: bool, pin: Pin | None = None) -> None:
        check_endpoint(endpoint, "the telemetry line", has_keys=pin is not None)
        self.endpoint = endpoint
        self._topic = PICTURES_TOPIC if wants_pictures else STATUS_TOPIC
        self._pin = pin

    def __enter__(self) -> Viewer:
        """Begins to connect."""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = make_socket(self._context, zmq.SUB)
        self._socket.setsockopt(zmq.CONFLATE, 1)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_BYTES)
        self._socket.setsockopt(zmq.SUBSCRIBE, self._topic)
        try:
            if self._pin is not None:
                self._pin.protect(self._socket)
            connect(self._socket, self.endpoint)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Looks no more."""
        self._context.destroy(linger=0)

    def look(self, seconds: float) -> Sight | None:
        """Returns the newest that has come, waiting at most so long; None without any.

        Raises:
            DeployError: What came is of another version.
        """
        if not self._socket.poll(int(seconds * 1e3)):
            return None
        data: Any = self._socket.recv()
        try:
            return read_sight(data)
        except WireError as error:
            raise DeployError(
                f"{self.endpoint}: {error}; install the same demoloop on both sides"
            ) from error
