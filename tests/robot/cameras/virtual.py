"""Virtual time for real threads: it stands still until all of them sleep."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from demoloop.robot import CameraSpec, WallClock
from demoloop.robot.cameras import Camera, CameraSetup
from demoloop.robot.cameras.fake import FakeUVC

BEGIN = 1000.0  # s


class SteppedClock(WallClock):
    """Jumps to the earliest deadline once every thread that takes part sleeps until one.

    What such threads do is the same in every run, however busy the machine is. The test counts as
    one of them; `free` lets everybody go on without it.
    """

    def __init__(self) -> None:
        self._now = BEGIN
        self._sleepers: dict[int, float] = {}  # thread -> deadline
        self._num_threads = 1
        self._known: set[threading.Thread] = set()
        self._changed = threading.Condition()
        self._is_free = False

    def join(self, num_threads: int = 1) -> None:
        """Waits for so many more threads from now on."""
        self._num_threads += num_threads

    def now(self) -> float:
        """Seconds."""
        return self._now

    def sleep_until(self, deadline: float) -> None:
        """Returns when it is `deadline` [s]."""
        with self._changed:
            if self._is_free:
                self._now = max(self._now, deadline)
                return
            self._known.add(threading.current_thread())
            self._sleepers[threading.get_ident()] = deadline
            self._move_on()
            while self._now < deadline and not self._is_free:
                self._changed.wait(0.02)
                self._move_on()  # some thread may have ended
            self._sleepers.pop(threading.get_ident(), None)

    def free(self) -> None:
        """Holds nobody back any longer."""
        with self._changed:
            self._is_free = True
            self._changed.notify_all()

    def _move_on(self) -> None:
        num_ended = sum(not thread.is_alive() for thread in self._known)
        if len(self._sleepers) >= self._num_threads - num_ended:
            earliest = min(self._sleepers.values())
            if earliest > self._now:
                self._now = earliest
            # Who wakes is no sleeper any more, before anybody can look.
            self._sleepers = {who: at for who, at in self._sleepers.items() if at > self._now}
            self._changed.notify_all()


DEVICE = "/dev/v4l/by-path/pci-0000:00:14.0-usb-0:2:1.0-video-index0"
SPEC = CameraSpec("front", 96, 96)
SETUP = CameraSetup("front", DEVICE)


@contextmanager
def streaming(
    fake: FakeUVC, setup: CameraSetup = SETUP, spec: CameraSpec = SPEC
) -> Iterator[Camera]:
    """A camera that streams in the virtual time of its fake."""
    assert isinstance(fake.clock, SteppedClock)
    fake.clock.join()
    with Camera(spec, setup, opens=fake.opens, clock=fake.clock) as camera:
        try:
            yield camera
        finally:
            fake.clock.free()
