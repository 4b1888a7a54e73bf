"""Text files that are only appended to, a checksum before each line.

What stands after the last line break was being written when a kill or a power cut came: it was
never said to be done, is not read, and makes way for the next line. A whole line that does not
fit its checksum is damage, and said so.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from demoloop.datasets.durable import sync
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.framing import write_all


def read_lines(path: Path) -> list[str]:
    """Returns the whole lines of a file, none when there is no such file.

    Raises:
        DatasetError: A line is damaged, or the file cannot be read.
    """
    try:
        whole, _, _ = path.read_bytes().rpartition(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    lines = []
    for number, line in enumerate(whole.split(b"\n") if whole else [], start=1):
        checksum, _, text = line.partition(b" ")
        if checksum != _checksum(text):
            raise DatasetError(
                f"{path}, line {number} is damaged: its checksum does not fit; copy the file "
                "again, from a backup if there is one"
            )
        try:
            lines.append(text.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{path}, line {number} is no text ({error}); copy the file again"
            ) from error
    return lines


def append_line(path: Path, text: str) -> None:
    """Appends a line and returns when it is on the disk. The caller holds a lock."""
    is_new = not path.exists()
    data = text.encode("utf-8")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        end = _end_of_last_line(descriptor)
        os.ftruncate(descriptor, end)
        os.lseek(descriptor, end, os.SEEK_SET)
        try:
            write_all(descriptor, _checksum(data) + b" " + data + b"\n")
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, end)  # a line that may not be on the disk was not appended
            raise
    finally:
        os.close(descriptor)
    if is_new:
        sync(path.parent)


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)


def _end_of_last_line(descriptor: int) -> int:
    """Returns the offset behind the last line break; only the torn end of a file is read."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - 65536)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
