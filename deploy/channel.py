"""What a policy server and a robot need of a transport, and which there are.

`tcp://HOST:PORT` is ZeroMQ, for two computers; `unix:///FOLDER/NAME.sock` is shared memory and a
socket, for two processes of one user on one computer. All else, sessions, credits and heartbeats,
is the same: the endpoint alone moves a part to another host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from demoloop.deploy.errors import DeployError
from demoloop.deploy.wire import Message, Part


class Gone(DeployError):
    """The other side has ended its connection without a goodbye."""


class Letter(NamedTuple):
    """A message that has come to a server, and who sent it."""

    identity: bytes  # of the connection
    user_id: str  # the sender's public key; empty without keys
    parts: Sequence[Part]  # not decoded, not trusted


class Connection(Protocol):
    """A robot's end. Connects by itself, and again when the server comes back."""

    def is_hopeless(self) -> bool:
        """Says whether the server has turned this robot away for good."""
        ...

    def why_not(self) -> str:
        """Returns a sentence about a connection that does not come off, empty without a reason."""
        ...

    def settle(self) -> None:
        """The server has answered: how the connection came about is of no interest any more."""
        ...

    def send(self, message: Message) -> bool:
        """Sends at once or not at all; returns whether it was sent.

        Raises:
            DeployError: The server is another user's, or there is no memory for the frames.
        """
        ...

    def send_parts(self, parts: Sequence[Part]) -> bool:
        """Sends what is encoded already, 2 to 2 + MAX_FRAMES parts; as `send`."""
        ...

    def receive(self) -> Sequence[Part] | None:
        """Returns the parts of a message that is already here, else None.

        Raises:
            Gone: The server has just gone.
            WireError: What came is no message at all.
        """
        ...

    def wait(self, seconds: float) -> None:
        """Waits for a message, at most so long."""
        ...

    def descriptors(self) -> tuple[int, ...]:
        """Returns what to poll for reading, if something else is to be waited for too.

        They may differ from call to call. Poll only after `receive` has returned None, and take a
        readable one for a hint: there may be nothing to receive.
        """
        ...

    def close(self) -> None:
        """Lets go, once what was sent has left or a tenth of a second has passed."""
        ...


class Listener(Protocol):
    """A server's end, bound. One thread at a time may use it."""

    @property
    def endpoint(self) -> str:
        """Where robots find it."""
        ...

    def wait(self, seconds: float) -> None:
        """Waits for a message, at most so long, and sees to those who come and go."""
        ...

    def allows(self, user_id: str) -> bool:
        """Says whether messages of a sender may be taken in, as of the last `wait`."""
        ...

    def receive(self) -> Letter | None:
        """Returns a message that was here after the last `wait`, else None."""
        ...

    def send(self, message: Message, to: bytes) -> bool:
        """Sends at once or not at all; returns whether it was sent.

        Raises:
            Gone: Nobody is connected under that identity any more.
        """
        ...

    def send_parts(self, parts: Sequence[Part], to: bytes) -> bool:
        """Sends what is encoded already, 2 to 2 + MAX_FRAMES parts; as `send`."""
        ...

    def dismiss(self, identity: bytes) -> None:
        """Ends the connection with one robot where the transport can; else it hears no more."""
        ...

    def descriptors(self) -> tuple[int, ...]:
        """Returns what to poll, as for a `Connection`; `wait` before receiving."""
        ...

    def close(self) -> None:
        """Listens no more, once what was sent has left or a tenth of a second has passed."""
        ...
