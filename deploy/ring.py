"""Frames in memory that two processes share: written once, read whole or not at all.

The memory has no name, only a descriptor that travels over a socket: nobody else finds it, and the
kernel frees it with the last process that has it, however that process ends. Its size is sealed,
since whoever could shrink it would kill the reader.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence

from demoloop.deploy.errors import DeployError, WireError
from demoloop.deploy.wire import Part

MAX_MESSAGE_BYTES = 64 << 20  # of frames: five cameras of 4 MP
_NUM_SLOTS = 2  # the credit lets one observation be under way; the other slot is for the next
_LINE = 64  # bytes of a cache line: the slot's stamp has one, and frames begin at one
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def _padded(num_bytes: int, unit: int = _LINE) -> int:
    return -(-num_bytes // unit) * unit


def _ring_bytes(sizes: Sequence[int]) -> int:
    return sum(map(_padded, sizes))


class RingWriter:
    """Writes the frames of one message into one slot, the messages in turn.

    A slot's stamp is odd while it is written and names its message when it is whole (a seqlock).
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        """Takes memory for messages of frames of these sizes [bytes].

        Raises:
            DeployError: They are too large, or there is no memory for them.
        """
        needed = _ring_bytes(sizes)
        if needed > MAX_MESSAGE_BYTES:
            raise DeployError(
                f"the frames of one message have {needed >> 20} MiB, at most "
                f"{MAX_MESSAGE_BYTES >> 20} go through shared memory; use smaller pictures"
            )
        self._slot_bytes = _padded(_LINE + needed, mmap.PAGESIZE)
        size = _NUM_SLOTS * self._slot_bytes
        try:
            self.descriptor = os.memfd_create("demoloop", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                # All of it now: memory that is missing later is a bus error in mid-frame.
                os.posix_fallocate(self.descriptor, 0, size)
                fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_SEAL)
                self._memory = mmap.mmap(self.descriptor, size)
            except BaseException:
                os.close(self.descriptor)
                raise
        except OSError as error:
            raise DeployError(
                f"no {size / 1e6:.1f} MB of shared memory for the frames: {error.strerror}; free "
                "memory, or use smaller pictures or tcp://127.0.0.1:5555"
            ) from error
        self._view = memoryview(self._memory)
        self._count = 0

    def has_room(self, sizes: Sequence[int]) -> bool:
        """Says whether frames of these sizes [bytes] fit into a slot."""
        return _LINE + _ring_bytes(sizes) <= self._slot_bytes

    def write(self, parts: Sequence[Part]) -> int:
        """Copies the parts into the next slot and returns its stamp."""
        self._count += 1
        stamp = 2 * self._count
        at = self._count % _NUM_SLOTS * self._slot_bytes
        self._view[at : at + 8] = (stamp - 1).to_bytes(8, "little")
        start = at + _LINE
        for part in parts:
            self._view[start : start + len(part)] = part
            start += _padded(len(part))
        self._view[at : at + 8] = stamp.to_bytes(8, "little")
        return stamp

    def close(self) -> None:
        """Gives the memory back; what the other side has mapped stays until it lets go."""
        self._view.release()
        self._memory.close()
        os.close(self.descriptor)


class RingReader:
    """Copies whole messages out of the memory of somebody who is not trusted."""

    def __init__(self, descriptor: int) -> None:
        """Maps what came over the socket; the caller closes the descriptor.

        Raises:
            WireError: It is not memory whose size is sealed, or has an unreasonable size.
        """
        try:
            seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        except OSError as error:
            raise WireError("what came as shared memory is none") from error
        if seals & _SEALS != _SEALS:
            raise WireError("the size of the shared memory is not sealed")
        size = os.fstat(descriptor).st_size
        self._slot_bytes = size // _NUM_SLOTS
        most = _LINE + MAX_MESSAGE_BYTES + mmap.PAGESIZE
        if self._slot_bytes % mmap.PAGESIZE or not _LINE < self._slot_bytes <= most:
            raise WireError(f"shared memory of {size} bytes, at most {_NUM_SLOTS * most}")
        try:
            self._memory = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)
        except OSError as error:
            raise WireError(f"the shared memory cannot be mapped: {error.strerror}") from error
        self._view = memoryview(self._memory)

    def read(self, stamp: int, sizes: Sequence[int]) -> list[memoryview] | None:
        """Returns copies of the parts of a message, or None when they are no longer whole.

        Copies, since the other side could change what was found to be sound. One for all parts.

        Raises:
            WireError: No slot has room for such parts.
        """
        needed = _ring_bytes(sizes)
        if _LINE + needed > self._slot_bytes:
            raise WireError(f"{needed} bytes of frames in a slot of {self._slot_bytes}")
        at = stamp // 2 % _NUM_SLOTS * self._slot_bytes
        if self._stamp(at) != stamp:
            return None
        copy = memoryview(bytes(self._view[at + _LINE : at + _LINE + needed]))
        if self._stamp(at) != stamp or stamp % 2:
            return None
        parts, start = [], 0
        for size in sizes:
            parts.append(copy[start : start + size])
            start += _padded(size)
        return parts

    def _stamp(self, at: int) -> int:
        return int.from_bytes(self._view[at : at + 8], "little")

    def close(self) -> None:
        """Lets go of the memory."""
        self._view.release()
        self._memory.close()
