"""A serial port at any baud rate: one owner, deadlines that hold, unplugging seen at once."""

from __future__ import annotations

import errno
import fcntl
import glob
import grp
import os
import select
import struct
import sys
import termios
import time
from pathlib import Path

from demoloop.robot.errors import Disconnected, RobotError

PORTS = ("/dev/serial/by-id/*", "/dev/ttyACM*", "/dev/ttyUSB*", "/dev/tty.usb*")
_WRITE_S = 0.1  # a request is 30 bytes: a port that does not take it by then takes nothing

# <asm-generic/ioctls.h> and <asm-generic/termbits.h> of Linux, which `termios` does not have.
_TCGETS2, _TCSETS2, _TIOCGSERIAL, _TIOCSSERIAL = 0x802C542A, 0x402C542B, 0x541E, 0x541F
_TERMIOS2 = struct.Struct("4IB19s2I")
_BOTHER, _CBAUD = 0o010000, 0o010017
_SERIAL_FLAGS, _LOW_LATENCY = struct.Struct("16xI52x"), 1 << 13


class SerialPort:
    """A `Link` over a device. 8 data bits, no parity, one stop bit, no flow control."""

    def __init__(self, path: str | Path, baud: int = 1_000_000) -> None:
        """Only stores: `open` opens."""
        self.name = str(path)
        self._baud = baud
        self._fd = -1

    def open(self) -> None:
        """Opens the port for this process alone.

        Raises:
            RobotError: It is missing, not allowed, taken, or cannot do this baud rate.
        """
        self.close()
        self._fd = _open(self.name)
        try:
            _take(self._fd, self.name)
            _set_up(self._fd, self.name, self._baud)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets go of the port; may be called twice."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def now(self) -> float:
        """time.monotonic()."""
        return time.monotonic()

    def write(self, data: bytes) -> None:
        """Sends all of it; Disconnected when nobody is there any more."""
        until = self.now() + _WRITE_S
        while data:
            try:
                data = data[os.write(self._opened(), data) :]
            except BlockingIOError:
                left = until - self.now()
                if left <= 0:
                    raise Disconnected(
                        f"{self.name} takes no bytes; unplug it and plug it in"
                    ) from None
                select.select([], [self._fd], [], left)
            except OSError as error:
                raise self._gone() from error

    def read(self, deadline: float) -> bytes:
        """Returns what has come, at the latest at `deadline` [s]; empty when nothing did."""
        fd = self._opened()
        while True:
            try:
                # A pty and a USB port alike read as ended, or as an error, once they are gone.
                if data := os.read(fd, 4096):
                    return data
                raise self._gone()
            except BlockingIOError:
                left = deadline - self.now()
                if left <= 0:
                    return b""
                select.select([fd], [], [], left)
            except OSError as error:
                raise self._gone() from error

    def _opened(self) -> int:
        if self._fd < 0:
            raise Disconnected(f"{self.name} is not open; connect first")
        return self._fd

    def _gone(self) -> Disconnected:
        return Disconnected(f"{self.name} is gone: check its cable and power, then connect again")


def ports() -> list[str]:
    """Serial ports that may have servos behind them; those named by their maker first."""
    return [path for pattern in PORTS for path in sorted(glob.glob(pattern))]


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        there = ", ".join(ports())
        raise RobotError(
            f"there is no port {path}; "
            + (f"there are {there}" if there else "no serial port is plugged in at all")
        ) from error
    except PermissionError as error:
        raise RobotError(_not_allowed(path)) from error
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise RobotError(_busy(path)) from error
        raise RobotError(f"{path} cannot be opened: {error.strerror}; plug it in again") from error


def _not_allowed(path: str) -> str:
    try:
        group = grp.getgrgid(os.stat(path).st_gid).gr_name
    except (KeyError, OSError):
        group = "dialout"  # as it usually is
    return (
        f"{path} belongs to group {group}, which this user is not in; "
        f"`sudo usermod -aG {group} $USER` and log in again, or a udev rule "
        'SUBSYSTEM=="tty", MODE="0666" in /etc/udev/rules.d'
    )


def _busy(path: str) -> str:
    holders = _holders(path)
    by = f" by {', '.join(holders)}" if holders else ""
    return f"{path} is in use{by}; end that first"


def _holders(path: str) -> list[str]:
    """Processes that have the port open, as far as /proc shows them to this user."""
    target = os.path.realpath(path)
    found = {}
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(link) == target:
                process = Path(link).parents[1]
                if process.name != str(os.getpid()):
                    found[process.name] = (process / "comm").read_text().strip()
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return [f"{name} (process {pid})" for pid, name in found.items()]


def _take(fd: int, path: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise RobotError(_busy(path)) from error


def _set_up(fd: int, path: str, baud: int) -> None:
    speed = getattr(termios, f"B{baud}", None)
    try:
        iflag, oflag, cflag, lflag, *_, cc = termios.tcgetattr(fd)
        iflag = oflag = lflag = 0
        cflag = termios.CS8 | termios.CREAD | termios.CLOCAL
        # Another program may have left 0 here, and then no bytes read like a port that is gone.
        cc[termios.VMIN], cc[termios.VTIME] = 1, 0
        known = termios.B9600 if speed is None else speed
        termios.tcsetattr(fd, termios.TCSANOW, [iflag, oflag, cflag, lflag, known, known, cc])
        if speed is None:
            _set_any_baud(fd, baud)
        _lower_latency(fd)
        termios.tcflush(fd, termios.TCIOFLUSH)
    except (termios.error, OSError) as error:
        raise RobotError(f"{path} is no serial port that can do {baud} baud: {error}") from error


def _set_any_baud(fd: int, baud: int) -> None:
    if sys.platform != "linux":
        raise OSError(errno.EINVAL, "only the usual rates are possible on this system")
    raw = bytearray(_TERMIOS2.size)
    fcntl.ioctl(fd, _TCGETS2, raw)
    iflag, oflag, cflag, lflag, line, cc, *_ = _TERMIOS2.unpack(raw)
    cflag = cflag & ~_CBAUD | _BOTHER
    fcntl.ioctl(fd, _TCSETS2, _TERMIOS2.pack(iflag, oflag, cflag, lflag, line, cc, baud, baud))


def _lower_latency(fd: int) -> None:
    """Asks an FTDI adapter to hand over bytes after 1 ms and not 16; others have no such timer."""
    raw = bytearray(_SERIAL_FLAGS.size)
    try:
        fcntl.ioctl(fd, _TIOCGSERIAL, raw)
        (flags,) = _SERIAL_FLAGS.unpack(raw)
        struct.pack_into("I", raw, 16, flags | _LOW_LATENCY)
        fcntl.ioctl(fd, _TIOCSSERIAL, raw)
    except OSError:
        return
