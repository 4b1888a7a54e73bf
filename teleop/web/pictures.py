"""Draws and compresses what a page is shown, in a thread beside the control loop, newest only."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from demoloop.robot.jpeg import to_jpeg
from demoloop.teleop.bench import Pictures
from demoloop.teleop.look import Look

_QUALITY = 85
_THUMBNAIL_HEIGHT = 120  # px


@dataclass(frozen=True)
class Jpeg:
    """One picture of one camera."""

    name: str
    width: int
    height: int
    data: bytes


@dataclass(frozen=True)
class Shot:
    """One instant with its pictures."""

    look: Look
    jpegs: tuple[Jpeg, ...]


class Shutter:
    """`with Shutter(on_shot, on_thumbnail) as shutter: shutter.look(look)`, from any thread.

    Who is slower than the control loop misses instants and never holds it up.

    Args:
        on_shot: Hears of each instant that was drawn, in the thread of the shutter.
        on_thumbnail: Likewise of the number of an episode and its JPEG.
    """

    def __init__(
        self, on_shot: Callable[[Shot], None], on_thumbnail: Callable[[int, bytes], None]
    ) -> None:
        self.is_watched = False  # nobody looks: nothing is drawn
        self._on_shot, self._on_thumbnail = on_shot, on_thumbnail
        self._newest: Look | None = None
        self._thumbnails: deque[tuple[int, Callable[[], Pictures]]] = deque(maxlen=16)
        self._changed = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="panel pictures", daemon=True)

    def __enter__(self) -> Shutter:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self._thread.join()

    def look(self, look: Look) -> None:
        """Takes the place of an instant that was not drawn yet."""
        with self._changed:
            self._newest = look
            self._changed.notify()

    def thumbnail(self, number: int, draw: Callable[[], Pictures]) -> None:
        """Has an episode's last instant drawn."""
        with self._changed:
            self._thumbnails.append((number, draw))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._is_over or self._newest or self._thumbnails):
                    self._changed.wait()
                if self._is_over:
                    return
                look, self._newest = self._newest, None
                thumbnail = self._thumbnails.popleft() if self._thumbnails else None
            if look is not None and self.is_watched:
                drawn = look.draw()
                self._on_shot(
                    Shot(look, tuple(_jpeg(name, image) for name, image in drawn.items()))
                )
            if thumbnail is not None:
                number, draw = thumbnail
                self._on_thumbnail(number, _small(draw()))


def _jpeg(name: str, image: NDArray[np.uint8]) -> Jpeg:
    return Jpeg(name, image.shape[1], image.shape[0], to_jpeg(image, _QUALITY))


def _small(pictures: Pictures) -> bytes:
    """Returns all cameras beside each other as one JPEG; empty for a robot without."""
    if not pictures:
        return b""
    parts = []
    for image in pictures.values():
        height, width = image.shape[:2]
        size = (max(1, round(width * _THUMBNAIL_HEIGHT / height)), _THUMBNAIL_HEIGHT)
        parts.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return _jpeg("", np.hstack(parts).astype(np.uint8, copy=False)).data
