"""The control line: operators say hold, go, stop, reset; each order is answered by the guard.

A socket of its own, so that an order never stands behind a picture. DEALER and ROUTER; off
loopback only keys with the role operator get in. Nothing that can be ordered ends the process or
loads anything.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import zmq

from demoloop.deploy.auth import Gate, Pin
from demoloop.deploy.endpoints import check_endpoint
from demoloop.deploy.errors import DeployError, WireError
from demoloop.deploy.notes import (
    MAX_NOTE_BYTES,
    Alive,
    Order,
    Reader,
    Reply,
    Status,
    pack,
)
from demoloop.deploy.sockets import bind, connect, make_socket

OPERATOR_PATIENCE_S = 0.5
"""An operator who was not heard for longer is no longer there: the dead-man's time."""
ALIVE_EVERY_S = 0.1
MAX_OPERATORS = 8
_MAX_PENDING = 64  # orders that wait for the guard
_BURST = 32  # messages read before anything else gets its turn

_OPERATOR: Reader[Order | Alive] = Reader(Order | Alive)
_ANSWER: Reader[Reply | Status] = Reader(Reply | Status)


@dataclass
class _Operator:
    name: str
    heard_at: float


class ControlServer:
    """The io process's end: hands orders on to the guard, and answers back to who gave them.

    Args:
        context: Of the gate, if there is one.
        endpoint: Where to listen; port * takes a free one.
        gate: Who may; None on loopback only.
        give: Hands an order over to the guard, with a number of our own.
        now: s, monotonic.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        gate: Gate | None,
        give: Callable[[Order], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        check_endpoint(endpoint, "--control", any_port=True, has_keys=gate is not None)
        self.num_garbled = 0
        self._gate = gate
        self._give = give
        self._now = now
        self._operators: dict[bytes, _Operator] = {}  # by connection
        self._pending: dict[int, tuple[bytes, int]] = {}  # our number -> connection, its number
        self._count = 0
        self.socket = make_socket(context, zmq.ROUTER)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_NOTE_BYTES)
        try:
            if gate is not None:
                gate.protect(self.socket, "control")
            self.endpoint = bind(self.socket, endpoint, "--control", has_keys=gate is not None)
        except BaseException:
            self.socket.close()
            raise

    @property
    def operator(self) -> str:
        """Who was heard last, within the dead-man's time; empty: nobody."""
        self._forget_silent()
        if not self._operators:
            return ""
        return max(self._operators.values(), key=lambda it: it.heard_at).name

    def hear(self, status: Status | None) -> None:
        """Takes in what has come; `status` is the newest, for who says that he lives."""
        for _ in range(_BURST):
            try:
                identity, *parts = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            user_id = str(identity.get("User-Id")) if self._gate is not None else ""
            if self._gate is not None and not self._gate.allows(user_id, "control"):
                self._operators.pop(identity.bytes, None)
                continue  # its key was revoked
            try:
                if len(parts) != 1:
                    raise WireError(f"{len(parts)} parts")
                note = _OPERATOR.read(parts[0].buffer)
            except WireError:
                self.num_garbled += 1
                continue
            proven = self._gate.name_of(user_id) if self._gate is not None else ""
            self._take(identity.bytes, note, proven or f"{note.who or 'somebody'} (no key)", status)

    def answer(self, reply: Reply) -> None:
        """Hands the guard's answer to who gave the order."""
        identity, number = self._pending.pop(reply.number, (b"", 0))
        if identity:
            self._send(identity, msgspec.structs.replace(reply, number=number))

    def close(self) -> None:
        """Listens no more."""
        self.socket.close()

    def _take(self, identity: bytes, note: Order | Alive, name: str, status: Status | None) -> None:
        self._forget_silent()
        operator = self._operators.get(identity)
        if operator is None and len(self._operators) < MAX_OPERATORS:
            operator = self._operators[identity] = _Operator(name[:64], 0.0)
        if operator is not None:
            operator.heard_at = self._now()
        if isinstance(note, Order):
            # Whoever is one too many may still stop the arm.
            self._count += 1
            self._pending[self._count] = (identity, note.number)
            while len(self._pending) > _MAX_PENDING:
                del self._pending[next(iter(self._pending))]
            self._give(msgspec.structs.replace(note, number=self._count, who=name[:64]))
        elif status is not None:
            self._send(identity, status)

    def _forget_silent(self) -> None:
        oldest = self._now() - OPERATOR_PATIENCE_S
        self._operators = {k: it for k, it in self._operators.items() if it.heard_at >= oldest}

    def _send(self, identity: bytes, note: Reply | Status) -> None:
        with contextlib.suppress(zmq.ZMQError):  # it has gone, or does not read
            self.socket.send_multipart([identity, pack(note)], zmq.NOBLOCK)


class Operator:
    """An operator's end, inside a `with` block.

    Args:
        endpoint: Where the run listens for orders.
        who: A name for the log; a key's own name counts more.
        pin: Whom to trust; needed off loopback.
        timeout_s: How long an answer may take.
    """

    def __init__(
        self, endpoint: str, who: str, pin: Pin | None = None, timeout_s: float = 2.0
    ) -> None:
        check_endpoint(endpoint, "the control line", has_keys=pin is not None)
        self.endpoint = endpoint
        self.status: Status | None = None  # the newest that came
        self._who = who[:64]
        self._pin = pin
        self._timeout_s = timeout_s
        self._count = 0
        self._replies: dict[int, Reply] = {}

    def __enter__(self) -> Operator:
        """Begins to connect."""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = make_socket(self._context, zmq.DEALER)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_NOTE_BYTES)
        # An order that cannot leave at once waits for the connection to come about.
        self.socket.setsockopt(zmq.IMMEDIATE, 0)
        try:
            if self._pin is not None:
                self._pin.protect(self.socket)
            connect(self.socket, self.endpoint)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves; a run that needs an operator holds soon after."""
        self._context.destroy(linger=0)

    def say_alive(self) -> None:
        """Says that somebody is here; call it every `ALIVE_EVERY_S`."""
        self._send(Alive(self._who))

    def order(self, verb: str, name: str = "", value: float = 0.0) -> Reply:
        """Gives an order and waits for its answer.

        Raises:
            DeployError: No answer came, or there is no such order.
        """
        try:
            self._count += 1
            order = msgspec.convert(
                {"type": "Order", "number": self._count, "verb": verb, "who": self._who,
                 "name": name, "value": value}, Order,
            )  # fmt: skip
        except msgspec.ValidationError as error:
            raise DeployError(f"no order {verb!r} {name!r} {value!r}: {error}") from error
        deadline = time.monotonic() + self._timeout_s
        self._send(order)
        while order.number not in self._replies:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise DeployError(
                    f"{self.endpoint} did not answer {verb!r} within {self._timeout_s:g} s: no run "
                    "listens there, or its key list does not trust yours as operator; if the arm "
                    "moves, use its switch"
                )
            self.hear(left_s)
        return self._replies.pop(order.number)

    def hear(self, seconds: float) -> None:
        """Takes in what has come, waiting for the first at most so long."""
        if not self.socket.poll(max(0, int(seconds * 1e3))):
            return
        for _ in range(_BURST):
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                note = _ANSWER.read(parts[0]) if len(parts) == 1 else None
            except WireError:
                continue
            if isinstance(note, Status):
                self.status = note
            elif note is not None:
                self._replies = {note.number: note}

    def _send(self, note: Order | Alive) -> None:
        with contextlib.suppress(zmq.Again):  # nobody reads; the answer that fails will tell
            self.socket.send(pack(note), zmq.NOBLOCK)
