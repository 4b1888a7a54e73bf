"""Who may connect: CURVE on both sides, an allow-list at the one that binds.

CURVE proves that the other side holds the secret of a public key, and encrypts. The allow-list is
a `KeyFolder`; what a key may do depends on its role and on the line it connects to.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Literal

import zmq

from demoloop.deploy.errors import DeployError
from demoloop.deploy.key_files import OwnKey, Role, TrustedKey, fingerprint
from demoloop.deploy.keys import KeyFolder

_log = logging.getLogger(__name__)

Line = Literal["policy", "robot", "control", "telemetry"]
MAY_USE: Mapping[Line, frozenset[Role]] = {
    "policy": frozenset({"policy"}),  # observations one way, chunks the other
    "robot": frozenset({"operator"}),  # looks one way, actions the other
    "control": frozenset({"operator"}),
    "telemetry": frozenset({"viewer", "policy", "operator"}),
}
"""Line -> roles. A viewer sends nothing that anybody takes in: telemetry is publish/subscribe."""

_CHECK_EVERY_S = 0.25  # of living connections; a new one is always checked
_ZAP_VERSION = b"1.0"


class Gate:
    """Lets trusted keys in, and says of each message whether its sender still is trusted.

    ZeroMQ asks it about each handshake on `socket` (ZAP, RFC 27); whoever polls the server's
    sockets polls this one too and calls `answer`. `open` before use, `close` after.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], folder: KeyFolder) -> None:
        self.socket: zmq.Socket[bytes]
        self._context = context
        self._folder = folder
        self._own: OwnKey
        self._marks: Mapping[str, tuple[int, ...]] = {}
        self._trusted: Mapping[str, TrustedKey] = {}  # by public key
        self._checked_at = 0.0
        self.revision = 0  # counts each change of whom it trusts

    def open(self) -> None:
        """Reads the keys; raises DeployError when one of them cannot be used."""
        self._own = self._folder.own()
        self._marks = self._folder.marks()
        self._trusted = {key.public: key for key in self._folder.trusted()}
        self.socket = self._context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind("inproc://zeromq.zap.01")  # where ZeroMQ looks for it

    def close(self) -> None:
        """Lets nobody in any more."""
        self.socket.close()

    def protect(self, socket: zmq.Socket[bytes], line: Line) -> None:
        """Makes a socket that is not bound yet ask for keys."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, bytes.fromhex(self._own.secret))
        socket.setsockopt(zmq.ZAP_DOMAIN, line.encode())
        # Without it a context that has no gate would let every key in.
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def answer(self) -> None:
        """Answers the handshakes that wait; the key becomes the User-Id of its messages."""
        while self.socket.poll(0):
            request = self.socket.recv_multipart()
            number = request[1] if len(request) > 1 else b""
            public = self._admitted(request)
            verdict = [b"200", b"", public.encode()] if public else [b"400", b"not trusted", b""]
            self.socket.send_multipart([_ZAP_VERSION, number, *verdict, b""])

    def allows(self, user_id: str, line: Line) -> bool:
        """Says whether messages of a key may be taken in; as of the last `refresh`."""
        key = self._trusted.get(user_id)
        return key is not None and key.role in MAY_USE[line]

    def name_of(self, user_id: str) -> str:
        """Returns the short name of a trusted key."""
        return self._trusted[user_id].name

    def refresh(self) -> None:
        """Takes in, now and then, what `demoloop keys` changed meanwhile."""
        if time.monotonic() - self._checked_at >= _CHECK_EVERY_S:
            self._read_again()

    def _admitted(self, request: list[bytes]) -> str:
        if len(request) != 7 or request[0] != _ZAP_VERSION or request[5] != b"CURVE":
            return ""
        self._read_again()
        public = request[6].hex()
        for line in MAY_USE:
            if request[2] == line.encode() and self.allows(public, line):
                _log.info("%s connected to the %s line", self.name_of(public), line)
                return public
        key = self._trusted.get(public)
        who = f"{key.name}, a {key.role}" if key else f"an unknown key {fingerprint(public)}"
        _log.warning("turned away %s from %s", who, request[3].decode(errors="replace"))
        return ""

    def _read_again(self) -> None:
        self._checked_at = time.monotonic()
        try:
            self._folder.check()
            marks = self._folder.marks()
        except DeployError as error:
            _log.error("nobody is trusted any more: %s", error)
            self.revision += bool(self._trusted)
            self._marks, self._trusted = {}, {}
            return
        except OSError as error:
            # Such as no file handle left in a flood of connections, which must cut off nobody.
            _log.warning("the trusted keys cannot be looked up: %s", error.strerror)
            return
        if marks == self._marks:
            return
        trusted: dict[str, TrustedKey] = {}
        for name in marks:
            try:
                key = self._folder.read(name)
            except DeployError as error:
                _log.error("%s is not trusted: %s", name, error)
            else:
                trusted[key.public] = key
        for gone in self._trusted.keys() - trusted.keys():
            _log.warning("%s is trusted no longer", self._trusted[gone].name)
        self._marks, self._trusted = marks, trusted
        self.revision += 1


class Pin:
    """The one server a robot obeys, by its public key, and the key the robot shows it."""

    def __init__(self, folder: KeyFolder, server: str | None = None) -> None:
        """Reads the keys; raises DeployError when they cannot be used.

        Args:
            folder: With this robot's own key, and the server's as a trusted one.
            server: The server's name there; None when only one key is trusted as policy.
        """
        self._folder = folder
        self._own = folder.own()
        self.server = folder.server(server)
        self._mark = folder.mark(self.server.name)
        self._checked_at = time.monotonic()

    def protect(self, socket: zmq.Socket[bytes]) -> None:
        """Makes a socket that is not connected yet speak to that server only."""
        socket.setsockopt(zmq.CURVE_SERVERKEY, bytes.fromhex(self.server.public))
        socket.setsockopt(zmq.CURVE_PUBLICKEY, bytes.fromhex(self._own.public))
        socket.setsockopt(zmq.CURVE_SECRETKEY, bytes.fromhex(self._own.secret))

    def check(self) -> None:
        """Raises DeployError when, now and then looked up, the server's key was revoked."""
        if time.monotonic() - self._checked_at < _CHECK_EVERY_S:
            return
        self._checked_at = time.monotonic()
        if self._folder.mark(self.server.name) != self._mark:
            raise DeployError(
                f"the key of the server, {self.server.name}, was revoked or replaced "
                "while the robot ran; run again with a key you trust"
            )

    def describe(self) -> str:
        """Says what both sides can compare by eye."""
        return (
            f"the server's key {self.server.name} is {fingerprint(self.server.public)}, this "
            f"robot's {self._own.name} is {fingerprint(self._own.public)}"
        )
