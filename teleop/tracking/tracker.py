"""The hand tracker, as the process sees it that wants to know where the hand is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time as clock
from pathlib import Path
from types import TracebackType

import msgspec

from demoloop.teleop.errors import TeleopError
from demoloop.teleop.hand_state import HandState
from demoloop.teleop.tracking.install import check_tracker, tracker_folder
from demoloop.teleop.tracking.line import (
    MAX_PICTURE_BYTES,
    MAX_PIXELS,
    Trouble,
    read_answer,
    write_picture,
)

READY_S = 30.0  # loading takes half a second, on a busy machine with a cold disk far more
_END_S = 2.0


class Tracker:
    """A process that looks for a hand: `with Tracker(source) as tracker: tracker.newest`.

    Only the newest picture counts, on the way there as well as on the way back; nothing here ever
    waits for the process, but entering the block, which waits until it can look.

    Attributes:
        newest: What was seen last; None before the first picture.
        trouble: What is wrong, in a sentence; empty when nothing is.
    """

    def __init__(self, source: str = "", *, folder: Path | None = None) -> None:
        """Stores.

        Args:
            source: A camera (`/dev/v4l/by-path/…`, `…@WIDTHxHEIGHT@FPS`), a film's path, or empty:
                pictures are handed over with `put`.
            folder: Where the tracker was fetched to; None for the usual place.
        """
        self.newest: HandState | None = None
        self.trouble = ""
        self._source, self._folder = source, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._news = threading.Condition()
        self._is_ready = self._is_over = False
        self._waiting: tuple[bytes, int, float] | None = None  # the newest picture not sent yet
        self._has_waiting = threading.Condition()

    def __enter__(self) -> Tracker:
        """Starts it and waits until it can look.

        Raises:
            TeleopError: The tracker was not fetched or was altered, or there is no such camera.
        """
        folder = self._folder or tracker_folder()
        check_tracker(folder)  # said here at once; the process itself checks what it loads
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "demoloop.teleop.tracking", str(folder), self._source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "OPENCV_LOG_LEVEL": "SILENT",
                "OPENCV_IO_MAX_IMAGE_PIXELS": str(MAX_PIXELS),
            },
            start_new_session=True,  # Ctrl-C is for whoever started it, who then ends it
        )
        threading.Thread(target=self._listen, name="hand answers", daemon=True).start()
        threading.Thread(target=self._hand_over, name="hand pictures", daemon=True).start()
        with self._news:
            self._news.wait_for(lambda: self._is_ready or self._is_over, READY_S)
        if not self._is_ready:
            self.close()
            raise TeleopError(self.trouble or f"the hand tracker did not start in {READY_S:g} s")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    def put(self, jpeg: bytes, number: int, time: float | None = None) -> None:
        """Hands a picture over and returns at once; one that still waits is forgotten for it.

        Args:
            jpeg: Not mirrored.
            number: Greater than the one before.
            time: s, monotonic, when it was taken; None for now.

        Raises:
            TeleopError: It is too big.
        """
        if len(jpeg) > MAX_PICTURE_BYTES:
            raise TeleopError(
                f"a picture of the hand has {len(jpeg)} bytes, at most {MAX_PICTURE_BYTES} are "
                "taken; send 640x480"
            )
        with self._has_waiting:
            self._waiting = (jpeg, number, clock.monotonic() if time is None else time)
            self._has_waiting.notify()

    def wait(self, number: int, timeout_s: float) -> HandState | None:
        """Waits for the answer to picture `number` or a later one; for films and tests."""
        with self._news:
            self._news.wait_for(
                lambda: self._is_over or (self.newest and self.newest.number >= number), timeout_s
            )
        return self.newest if self.newest and self.newest.number >= number else None

    def close(self) -> None:
        """Ends it; again is harmless."""
        process = self._process
        if process is None:
            return
        self._is_over = True
        with self._has_waiting:
            self._has_waiting.notify()
        try:
            process.wait(_END_S)  # the sender closes its pipe, which ends it
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _listen(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        stream = self._process.stdout
        try:
            while (answer := read_answer(stream)) is not None:
                with self._news:
                    if isinstance(answer, Trouble):
                        self.trouble = answer.sentence
                        self._is_ready = self._is_ready or not answer.is_last
                    else:
                        self.newest, self.trouble, self._is_ready = answer, "", True
                    self._news.notify_all()
        except msgspec.MsgspecError as error:
            self.trouble = f"the hand tracker answered nonsense ({error}); start it again"
            self._process.kill()
        code = self._process.wait()
        with self._news:
            if not self._is_over and not self.trouble:
                how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
                self.trouble = f"the hand tracker ended ({how}); start it again"
            self._is_over = True
            self._news.notify_all()
        with self._has_waiting:
            self._has_waiting.notify()
        stream.close()

    def _hand_over(self) -> None:
        assert self._process is not None and self._process.stdin is not None
        stream = self._process.stdin
        try:
            while True:
                with self._has_waiting:
                    self._has_waiting.wait_for(lambda: self._waiting or self._is_over)
                    if self._is_over:
                        break
                    assert self._waiting is not None
                    picture, self._waiting = self._waiting, None
                write_picture(stream, *picture)
        except OSError:
            pass  # it ended; `_listen` says so
        finally:
            with contextlib.suppress(OSError):
                stream.close()
