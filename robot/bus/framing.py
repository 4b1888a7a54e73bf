"""What the bus needs to know of a protocol: how a packet looks, and what it can ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from demoloop.robot.bus.interface import Identity


@dataclass(frozen=True)
class Packet:
    """A whole packet found among bytes."""

    start: int  # where in the bytes it begins
    end: int  # and where the next may
    id: int
    error: int  # as the protocol's error byte
    data: bytes
    is_reply: bool  # not a request, which an echoing adapter sends back to us


@dataclass(frozen=True)
class Search:
    """What stands in some bytes from a place on."""

    packet: Packet | None
    rest: int  # without a packet: from here on one may still be coming
    num_broken: int = 0  # things that began like a packet and were none


class Framing(Protocol):
    """One protocol, without time and without state."""

    def find(self, data: bytes, start: int) -> Search:
        """Returns the first whole packet at or after `start`."""
        ...

    @property
    def header(self) -> bytes:
        """How every packet begins."""
        ...

    def read(self, ids: Sequence[int], address: int, length: int) -> bytes:
        """The request for `length` bytes of these servos, which answer in this order."""
        ...

    def write(self, servo_id: int, address: int, data: bytes) -> bytes:
        """The request to write and acknowledge."""
        ...

    def sync_write(self, address: int, data: Mapping[int, bytes]) -> bytes:
        """The request to write equally many bytes to each servo, which nobody acknowledges."""
        ...

    def head(self, servo_id: int, size: int) -> bytes:
        """How a reply of this servo with `size` bytes of data begins."""
        ...

    def is_refusal(self, error: int) -> bool:
        """Whether an error byte says that what was asked was not done."""
        ...

    def identity(self, table: bytes) -> Identity:
        """Reads `IDENTITY` bytes from address 0 on."""
        ...


IDENTITY = 7
"""Bytes from address 0 on in which both protocols keep model and firmware."""
