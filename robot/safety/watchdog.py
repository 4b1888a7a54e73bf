"""A second process that lets the arm go when the first one dies or hangs.

For servos that have no watchdog of their own (Feetech; Dynamixel has one, control table 98). It
holds the end of a pipe of heartbeats and its own opening of the port, made in good time. Should the
heartbeats end (SIGKILL, a crash) or stay away (SIGSTOP, a loop that hangs), it limits the torque,
so that the arm holds softly and nobody is hit by it falling, and after a while takes it away.

It writes packets that were made before: they are handed to it as bytes, by whoever knows the
servos, and are such that nobody answers (SYNC WRITE), so that nothing need be read. As it cannot
know what was lost it says them often. It takes no lock: the lock of a process that hangs would
never come free, and that of a dead one is gone, so a new program may open the port meanwhile.

This file is run as a script and imports the standard library alone: it starts in some 20 ms.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Protocol

try:
    from demoloop.robot.errors import RobotError
except ImportError:  # as a script it is alone, and raises none
    RobotError = Exception  # type: ignore[assignment,misc]

SILENCE_S = 0.2
"""Without a heartbeat for longer, the program hangs: 20 ticks of the guard."""
HOLD_S = 2.0
"""For which the arm then holds softly, so that a hand can take it."""
PRESS_S = 0.06
"""After an e-stop the program has so long to say that torque is off; then it is done from here."""

_ON, _OFF, _PRESS = b"1", b"0", b"!"  # what the program says
_READY, _HEARD, _ACTED = b"r", b".", b"a"  # what the watchdog says
_AGAIN_S = 0.05  # between two of the same packets
_TIMES = 20  # they are said
_DEAF_S = 2.0  # after which a watchdog that answers nothing counts as dead


class Watch(Protocol):
    """What `Supervised` asks of a watchdog."""

    def start(self) -> None:
        """Begins to watch."""
        ...

    def beat(self, is_torque_on: bool) -> str:
        """Says that all is well here; returns what is not well there, empty when all is."""
        ...

    def press(self) -> None:
        """Has torque switched off from there unless a beat soon says that it is off."""
        ...

    def stop(self) -> None:
        """Ends it; what has torque then is let go from there."""
        ...


class Watchdog:
    """Starts the process, and tells it how it is.

    Args:
        port: Path of the serial port; it must be open when the watchdog starts, for its settings.
        soften: Packets that limit every servo's torque.
        off: Packets that switch every servo's torque off.
        silence_s: How long it waits for a heartbeat while torque is on.
        hold_s: How long the arm holds softly before torque goes off.
    """

    def __init__(
        self,
        port: str,
        soften: bytes,
        off: bytes,
        *,
        silence_s: float = SILENCE_S,
        hold_s: float = HOLD_S,
    ) -> None:
        self._words = (port, soften.hex(), off.hex(), str(silence_s), str(hold_s))
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = self._reports = -1
        self._heard_at = self._beaten_at = 0.0  # s

    @property
    def pid(self) -> int | None:
        """Of the process; None when there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Starts it and waits until it watches.

        Raises:
            RobotError: It cannot be started, or cannot open the port.
        """
        self.stop()
        # A session of its own: Ctrl-C in the terminal is not for it.
        process = subprocess.Popen(
            [sys.executable, "-I", __file__, *self._words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._pipe, self._reports = process.stdin.fileno(), process.stdout.fileno()
        ready, _, _ = select.select([self._reports], [], [], 10.0)
        if not ready or os.read(self._reports, 1) != _READY:
            self.stop()
            raise RobotError(
                f"the watchdog of {self._words[0]} did not start; see its message above, or run "
                "without one and with a hand at the power switch"
            )
        os.set_blocking(self._pipe, False)
        os.set_blocking(self._reports, False)
        self._heard_at = time.monotonic()

    def beat(self, is_torque_on: bool) -> str:
        """Says that the program lives, and whether torque is on; hears how the watchdog is."""
        if self._process is None:
            return "is not running"
        if self._process.poll() is not None:
            return "died"
        now = time.monotonic()
        reports = b""
        with suppress(BlockingIOError):
            reports = os.read(self._reports, 1024)
            if not reports:
                return "died"
        if not self._say(_ON if is_torque_on else _OFF):
            return "died"
        if reports:
            self._heard_at = now
        if _ACTED in reports:
            return "missed heartbeats and has let the arm go"
        if now - self._beaten_at > _DEAF_S / 2:
            self._heard_at = now  # after a pause of ours it owes no answer yet
        self._beaten_at = now
        return "does not answer" if now - self._heard_at > _DEAF_S else ""

    def press(self) -> None:
        """Has torque switched off unless a beat says within `PRESS_S` that it is off."""
        self._say(_PRESS)

    def stop(self) -> None:
        """Closes the pipe; a watchdog that was told of torque lets the arm go, then ends."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1.0)

    def _say(self, word: bytes) -> bool:
        if self._process is None:
            return False
        try:
            os.write(self._pipe, word)
        except BlockingIOError:  # full: it does not read, which shows by its silence
            return True
        except OSError:
            return False
        return True


