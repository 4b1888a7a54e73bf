"""A USB camera that is not there: paced, queued, late at times, and dying when it is told to.

It looks like a `cv2.VideoCapture` of V4L2 and writes the number of each picture into its pixels, so
that whoever reads one knows exactly how old it is, what was lost, and whether red is red.
"""

from __future__ import annotations

from collections import deque
from math import sin

import cv2
import numpy as np
from numpy.typing import NDArray

from demoloop.robot.cameras.setup import CameraError, CameraSetup, fourcc_code
from demoloop.robot.loop import WallClock

SELECT_TIMEOUT_S = 1.0  # as `capture` asks of OpenCV
_BITS = 24


class FakeUVC:
    """One camera on the desk. `opens` stands where a `Camera` takes another way to open.

    `fake = FakeUVC(); Camera(spec, setup, opens=fake.opens)`

    Attributes:
        is_plugged: False: opening is refused, and who has it open gets nothing more.
        is_hung: No picture comes; a reader waits in vain.
        is_repeating: The same picture comes again and again.
        garbles: Pictures cannot be decoded.
        delivers: Another size (width, height) than it says; None for the right one.
        modes: What it can do, as (width, height, fourcc, fps); None for everything.
        num_opened: How often it was opened.
    """

    def __init__(
        self,
        *,
        clock: WallClock | None = None,
        queue_depth: int = 4,
        jitter_s: float = 0.0,
        has_stamps: bool = True,
        seed: int = 0,
    ) -> None:
        """Stores.

        Args:
            clock: Paces it.
            queue_depth: Pictures that wait for a slow reader, oldest first. While they do, newer
                ones are lost, as with V4L2.
            jitter_s: A picture arrives up to so much after it was taken.
            has_stamps: Whether the driver says when a picture was taken.
            seed: Of the jitter.
        """
        self.clock = clock or WallClock()
        self.queue_depth, self.jitter_s, self.has_stamps = queue_depth, jitter_s, has_stamps
        self.seed = seed
        self.began_at = self.clock.now()  # s, when picture 0 was taken
        self.fps = 30.0
        self.is_plugged, self.is_hung, self.is_repeating, self.garbles = True, False, False, False
        self.delivers: tuple[int, int] | None = None
        self.modes: frozenset[tuple[int, int, str, float]] | None = None
        self.num_opened = 0

    def opens(self, setup: CameraSetup) -> FakeCapture:
        """Opens it, if it is plugged in."""
        if not self.is_plugged:
            raise CameraError(f"camera {setup.name}: there is no {setup.device}")
        self.num_opened += 1
        return FakeCapture(self)

    def taken_at(self, number: int) -> float:
        """Returns when picture `number` was taken [s]."""
        return self.began_at + number / self.fps

    def arrives_at(self, number: int) -> float:
        """Returns when picture `number` can be read [s]; never before the one before."""
        late = np.random.default_rng((self.seed, number)).random() * self.jitter_s
        return self.taken_at(number) + min(late, 0.99 / self.fps)


