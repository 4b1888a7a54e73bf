"""Packets of Dynamixel's protocol 2.0: ff ff fd 00, id, length, instruction, data, CRC-16.

After Robotis' e-manual. A ff ff fd within a packet is followed by one more fd, which the length
counts and the data does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from demoloop.robot.bus.framing import Packet, Search
from demoloop.robot.bus.interface import Identity

_HEADER = b"\xff\xff\xfd\x00"
_LIKE_A_HEADER, _STUFFED = b"\xff\xff\xfd", b"\xff\xff\xfd\xfd"
_BROADCAST = 0xFE
_READ, _WRITE, _STATUS, _SYNC_READ, _SYNC_WRITE = 0x02, 0x03, 0x55, 0x82, 0x83
_LARGEST = 1024  # bytes; a longer length is noise, and waiting for it would be waiting for ever


def _crc_of_byte(value: int) -> int:
    crc = value << 8
    for _ in range(8):
        crc = (crc << 1) ^ (0x8005 if crc & 0x8000 else 0)
    return crc & 0xFFFF


_CRC_TABLE = tuple(_crc_of_byte(value) for value in range(256))


def crc16(data: bytes) -> int:
    """Returns the CRC with polynomial 8005, from 0 on, high bit first."""
    crc = 0
    for value in data:
        crc = (crc << 8 & 0xFFFF) ^ _CRC_TABLE[crc >> 8 ^ value]
    return crc


def packet(servo_id: int, instruction: int, data: bytes = b"") -> bytes:
    """Returns a whole packet; the data of a status begins with the error byte."""
    body = (bytes((instruction,)) + data).replace(_LIKE_A_HEADER, _STUFFED)
    head = _HEADER + bytes((servo_id,)) + (len(body) + 2).to_bytes(2, "little")
    return head + body + crc16(head + body).to_bytes(2, "little")


class DynamixelFraming:
    """Protocol 2.0 of the X series."""

    header = _HEADER

    def find(self, data: bytes, start: int) -> Search:
        """Returns the first whole packet at or after `start`."""
        num_broken = 0
        while True:
            at = data.find(_HEADER, start)
            if at < 0:
                kept = next(n for n in (3, 2, 1, 0) if data.endswith(_HEADER[:n]))
                return Search(None, max(start, len(data) - kept), num_broken)
            if len(data) < at + 7:
                return Search(None, at, num_broken)
            length = int.from_bytes(data[at + 5 : at + 7], "little")
            end = at + 7 + length
            if not 3 <= length <= _LARGEST:
                start, num_broken = at + 1, num_broken + 1
                continue
            if len(data) < end:
                return Search(None, at, num_broken)
            if int.from_bytes(data[end - 2 : end], "little") != crc16(data[at : end - 2]):
                start, num_broken = at + 1, num_broken + 1
                continue
            body = data[at + 7 : end - 2].replace(_STUFFED, _LIKE_A_HEADER)
            is_reply = body[0] == _STATUS and len(body) > 1
            error = body[1] if is_reply else 0
            return Search(Packet(at, end, data[at + 4], error, body[2:], is_reply), end, num_broken)

    def read(self, ids: Sequence[int], address: int, length: int) -> bytes:
        """READ for one servo, SYNC READ for several."""
        what = address.to_bytes(2, "little") + length.to_bytes(2, "little")
        if len(ids) == 1:
            return packet(ids[0], _READ, what)
        return packet(_BROADCAST, _SYNC_READ, what + bytes(ids))

    def write(self, servo_id: int, address: int, data: bytes) -> bytes:
        """WRITE."""
        return packet(servo_id, _WRITE, address.to_bytes(2, "little") + data)

    def sync_write(self, address: int, data: Mapping[int, bytes]) -> bytes:
        """SYNC WRITE."""
        (size,) = {len(value) for value in data.values()}
        what = address.to_bytes(2, "little") + size.to_bytes(2, "little")
        values = b"".join(bytes((servo_id,)) + value for servo_id, value in data.items())
        return packet(_BROADCAST, _SYNC_WRITE, what + values)

    def head(self, servo_id: int, size: int) -> bytes:
        """How a reply of this servo with `size` bytes of data begins, if none are stuffed."""
        return _HEADER + bytes((servo_id,)) + (size + 4).to_bytes(2, "little")

    def is_refusal(self, error: int) -> bool:
        """Whether an error byte says more than bit 7, which is an alarm."""
        return error & 0x7F != 0

    def identity(self, table: bytes) -> Identity:
        """Model in 0 and 1, firmware in 6."""
        return Identity(int.from_bytes(table[0:2], "little"), (table[6],))
