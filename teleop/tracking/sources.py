"""Where the tracker's pictures come from: handed over, a webcam, a film. Always the newest one."""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from demoloop.robot import CameraSpec
from demoloop.robot.cameras import Camera, CameraError, parse_cameras
from demoloop.teleop.errors import TeleopError
from demoloop.teleop.tracking.line import read_picture

Image = NDArray[np.uint8]
_POLL_S = 0.002
_LOST_S = 1.0  # a webcam without a new picture for longer is said to be lost


class Say(Protocol):
    """Tells whoever listens what is wrong, in a sentence; empty when it is over."""

    def __call__(self, sentence: str) -> None: ...


def handed_over(stream: IO[bytes], say: Say) -> Iterator[tuple[Image, int, float]]:
    """Yields (picture RGB, number, time) of what comes down the pipe, always the newest."""
    newest: list[tuple[bytes, int, float]] = []
    has_news = threading.Condition()
    is_over = False

    def listen() -> None:
        nonlocal is_over
        while not is_over:
            picture = read_picture(stream)
            with has_news:
                if picture is None:
                    is_over = True
                else:
                    newest[:] = [picture]
                has_news.notify()

    threading.Thread(target=listen, daemon=True).start()
    while True:
        with has_news:
            has_news.wait_for(lambda: newest or is_over)
            if not newest:
                return
            jpeg, number, time = newest.pop()
        image = decode(jpeg)
        if image is None:
            say("what came as a picture of the hand is no JPEG; send what a browser's canvas makes")
        else:
            yield image, number, time


def webcam(device: str, say: Say) -> Iterator[tuple[Image, int, float]]:
    """Yields (picture RGB, number, time) of a camera: `device` or `device@WIDTHxHEIGHT@FPS`."""
    (setup,) = parse_cameras(f"hand={device}")
    spec = CameraSpec(setup.name, setup.height, setup.width)
    with Camera(spec, setup) as camera:
        last, is_lost = -1, False
        while True:
            frame = camera.newest()
            if frame.number != last:
                last = frame.number
                if is_lost:
                    say("")
                    is_lost = False
                yield frame.image, frame.number, frame.time
                continue
            if not is_lost and clock.monotonic() - frame.time > _LOST_S:
                is_lost = True
                say(camera.trouble or f"{device} gives no picture any more; check its cable")
            clock.sleep(_POLL_S)


def film(path: Path, say: Say) -> Iterator[tuple[Image, int, float]]:
    """Yields (picture RGB, number, time) of a film, at its pace, over and over; a fake webcam."""
    capture = cv2.VideoCapture(str(path))
    fps = capture.get(cv2.CAP_PROP_FPS)
    if not capture.isOpened() or not fps > 0:
        raise TeleopError(f"{path} is no film that OpenCV can play; give an mp4, or a camera")
    number, begin = 0, clock.monotonic()
    while True:
        due = begin + number / fps
        ahead = due - clock.monotonic()
        if ahead > 0:
            clock.sleep(ahead)
        if not capture.grab():
            capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            if not capture.grab():
                raise TeleopError(f"{path} holds no picture")
        if ahead > -1 / fps:  # a picture that is late already is left out
            _, image = capture.retrieve()
            yield _rgb(image), number, due
        number += 1


def open_source(source: str, stream: IO[bytes], say: Say) -> Iterator[tuple[Image, int, float]]:
    """Returns the pictures of a source: empty for the pipe, a film's path, or a camera.

    Raises:
        TeleopError, CameraError: When first asked for a picture, and there is none.
    """
    if not source:
        return handed_over(stream, say)
    path = Path(source)
    if path.is_file():
        return film(path, say)
    if path.suffix and not source.startswith("/dev/"):
        raise TeleopError(f"there is no film {source}; give an mp4, or a camera below /dev/v4l")
    return webcam(source, say)


def decode(jpeg: bytes) -> Image | None:
    """Returns a picture (height, width, 3) RGB; None when it is none."""
    if not jpeg:
        return None
    try:
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # it claims to be enormous
        return None
    return None if image is None else _rgb(image)


def _rgb(image: NDArray[Any]) -> Image:
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


__all__ = ["CameraError", "decode", "open_source"]
