"""Starts the io process of a run, waits until it is ready, and ends it.

The guard is the parent. The process that a person, a shell or systemd knows is then the one that
owns the arm: Ctrl-C, SIGTERM and the hang-up of a dead terminal reach it without anybody's help,
its exit code is the run's, and it never writes to a terminal that may block. The other way round a
crash of the part that talks to networks would take the signals' way to the arm with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

import msgspec

from demoloop.deploy.errors import DeployError
from demoloop.deploy.io_desk import Telling
from demoloop.deploy.local_line import Line
from demoloop.deploy.note_line import NoteLine
from demoloop.deploy.notes import FromIo, Over, Reader, Ready, Refused, Setup

SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""Which the terminal or systemd sends to both; the io process leaves them to the guard."""
_START_S = 20.0  # of a Python on a small computer with a slow card
_END_S = 3.0  # to write the last lines


class IoProcess:
    """The io process, within a `with` block; it starts at once and is awaited later.

    Args:
        module: What it runs; `python -m MODULE NOTES PICTURES`, the two being descriptors.
        setup: What is asked of it; its `folder` is filled in here.
    """

    def __init__(self, module: str, setup: Setup) -> None:
        self._module = module
        self._setup = setup

    def __enter__(self) -> IoProcess:
        """Starts it."""
        kind = socket.SOCK_SEQPACKET
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        our_pictures, their_pictures = socket.socketpair(socket.AF_UNIX, kind)
        self.notes: NoteLine[FromIo] = NoteLine(ours, Reader(FromIo))
        self.pictures = Line(our_pictures)
        self.telling = Telling(self.notes)
        # Where only this user may look, as a Unix socket of ours must be.
        self._folder = Path(tempfile.mkdtemp(prefix="demoloop-"))
        descriptors = (theirs.fileno(), their_pictures.fileno())
        # The folders that this process imports from, and not the present one beside them.
        path = os.pathsep.join(entry for entry in sys.path if entry)
        # Blocked until it has said that it ignores them: a Ctrl-C now must not kill it alone.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", self._module, *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                env={**os.environ, "PYTHONPATH": path},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
            their_pictures.close()
        self.notes.send(msgspec.structs.replace(self._setup, folder=str(self._folder)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Says that it is over; what broke the run is the last thing in its log."""
        if error is not None:
            self.telling.note("fault", reason=str(error) or type(error).__name__)
        self.notes.send(Over())
        self.notes.close()
        self.pictures.close()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:  # a terminal or a disk that hangs
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def await_ready(self) -> Ready:
        """Waits until everything is bound.

        Raises:
            DeployError: It cannot be, and why; or the io process has died.
        """
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and not self.notes.is_gone:
            self.notes.wait(0.1)
            for note in self.notes.receive():
                if isinstance(note, Refused):
                    raise DeployError(note.text)
                if isinstance(note, Ready):
                    return note
        if self.notes.is_gone:
            raise DeployError(
                f"the io process ended with exit code {self.process.wait()} before it was ready; "
                "what it said is above"
            )
        raise DeployError(f"the io process was not ready within {_START_S:g} s; is this computer "
                          "busy with something else?")  # fmt: skip
