"""Films of a hand whose movement is known, and what tracker and device make of it.

The film is shifted and magnified picture by picture, so where the hand went is known but for what
it did by itself. Across the picture that is what the tracker says of the film as it is, warped the
same way; in depth it is taken to stand still, so all that moving fingers leak into depth counts as
an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tests.teleop.hand_shapes import FPS, HEIGHT, WIDTH

from demoloop.teleop.hand import HandDevice
from demoloop.teleop.hand_pose import FOCAL
from demoloop.teleop.hand_state import PALM, HandState
from demoloop.teleop.tracking import tracker_folder
from demoloop.teleop.tracking.landmarker import Landmarker

Image = NDArray[np.uint8]
Array = NDArray[np.float64]

_ABOUT = np.array([360.0, 190.0])  # px, what is magnified stays here
_DEPTH = 0.7  # m, of the hand in the film; only a factor
_SETTLED = 30  # pictures


@dataclass(frozen=True)
class Movement:
    """Shift (n, 2) [px] and magnification (n,) of pictures of WIDTH x HEIGHT."""

    shift: Array
    zoom: Array

    @classmethod
    def swinging(cls, count: int) -> Movement:
        """Slow swings that do not keep time with each other."""
        time = np.arange(count) / FPS
        right = 90 * np.sin(2 * np.pi * 0.25 * time) - 40
        down = 25 * np.sin(2 * np.pi * 0.4 * time)
        zoom = 1 + 0.25 * np.sin(2 * np.pi * 0.13 * time)
        return cls(np.stack([right, down], axis=1), zoom)

    @classmethod
    def standing(cls, count: int) -> Movement:
        """None."""
        return cls(np.zeros((count, 2)), np.ones(count))

    def applied(self, images: Iterable[Image]) -> Iterator[Image]:
        """Yields the pictures (HEIGHT, WIDTH, 3) of a film, moved."""
        for number, image in enumerate(images):
            yield self._apply(image, number)

    def _apply(self, image: Image, number: int) -> Image:
        to_small = WIDTH / image.shape[1]
        zoom = float(self.zoom[number])
        aside = _ABOUT * (1 - zoom) + self.shift[number]
        matrix = np.array([[zoom * to_small, 0, aside[0]], [0, zoom * to_small, aside[1]]])
        # Half the size or less: averaging first, lest every other pixel be left out.
        blurred = cv2.blur(image, (2, 2)) if zoom * to_small < 0.75 else image
        warped = cv2.warpAffine(blurred, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        return warped.astype(np.uint8, copy=False)

    def truth(self, middles: Array) -> Array:
        """Returns where a hand was made to go (n, 3) m: away, left and up, as a mirror shows it.

        Args:
            middles: (n, 2) px of its palm in the film as it is.
        """
        seen = (middles - _ABOUT) * self.zoom[:, None] + _ABOUT + self.shift
        depth = _DEPTH / self.zoom
        across = (seen - (WIDTH / 2, HEIGHT / 2)) / (FOCAL * WIDTH) * depth[:, None]
        return np.stack([depth, -across[:, 0], -across[:, 1]], axis=1)


def read_film(path: Path) -> list[Image]:
    """Returns its pictures as JPEGs in their own size, BGR: 70 MB, not 1.7 GB."""
    capture, pictures = cv2.VideoCapture(str(path)), []
    while True:
        is_there, image = capture.read()
        if not is_there:
            return pictures
        pictures.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])


def decoded(picture: Image) -> Image:
    """Returns a picture of `read_film`, (height, width, 3) BGR."""
    return cv2.imdecode(picture, cv2.IMREAD_COLOR).astype(np.uint8, copy=False)


def track(images: Iterable[Image]) -> list[HandState]:
    """Returns what the tracker sees in pictures (HEIGHT, WIDTH, 3) BGR, at FPS."""
    with Landmarker(tracker_folder()) as landmarker:
        return [
            landmarker.look(
                np.ascontiguousarray(image[..., ::-1]), time=number / FPS, number=number
            )
            for number, image in enumerate(images)
        ]


def still(image: Image, count: int, seed: int) -> Iterator[Image]:
    """Yields one picture over and over, with the noise of a webcam in a room."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        noisy = image + rng.normal(0, 4, image.shape)
        yield np.clip(noisy, 0, 255).astype(np.uint8)


def middles_of(states: list[HandState]) -> Array:
    """Returns the middle of the palm (n, 2) px; where no hand was seen, that of the look before."""
    middles = np.full((len(states), 2), np.nan)
    for number, state in enumerate(states):
        if state.has_hand:
            middles[number] = state.pixels()[list(PALM)].mean(axis=0)
        elif number:
            middles[number] = middles[number - 1]
    return middles


def followed(states: list[HandState]) -> Array:
    """Returns where a device sends an arm (n, 3) m; who was lost goes on from there."""
    newest: list[HandState] = []
    device = HandDevice(lambda: newest[-1])
    positions = np.zeros((len(states), 3))
    base, is_followed = np.zeros(3), False
    for number, state in enumerate(states):
        newest.append(state)
        device.watch(number / FPS)
        before = positions[max(0, number - 1)]
        if device.filtered is not None and not is_followed:
            base = before - device.filtered
        is_followed = device.filtered is not None
        positions[number] = before if device.filtered is None else base + device.filtered
    return positions


def agreement(truth: Array, found: Array, span: slice) -> Array:
    """Returns the correlation of each axis (3,): depth, x, y."""
    return np.array([np.corrcoef(truth[span, axis], found[span, axis])[0, 1] for axis in range(3)])


def lateness(truth: Array, found: Array, axis: int) -> float:
    """Returns how many pictures later `found` shows what is true, to a tenth."""
    grid, shifts = np.arange(_SETTLED, len(truth) - _SETTLED), np.arange(0, 6, 0.1)
    times = np.arange(len(truth))
    scores = [
        np.corrcoef(truth[grid, axis], np.interp(grid + late, times, found[:, axis]))[0, 1]
        for late in shifts
    ]
    return float(shifts[int(np.argmax(scores))])


def jitter(found: Array) -> float:
    """Returns the spread [m] across the picture of what stands still, the worse of x and y."""
    return float(found[_SETTLED:, 1:].std(axis=0).max())
