"""Packets of Feetech's STS servos ("protocol 0"): ff ff, id, length, instruction, data, checksum.

The checksum is the complement of an 8 bit sum: one wrong byte is always seen, several pass once in
256. There is neither a sequence number nor an address in a reply; `robot/bus/servo_bus.py` makes up
for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from demoloop.robot.bus.framing import Packet, Search
from demoloop.robot.bus.interface import Identity

_HEADER = b"\xff\xff"
_BROADCAST = 0xFE
_READ, _WRITE, _SYNC_READ, _SYNC_WRITE = 0x02, 0x03, 0x82, 0x83


def packet(servo_id: int, instruction: int, data: bytes = b"") -> bytes:
    """Returns a whole packet; in a reply the instruction is the error byte."""
    body = bytes((servo_id, len(data) + 2, instruction)) + data
    return _HEADER + body + bytes((~sum(body) & 0xFF,))


class FeetechFraming:
    """Protocol 0 of the STS and SMS series."""

    header = _HEADER

    def find(self, data: bytes, start: int) -> Search:
        """Returns the first whole packet at or after `start`."""
        num_broken = 0
        while True:
            at = data.find(_HEADER, start)
            if at < 0:
                rest = len(data) - data.endswith(b"\xff")
                return Search(None, max(start, rest), num_broken)
            if len(data) < at + 4:
                return Search(None, at, num_broken)
            servo_id, length = data[at + 2], data[at + 3]
            if servo_id == 0xFF:  # a stray ff before the real header
                start = at + 1
                continue
            end = at + 4 + length
            if length < 2:
                start, num_broken = at + 1, num_broken + 1
                continue
            if len(data) < end:
                return Search(None, at, num_broken)
            if data[end - 1] != ~sum(data[at + 2 : end - 1]) & 0xFF:
                start, num_broken = at + 1, num_broken + 1
                continue
            found = Packet(
                at, end, servo_id, data[at + 4], data[at + 5 : end - 1], servo_id != _BROADCAST
            )
            return Search(found, end, num_broken)

    def read(self, ids: Sequence[int], address: int, length: int) -> bytes:
        """READ for one servo, SYNC READ for several."""
        if len(ids) == 1:
            return packet(ids[0], _READ, bytes((address, length)))
        return packet(_BROADCAST, _SYNC_READ, bytes((address, length, *ids)))

    def write(self, servo_id: int, address: int, data: bytes) -> bytes:
        """WRITE."""
        return packet(servo_id, _WRITE, bytes((address,)) + data)

    def sync_write(self, address: int, data: Mapping[int, bytes]) -> bytes:
        """SYNC WRITE."""
        (size,) = {len(value) for value in data.values()}
        values = b"".join(bytes((servo_id,)) + value for servo_id, value in data.items())
        return packet(_BROADCAST, _SYNC_WRITE, bytes((address, size)) + values)

    def head(self, servo_id: int, size: int) -> bytes:
        """How a reply of this servo with `size` bytes of data begins."""
        return _HEADER + bytes((servo_id, size + 2))

    def is_refusal(self, error: int) -> bool:
        """Never: these servos only tell how they are."""
        return False

    def identity(self, table: bytes) -> Identity:
        """Firmware in 0 and 1, model in 3 and 4."""
        return Identity(int.from_bytes(table[3:5], "little"), (table[0], table[1]))
