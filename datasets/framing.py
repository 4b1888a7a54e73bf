"""Logs that are only ever appended to: what a kill or a power cut leaves is a valid beginning.

Each record stands behind its length and its checksum. A reader takes what is whole and stops at
the first record that is not.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_HEAD = struct.Struct("<II")  # length and crc32 of what follows
MAX_RECORD = 1 << 20  # bytes; a longer one is damage, and is not read into memory


class LogWriter:
    """Appends records to a new file, each by one write that nothing buffers.

    What `append` returned from survives the death of this process; what `sync` returned from
    survives the death of the machine.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._descriptor = -1

    def open(self) -> None:
        """Creates the file, which must not be there yet."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._descriptor = os.open(self.path, flags, 0o644)

    def append(self, payload: bytes) -> None:
        """Appends one record."""
        write_all(self._descriptor, _HEAD.pack(len(payload), zlib.crc32(payload)) + payload)

    def sync(self) -> None:
        """Returns when all records are on the disk."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Closes the file; again is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all of `data`: the system may take it in pieces when the disk is nearly full."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def read_log(path: Path) -> Iterator[bytes]:
    """Yields the records up to the first that is cut short or damaged."""
    with Path(path).open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, checksum = _HEAD.unpack(head)
            if length > MAX_RECORD:
                return
            payload = file.read(length)
            if len(payload) != length or zlib.crc32(payload) != checksum:
                return
            yield payload
