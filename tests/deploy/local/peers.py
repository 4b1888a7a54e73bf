"""What the tests of shared memory say, and who they say it to."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

import numpy as np

from demoloop.deploy.channel import Letter
from demoloop.deploy.local import LocalListener
from demoloop.deploy.wire import Frame, Message, ObservationBody, decode

FRAME = Frame("image.front", "u1", (64, 64, 3))

Fork = Callable[[Callable[[], object]], int]
Eventually = Callable[[Callable[[], object]], None]


def look(value: int, seq: int = 1, frame: Frame = FRAME) -> Message:
    """An observation whose pixels all have one value."""
    pixels = np.full(frame.shape, value, np.uint8)
    body = ObservationBody((frame,), {"front": 0.0})
    return Message(body, session=1, seq=seq, arrays={frame.name: pixels})


def pixels_of(letter: Letter | None) -> set[int]:
    assert letter is not None
    return set(np.unique(decode(letter.parts).arrays[FRAME.name]).tolist())


def end(child: int, number: int = signal.SIGKILL) -> int:
    """Kills a child, unless `number` is 0, and returns its exit code."""
    os.kill(child, number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def next_letter(listener: LocalListener) -> Letter | None:
    """What comes within a second, None when nothing does."""
    for _ in range(10):
        listener.wait(0.1)
        letter = listener.receive()
        if letter is not None:
            return letter
    return None


def descriptors() -> set[str]:
    return {
        target
        for name in os.listdir("/proc/self/fd")
        if (target := _target(name)).startswith(("socket", "/memfd"))
    }


def _target(name: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{name}")
    return ""
