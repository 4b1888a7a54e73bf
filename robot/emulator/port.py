"""A serial port that is a pseudo-terminal, under a name that stays when it is plugged in anew."""

from __future__ import annotations

import fcntl
import os
import sys
import termios
import tty
from contextlib import suppress
from pathlib import Path

_SPEEDS: dict[int, int] = {
    getattr(termios, name): int(name[1:])
    for name in dir(termios)
    if name[0] == "B" and name[1:].isdigit()
}

_TCGETS2, _TERMIOS2_SIZE = 0x802C542A, 44  # <asm-generic/termbits.h>; the rate is its last word


class Port:
    """The servos' end of a line. Closed until `plug`."""

    def __init__(self, link: Path) -> None:
        """Will appear at `link`."""
        self._link = link
        self._master = self._line = -1

    @property
    def is_plugged(self) -> bool:
        """Whether it is there."""
        return self._master >= 0

    def fileno(self) -> int:
        """For `select`; only while it is plugged in."""
        return self._master

    def plug(self) -> None:
        """Appears, as another pseudo-terminal than before."""
        if self.is_plugged:
            return
        self._master, self._line = os.openpty()  # the line stays open, or a client's leaving is EIO
        for end in (self._master, self._line):
            tty.setraw(end)  # before anybody opens it, or it echoes
        os.set_blocking(self._master, False)
        beside = self._link.with_name(f"{self._link.name}.{os.getpid()}")
        os.symlink(os.ttyname(self._line), beside)
        os.replace(beside, self._link)

    def unplug(self) -> None:
        """Is gone: whoever has it open gets an error."""
        if not self.is_plugged:
            return
        with suppress(FileNotFoundError):
            if os.readlink(self._link) == os.ttyname(self._line):
                self._link.unlink()
        os.close(self._line)
        os.close(self._master)
        self._master = self._line = -1

    def baud(self) -> int:
        """What the client has set; 0 for a rate without a name where the system has no other."""
        if sys.platform == "linux":  # rust's serialport sets every rate as a number
            settings = fcntl.ioctl(self._line, _TCGETS2, bytes(_TERMIOS2_SIZE))
            return int.from_bytes(settings[-4:], sys.byteorder)
        return _SPEEDS.get(termios.tcgetattr(self._line)[5], 0)

    def read(self) -> bytes:
        """Returns what the client has written."""
        try:
            return os.read(self._master, 4096)
        except (BlockingIOError, OSError):
            return b""

    def write(self, data: bytes) -> None:
        """Lets bytes arrive; those for which a client that never reads has no room are lost."""
        with suppress(BlockingIOError):
            os.write(self._master, data)
