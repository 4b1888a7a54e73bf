"""A camera that never makes the control loop wait: its own thread keeps the newest picture."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from demoloop.robot.cameras.capture import Capture, OpenCapture, configure, lock, open_capture
from demoloop.robot.cameras.setup import CameraError, CameraSetup
from demoloop.robot.loop import WallClock
from demoloop.robot.spec import CameraSpec

MAX_AGE_S = 0.1
"""Older pictures are refused: at 0.5 m/s the hand has gone 5 cm since."""
FIRST_PICTURE_S = 5.0  # beyond warm-up; a camera that wakes from USB suspend takes 1 to 2 s
NO_GOOD_PICTURE_S = 1.0  # pictures come, but none is any good: begin anew
_RETRIES_S = (0.25, 0.5, 1.0, 2.0)  # between attempts to get a lost camera back; then the last one
_POLL_S = 0.01
_CLOSE_S = 5.0
_QUEUE_DEPTH = 4  # pictures that V4L2 keeps for a slow reader
_PLAUSIBLE_S = 10.0  # a stamp further away is of another clock, or the place in a film
_WAITED_S = 0.002  # a grab that took less had its picture waiting


@dataclass(frozen=True)
class Frame:
    """One picture."""

    image: NDArray[np.uint8]  # (height, width, 3) RGB, of the spec's size, not to be written to
    time: float  # s, monotonic, when it was captured
    number: int  # counts the pictures of this camera that were published, from 0


class Camera:
    """One camera within a `with` block: `with Camera(spec, setup) as camera: camera.latest()`.

    A thread grabs, stamps, decodes and publishes; reading is one attribute and never waits. A
    camera that is lost is looked for until it is back; meanwhile its last picture grows old, and
    `latest` says so.

    Attributes:
        settings: Exposure, white balance and focus as locked after warm-up; to be kept with what is
            recorded. Only what this camera lets be locked.
        trouble: What is wrong at present, in a sentence; empty when nothing is.
        num_bad: Pictures that were thrown away: not decodable, of another size, or the same again.
    """

    def __init__(
        self,
        spec: CameraSpec,
        setup: CameraSetup,
        *,
        opens: OpenCapture = open_capture,
        clock: WallClock | None = None,
    ) -> None:
        """Stores.

        Args:
            spec: What its pictures are made into: the middle of what is delivered, in the spec's
                proportions and size.
            setup: Where it is and in which mode it runs.
            opens: Another way to open it: a fake, a rendered one.
            clock: Another than the system's.
        """
        self.spec, self.setup = spec, setup
        self.max_age_s = max(MAX_AGE_S, 3 / setup.fps)
        self.settings: dict[str, float] = {}
        self.trouble = ""
        self.num_bad = 0
        self._opens, self._clock = opens, clock or WallClock()
        # Published by one assignment, which is whole or not there yet: readers need no lock.
        self._newest: Frame | None = None
        self._changed_at = float("-inf")  # s, capture time of the last picture that differed
        self._is_closing = False
        self._has_failed = False
        self._thread = threading.Thread(target=self._run, name=f"camera {spec.name}", daemon=True)

    def __enter__(self) -> Camera:
        """Opens it and waits for the first picture; raises CameraError when there is none."""
        self.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def start(self) -> None:
        """Begins to open it, so that several can warm up at once."""
        # OpenCV's pool waits actively for the next picture: a core's time taken from the loop.
        cv2.setNumThreads(1)
        self._thread.start()

    def wait_until_ready(self) -> None:
        """Returns with the first picture; raises CameraError when it cannot be had."""
        deadline = self._clock.now() + self.setup.warm_up_s + FIRST_PICTURE_S
        while self._newest is None:
            if self._has_failed:
                raise CameraError(self.trouble)
            if self._clock.now() > deadline:
                raise CameraError(
                    self.trouble or f"camera {self.spec.name}: {self.setup.device} gives no picture"
                )
            self._clock.sleep_until(self._clock.now() + _POLL_S)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the camera; again is harmless. Returns after 5 s even if a driver hangs."""
        self._is_closing = True
        deadline = self._clock.now() + _CLOSE_S
        while self._thread.is_alive() and self._clock.now() < deadline:
            self._clock.sleep_until(self._clock.now() + _POLL_S)

    def newest(self) -> Frame:
        """Returns the newest picture however old it is; never waits."""
        if self._newest is None:
            raise CameraError(f"camera {self.spec.name} is not open; enter its `with` block")
        return self._newest

    @property
    def is_stale(self) -> bool:
        """Whether the newest picture is too old to act upon."""
        return not self._clock.now() - self.newest().time <= self.max_age_s

    def latest(self) -> Frame:
        """Returns the newest picture; never waits.

        Raises:
            CameraError: It is older than `max_age_s`.
        """
        frame = self.newest()
        age = self._clock.now() - frame.time
        if not age <= self.max_age_s:
            raise CameraError(
                f"camera {self.spec.name}: its newest picture is {age:.2f} s old, at most "
                f"{self.max_age_s:.2f} s is allowed; "
                + (self.trouble or f"check the cable of {self.setup.device}")
            )
        return frame

    def _run(self) -> None:
        """Streams until closed; after a loss opens again, ever more patiently."""
        attempt = 0
        while not self._is_closing:
            shown = self._newest
            try:
                self._open_and_stream()
            except Exception as error:  # whatever a driver thinks of: the loop sees it by the age
                self.trouble = str(error) or type(error).__name__
            if self._newest is None:
                self._has_failed = True  # never worked: for a person to mend, not for patience
                return
            attempt = 0 if self._newest is not shown else attempt + 1
            self._rest(_RETRIES_S[min(attempt, len(_RETRIES_S) - 1)])

    def _rest(self, seconds: float) -> None:
        until = self._clock.now() + seconds
        while not self._is_closing and self._clock.now() < until:
            self._clock.sleep_until(min(until, self._clock.now() + 0.05))

    def _open_and_stream(self) -> None:
        capture = self._opens(self.setup)
        try:
            configure(capture, self.setup)
            self._stream(capture)
        finally:
            capture.release()

    def _stream(self, capture: Capture) -> None:
        """Publishes pictures until closed; raises CameraError when the camera is lost."""
        is_locked = False
        good_at = self._clock.now()
        # What was locked once is locked again at once, and needs no warm-up.
        locks_at = good_at if self._newest is not None else good_at + self.setup.warm_up_s
        while not self._is_closing:
            time = self._grab(capture)
            is_decoded, image = capture.retrieve()
            fault = self._fault(is_decoded, image)
            if fault:
                self.num_bad += 1
                self.trouble = f"camera {self.spec.name}: {fault}"
                if time - good_at > NO_GOOD_PICTURE_S:
                    raise CameraError(self.trouble)
                continue
            good_at = time
            if not is_locked and time >= locks_at:
                self.settings = lock(capture, self.setup, self.settings)
                is_locked = True
                continue  # this one was exposed before
            if is_locked:
                assert image is not None
                self._publish(image, time)

    def _grab(self, capture: Capture) -> float:
        """Takes the next picture and returns when it was captured [s].

        The driver's own stamp where it has one (V4L2 has, on this very clock). Elsewhere the end of
        the wait, and a picture for which nobody had to wait is of unknown age: it is thrown away,
        as many as a queue may hold.
        """
        after = self._clock.now()
        for _ in range(_QUEUE_DEPTH + 1):
            before = after
            if not capture.grab():
                raise CameraError(
                    f"camera {self.spec.name}: {self.setup.device} gives no picture; check its "
                    "cable, and that cameras on one USB controller do not ask for more than it "
                    "carries"
                )
            after = self._clock.now()
            stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
            if stamp > 0 and abs(after - stamp) <= _PLAUSIBLE_S:
                return min(stamp, after)
            if after - before > _WAITED_S:
                break
        return after

    def _fault(self, is_decoded: bool, image: NDArray[np.uint8] | None) -> str:
        """Returns what is wrong with a picture; empty when nothing is."""
        if not is_decoded or image is None:
            return "sends pictures that cannot be decoded; check its cable"
        expected = (self.setup.height, self.setup.width, 3)
        if image.shape != expected or image.dtype != np.uint8:
            return f"sends {image.dtype} {image.shape}, expected uint8 {expected}"
        return ""

    def _publish(self, delivered: NDArray[np.uint8], time: float) -> None:
        """Hands out a picture, unless it has been the very same one for too long."""
        image = fit(delivered, self.spec)
        last, patience = self._newest, self.setup.frozen_after_s
        if last is None or not patience or not np.array_equal(image, last.image):
            self._changed_at = time
        elif time - self._changed_at > patience:
            self.num_bad += 1
            raise CameraError(
                f"camera {self.spec.name}: has sent the very same picture for "
                f"{time - self._changed_at:.1f} s; uncover it, or unplug it and plug it in again"
            )
        image.flags.writeable = False
        self._newest = Frame(image, time, 0 if last is None else last.number + 1)
        self.trouble = ""


def fit(image: NDArray[np.uint8], spec: CameraSpec) -> NDArray[np.uint8]:
    """Returns (height, width, 3) RGB of the spec's size from BGR of any size.

    The middle of the picture in the spec's proportions, so that nothing is squashed: what a
    simulated camera of the same vertical angle of view sees.
    """
    height, width = image.shape[:2]
    kept_width = min(width, round(height * spec.width / spec.height))
    kept_height = min(height, round(width * spec.height / spec.width))
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    middle = image[top : top + kept_height, left : left + kept_width]
    small = cv2.resize(middle, (spec.width, spec.height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8)
