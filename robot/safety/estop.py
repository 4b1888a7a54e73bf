"""Ways to press the e-stop from outside of the loop: a signal, and a private socket.

Keys and panels call `Supervised.estop` themselves, from whatever thread they have. None of this is
a certified safety function; a switch in the arm's power line is.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from demoloop.robot.errors import RobotError

Estop = Callable[[str, float], bool]
"""`Supervised.estop`: the reason, and how long to wait; whether all torque is confirmed off."""

_OFF, _ON = "torque off", "not confirmed: cut the power"
_CONFIRM_S = 0.5  # that the socket waits for all joints
_SPEAK_S = 0.1  # that a caller has to say why; it is stopped for whatever comes, or nothing
_MAX_REASON = 80  # bytes


@contextmanager
def estop_on_signal(estop: Estop, number: int = signal.SIGUSR1) -> Iterator[None]:
    """Within the block the signal presses the e-stop: `kill -USR1 PID`. For the main thread."""
    name = signal.Signals(number).name
    before = signal.signal(number, lambda *_: estop(name, 0.0) and None)
    try:
        yield
    finally:
        signal.signal(number, before)


class EstopSocket:
    """Presses the e-stop whenever somebody connects to a socket of this user's.

    `press` does; so does any other program, whatever it sends, even nothing. A thread of its own
    answers, so a loop that hangs does not keep it from being heard.

    Args:
        path: Where the socket stands while the block lasts; only this user may use it.
        estop: What is pressed.
    """

    def __init__(self, path: Path, estop: Estop) -> None:
        self._path, self._estop = Path(path), estop
        self._socket: socket.socket | None = None

    def __enter__(self) -> EstopSocket:
        """Listens; raises RobotError when the place is taken."""
        self._make_room()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(str(self._path))
            listener.listen(8)
        except OSError as error:
            listener.close()
            raise RobotError(
                f"the e-stop cannot listen at {self._path}: {error.strerror or error}; choose a "
                "shorter path in a folder of yours"
            ) from error
        finally:
            os.umask(before)
        self._socket = listener
        threading.Thread(target=self._listen, args=(listener,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops listening and takes the socket away."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
            self._socket.close()
            self._path.unlink(missing_ok=True)

    def _make_room(self) -> None:
        """Removes a socket that a killed program left, and nothing else."""
        if not self._path.exists():
            return
        if not stat.S_ISSOCK(self._path.lstat().st_mode):
            raise RobotError(f"{self._path} is no socket; choose another path for the e-stop")
        with socket.socket(socket.AF_UNIX) as line:
            try:
                line.connect(str(self._path))
            except OSError:
                self._path.unlink()
                return
        raise RobotError(f"{self._path} is in use: another program listens there; end it first")

    def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line, suppress(OSError):
            line.settimeout(_SPEAK_S)
            reason = b""
            with suppress(OSError):
                reason = line.recv(_MAX_REASON)
            text = "".join(c for c in reason.decode("ascii", "ignore") if c.isprintable())
            line.sendall((_OFF if self._estop(text or "socket", _CONFIRM_S) else _ON).encode())


def press(path: Path, reason: str = "socket", timeout_s: float = 2.0) -> str:
    """Presses the e-stop of another process; returns what it says about the torque.

    Raises:
        RobotError: Nobody listens there.
    """
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(timeout_s)
        try:
            line.connect(str(path))
            line.sendall(reason.encode())
            line.shutdown(socket.SHUT_WR)
            return line.recv(100).decode("ascii", "replace")
        except OSError as error:
            raise RobotError(
                f"nobody listens at {path} ({error.strerror or error}); cut the power of the arm"
            ) from error
