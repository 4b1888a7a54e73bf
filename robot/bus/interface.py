"""What a bus of servos does, and what it is spoken over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Replies:
    """What came back from several servos. A servo that failed does not spoil the others."""

    values: Mapping[int, bytes]  # id -> the bytes that were asked for
    errors: Mapping[int, int]  # id -> the error byte of its reply; 0 when all is well
    missing: tuple[int, ...] = ()  # ids without a reply that could be trusted
    garbled: frozenset[int] = frozenset()
    """Missing ids for which something came that was broken, or more than one reply did.

    Two servos of one id look like this: they answer at the same time.
    """


@dataclass(frozen=True)
class Identity:
    """Which servo answers to an id."""

    model: int  # its number, as in `ServoModel.number`
    firmware: tuple[int, ...]


class Link(Protocol):
    """Bytes to and from the servos: a serial port, or servos in memory."""

    @property
    def name(self) -> str:
        """What to call it in an error."""
        ...

    def open(self) -> None:
        """Makes ready; RobotError says why it cannot."""
        ...

    def close(self) -> None:
        """Lets go; may be called twice."""
        ...

    def write(self, data: bytes) -> None:
        """Sends all of it; Disconnected when nobody is there any more."""
        ...

    def read(self, deadline: float) -> bytes:
        """Returns what has come, at the latest at `deadline` [s]; empty when nothing did.

        What is already there is returned even after the deadline, without waiting.
        """
        ...

    def now(self) -> float:
        """The clock of the deadlines [s]; time.monotonic() but in tests."""
        ...


class Bus(Protocol):
    """One line of servos. One thread owns it."""

    def open(self) -> None:
        """Opens the line; RobotError says why it cannot."""
        ...

    def close(self) -> None:
        """Lets go of the line; may be called twice."""
        ...

    def now(self) -> float:
        """The clock of the deadlines [s]."""
        ...

    def is_noisy(self) -> bool:
        """Whether broken bytes came in the last second: what came whole may be broken too."""
        ...

    def identify(self, servo_id: int, deadline: float) -> Identity | None:
        """Returns who answers to an id; None when nobody does."""
        ...

    def read(self, ids: Sequence[int], address: int, length: int, deadline: float) -> Replies:
        """Reads the same bytes of several servos in one exchange, again as far as time allows.

        Raises:
            Disconnected: The line is gone. Silent servos are not an error.
        """
        ...

    def write(self, servo_id: int, address: int, data: bytes, deadline: float) -> Replies:
        """Writes and has it acknowledged, or reads it back where the acknowledgement is lost."""
        ...

    def sync_write(self, address: int, data: Mapping[int, bytes]) -> None:
        """Writes to several servos at once. Nobody acknowledges: look at what they do."""
        ...
