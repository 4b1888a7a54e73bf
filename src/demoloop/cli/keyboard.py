"""Single keys at the terminal, heard by the control loop without waiting for Enter."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from types import TracebackType

ESCAPE, ENTER = "\x1b", "\n"


class Keyboard:
    """`with Keyboard() as keyboard: keyboard.pressed()`; Ctrl-C stays what it is.

    Where standard input is no terminal its characters count as keys, and its end as silence.
    """

    def __enter__(self) -> Keyboard:
        """Has keys come at once and unseen."""
        self._file = sys.stdin.fileno()
        self._has_ended = False
        self._before = None
        if os.isatty(self._file):
            self._before = termios.tcgetattr(self._file)
            tty.setcbreak(self._file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the terminal as it was."""
        if self._before is not None:
            termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    def pressed(self, wait_s: float = 0.0) -> str:
        """Returns the keys pressed since the last time, empty for none.

        Args:
            wait_s: How long to wait for the first one.
        """
        if self._has_ended:
            return ""
        ready, _, _ = select.select([self._file], [], [], wait_s)
        if not ready:
            return ""
        keys = os.read(self._file, 1024)
        self._has_ended = not keys
        return keys.decode("utf-8", "ignore")

    def choose(self, question: str, keys: str) -> str:
        """Asks until one of `keys` is pressed; with nobody there it is the first of them."""
        print(question, flush=True)
        while not self._has_ended:
            for key in self.pressed(0.1):
                if key in keys:
                    return key
        return keys[0]
