"""How both sides set up their sockets: bounded, and off loopback only with keys."""

from __future__ import annotations

from collections.abc import Sequence

import zmq

from demoloop.deploy.channel import Letter
from demoloop.deploy.endpoints import check_endpoint
from demoloop.deploy.errors import DeployError
from demoloop.deploy.wire import MAX_FRAME_BYTES, Part

_HIGH_WATER = 16  # messages: news, never a backlog; what does not fit is dropped and made up for


def make_socket(context: zmq.Context[zmq.Socket[bytes]], kind: int) -> zmq.Socket[bytes]:
    """Returns a socket that never waits for a dead peer and never accepts a huge message."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, _HIGH_WATER)
    socket.setsockopt(zmq.RCVHWM, _HIGH_WATER)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
    # So many connections that have shown no key yet can be held open: those of the last second.
    socket.setsockopt(zmq.HANDSHAKE_IVL, 1000)
    socket.setsockopt(zmq.BACKLOG, 32)
    # Without it messages to a dead peer pile up, and a peer that comes back gets old news.
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    return socket


def bind(
    socket: zmq.Socket[bytes], endpoint: str, what: str = "--bind", *, has_keys: bool = False
) -> str:
    """Binds and returns the endpoint with its real port; raises DeployError when it is taken.

    `what` names the option that the endpoint came from.
    """
    check_endpoint(endpoint, what, any_port=True, has_keys=has_keys)
    try:
        socket.setsockopt(zmq.IPV6, "[" in endpoint)
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        if error.errno == zmq.EADDRINUSE:
            host = endpoint.rpartition(":")[0]
            raise DeployError(
                f"{endpoint} is in use already; stop what listens there, or take whichever port is "
                f"free with {what} '{host}:*'"
            ) from error
        raise DeployError(f"cannot bind {endpoint}: {error.strerror}") from error
    return str(socket.getsockopt_string(zmq.LAST_ENDPOINT))


def connect(socket: zmq.Socket[bytes], endpoint: str) -> None:
    """Begins to connect, for as long as it takes; raises DeployError for what is no endpoint."""
    try:
        socket.setsockopt(zmq.IPV6, "[" in endpoint)
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise DeployError(f"cannot connect to {endpoint}: {error.strerror}") from error


def send(socket: zmq.Socket[bytes], parts: Sequence[Part], *, to: bytes | None = None) -> bool:
    """Sends at once or not at all; returns whether it was sent."""
    parts = parts if to is None else [to, *parts]
    try:
        # The frames are copied: the next look may be rendered into the same memory.
        socket.send_multipart(parts, zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True


def receive(socket: zmq.Socket[bytes]) -> list[memoryview] | None:
    """Returns the parts of a message that is already here, not copied, else None."""
    try:
        return [part.buffer for part in socket.recv_multipart(zmq.NOBLOCK, copy=False)]
    except zmq.Again:
        return None


def receive_from(socket: zmq.Socket[bytes], *, has_keys: bool = False) -> Letter | None:
    """Returns a message that is already at a ROUTER, not copied, else None."""
    try:
        identity, *parts = socket.recv_multipart(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return None
    user_id = str(identity.get("User-Id")) if has_keys else ""
    return Letter(identity.bytes, user_id, [part.buffer for part in parts])