class FakeCapture:
    """A `FakeUVC` that was opened."""

    def __init__(self, camera: FakeUVC) -> None:
        self._camera = camera
        self._is_open = True
        self._settings = {
            cv2.CAP_PROP_FOURCC: float(fourcc_code("YUYV")),
            cv2.CAP_PROP_FRAME_WIDTH: 640.0,
            cv2.CAP_PROP_FRAME_HEIGHT: 480.0,
            cv2.CAP_PROP_FPS: camera.fps,
            cv2.CAP_PROP_AUTO_EXPOSURE: 3.0,  # V4L2: by itself
            cv2.CAP_PROP_AUTO_WB: 1.0,
            cv2.CAP_PROP_EXPOSURE: 157.0,
            cv2.CAP_PROP_WB_TEMPERATURE: 4600.0,
        }
        self._queue: deque[int] = deque()  # numbers that wait
        self._next: int | None = None  # number that arrives next; None: not streaming yet
        self._grabbed = self._shown = 0  # number of the picture, and the one written into it

    def isOpened(self) -> bool:
        """Whether there is a camera; one that was pulled out has to be opened anew."""
        self._is_open = self._is_open and self._camera.is_plugged
        return self._is_open

    def set(self, propId: int, value: float) -> bool:
        """Takes what it knows, as far as its modes allow; has no focus."""
        if propId not in self._settings or not self.isOpened():
            return False
        self._settings[propId] = float(value)
        if propId == cv2.CAP_PROP_FPS:
            self._camera.fps = float(value)
        return True

    def get(self, propId: int) -> float:
        """Returns what it is set to; a mode it cannot do becomes one it can."""
        if propId == cv2.CAP_PROP_POS_MSEC:
            return 1e3 * self._camera.taken_at(self._grabbed) if self._camera.has_stamps else 0.0
        if propId == cv2.CAP_PROP_EXPOSURE and self._settings[cv2.CAP_PROP_AUTO_EXPOSURE] == 3:
            return 150.0 + 50.0 * sin(self._camera.clock.now())  # follows the light
        modes = self._camera.modes
        mode = self._mode()
        if modes is not None and mode not in modes:
            mode = min(modes)
        width, height, fourcc, fps = mode
        shown = {
            cv2.CAP_PROP_FRAME_WIDTH: float(width),
            cv2.CAP_PROP_FRAME_HEIGHT: float(height),
            cv2.CAP_PROP_FOURCC: float(fourcc_code(fourcc)),
            cv2.CAP_PROP_FPS: fps,
        }
        return shown.get(propId, self._settings.get(propId, 0.0))

    def grab(self) -> bool:
        """Takes the oldest picture that waits, or waits for the next; False when none comes."""
        camera, clock = self._camera, self._camera.clock
        gives_up_at = clock.now() + SELECT_TIMEOUT_S
        if not self.isOpened():
            return False
        self._fill()
        while not self._queue:
            if not self.isOpened():
                return False
            assert self._next is not None
            arrival = gives_up_at if camera.is_hung else camera.arrives_at(self._next)
            clock.sleep_until(min(arrival, gives_up_at))
            if clock.now() >= gives_up_at:
                return False
            self._fill()
        self._grabbed = self._queue.popleft()
        if not camera.is_repeating:
            self._shown = self._grabbed
        return True

    def retrieve(self) -> tuple[bool, NDArray[np.uint8] | None]:
        """Decodes the grabbed picture: (height, width, 3) uint8 BGR."""
        if self._camera.garbles:
            return False, None
        width, height = self._camera.delivers or self._mode()[:2]
        return True, draw(self._shown, width, height)

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        """Grabs and decodes, as those do who have no thread."""
        return self.retrieve() if self.grab() else (False, None)

    def release(self) -> None:
        """Lets go of the camera."""
        self._is_open = False

    def _mode(self) -> tuple[int, int, str, float]:
        settings = self._settings
        fourcc = int(settings[cv2.CAP_PROP_FOURCC]).to_bytes(4, "little").decode("ascii")
        width, height = settings[cv2.CAP_PROP_FRAME_WIDTH], settings[cv2.CAP_PROP_FRAME_HEIGHT]
        return int(width), int(height), fourcc, settings[cv2.CAP_PROP_FPS]

    def _fill(self) -> None:
        """Queues what has arrived since the last look; what finds the queue full is lost."""
        camera, now = self._camera, self._camera.clock.now()
        if self._next is None:  # streaming begins with the first grab
            self._next = int((now - camera.began_at) * camera.fps) + 1
        while camera.arrives_at(self._next) <= now:
            if len(self._queue) < camera.queue_depth and not camera.is_hung and camera.is_plugged:
                self._queue.append(self._next)
            self._next += 1


def draw(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """Returns (height, width, 3) BGR: the number as bars at the left, pure red at the right."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = (0, 0, 255)
    bits = (number >> np.arange(_BITS)) & 1
    rows = np.arange(height) * _BITS // height
    image[:, : width // 2] = 255 * bits[rows].astype(np.uint8)[:, None, None]
    return image


def read_number(image: NDArray[np.uint8]) -> int:
    """Reads the number back from a picture of at least 48 lines that was resized or compressed."""
    height, width = image.shape[:2]
    centres = (np.arange(_BITS) * 2 + 1) * height // (2 * _BITS)
    return int(((image[centres, width // 4, 1] > 127) << np.arange(_BITS)).sum())