class _Watching:
    """The process: listens, and acts."""

    def __init__(self, port: int, soften: bytes, off: bytes, silence_s: float, hold_s: float):
        self._port, self._soften, self._off = port, soften, off
        self._silence_s, self._hold_s = silence_s, hold_s
        self._is_on = self._is_pressed = False
        self._act_at: float | None = None  # s: then the next of these is done
        self._left: list[tuple[bytes, float]] = []  # packets, and how long to wait after them

    def run(self) -> None:
        """Until the program is gone and the arm let go."""
        while True:
            now = time.monotonic()
            due = None if self._act_at is None else max(0.0, self._act_at - now)
            ready, _, _ = select.select([0], [], [], due)
            if ready:
                words = os.read(0, 4096)
                if not words:
                    break
                self._hear(words)
            elif self._act_at is not None:
                self._act()
        if self._is_on:
            self._plan(self._left or self._letting_go())
            while self._left:
                time.sleep(max(0.0, (self._act_at or 0.0) - time.monotonic()))
                self._act()

    def _hear(self, words: bytes) -> None:
        _report(_HEARD)
        now = time.monotonic()
        for word in (words[at : at + 1] for at in range(len(words))):
            if word == _OFF:
                self._is_on, self._is_pressed = False, False
                self._left, self._act_at = [], None
            elif word == _PRESS and self._is_on and not self._is_pressed:
                self._is_pressed = True
                self._left, self._act_at = self._repeated(self._off), now + PRESS_S
            elif word == _ON and not self._is_pressed:
                self._is_on = True
                self._left, self._act_at = self._letting_go(), now + self._silence_s

    def _act(self) -> None:
        """Says the next packet."""
        packet, wait_s = self._left.pop(0)
        os.write(self._port, packet)
        self._act_at = time.monotonic() + wait_s if self._left else None
        _report(_ACTED)

    def _letting_go(self) -> list[tuple[bytes, float]]:
        times = max(1, round(self._hold_s / _AGAIN_S))
        return [(self._soften, _AGAIN_S)] * times + self._repeated(self._off)

    def _repeated(self, packet: bytes) -> list[tuple[bytes, float]]:
        return [(packet, _AGAIN_S)] * _TIMES

    def _plan(self, words: list[tuple[bytes, float]]) -> None:
        self._left, self._act_at = words, time.monotonic()


def _report(word: bytes) -> None:
    with suppress(OSError):  # a program that is dead, or does not read, hears nothing
        os.write(1, word)


def main(port: str, soften: str, off: str, silence_s: str, hold_s: str) -> None:
    """Watches on standard input until it ends."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)
    if hasattr(os, "sched_setscheduler"):
        with suppress(OSError):  # above the loop it watches, where that is allowed
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(60))
    os.set_blocking(1, False)
    descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    _report(_READY)
    with suppress(OSError):  # unplugged: there is nobody left to let go
        _Watching(
            descriptor, bytes.fromhex(soften), bytes.fromhex(off), float(silence_s), float(hold_s)
        ).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
