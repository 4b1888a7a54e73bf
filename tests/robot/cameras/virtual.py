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
    """Jumps to the earliest deadline once the test and the thread of every camera sleep until one.

    What they do is the same in every run, however busy the machine is.
    """

    def __init__(self) -> None:
        self._now = BEGIN
        self._sleepers: dict[int, float] = {}  # thread -> deadline
        self._changed = threading.Condition()

    def now(self) -> float:
        """Seconds."""
        return self._now

    def sleep_until(self, deadline: float) -> None:
        """Returns when it is `deadline` [s]."""
        with self._changed:
            self._sleepers[threading.get_ident()] = deadline
            self._move_on()
            while self._now < deadline:
                self._changed.wait(0.02)
                self._move_on()  # some thread may have ended
            self._sleepers.pop(threading.get_ident(), None)

    def _move_on(self) -> None:
        cameras = [thread for thread in threading.enumerate() if thread.name.startswith("camera ")]
        if len(self._sleepers) > len(cameras):
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
    with Camera(spec, setup, opens=fake.opens, clock=fake.clock) as camera:
        yield camera
