"""Pictures of an episode as JPEG: frames to be looked at, and the filmstrip of the list."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_read import Dataset

MAX_FRAMES = 32
"""Frames in one answer, so that no request can fill the memory."""

_QUALITY = 92  # JPEG; frames are looked at for defects
_STRIP_QUALITY = 80
_TILE = (88, 104)  # height and width [px] of a picture in a filmstrip, twice what the page shows
_SEAM = 4  # px of grey between two pictures
_SMALL = 240  # px; a picture of fewer lines keeps its colours whole, as in the video


def frames_as_jpeg(dataset: Dataset, i: int, camera: str, first: int, count: int) -> bytes:
    """Returns frames of episode i: of each its length (4 bytes, big endian) and its JPEG.

    Args:
        dataset: What to read.
        i: Place of the episode in `dataset.episodes`.
        camera: Whose pictures.
        first: First step, counted as the page counts: as recorded, whatever was trimmed since.
        count: How many; fewer are returned at the end of the episode.

    Raises:
        DatasetError: The steps are not in the episode, or the video cannot be decoded.
    """
    episode = dataset.episodes[i]
    start = first - episode.first
    stop = min(start + min(count, MAX_FRAMES), episode.length)
    if not 0 <= start < stop:
        raise DatasetError(
            f"episode {episode.index} has steps {episode.first} to "
            f"{episode.first + episode.length - 1}, asked for {first}"
        )
    parts = []
    for step in range(start, stop):
        data = _jpeg(dataset.frame(i, camera, step), _QUALITY)
        parts += [len(data).to_bytes(4, "big"), data]
    return b"".join(parts)


def filmstrip(dataset: Dataset, i: int) -> bytes:
    """Returns start, middle and end of episode i side by side as JPEG; made once, then kept.

    Raises:
        DatasetError: There is no camera, or the video cannot be decoded.
    """
    episode = dataset.episodes[i]
    if not dataset.spec.camera_names:
        raise DatasetError(f"{dataset.root} has no camera")
    camera = dataset.spec.camera_names[0]
    part = dataset.videos(i)[camera]
    key = f"{part.path} {part.first} {episode.sha256} {episode.first} {episode.length}"
    folder = _cache_folder(dataset)
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.jpg"
    with contextlib.suppress(OSError):
        return path.read_bytes()
    steps = (0, episode.length // 2, episode.length - 1)
    strip = np.concatenate([_tile(dataset.frame(i, camera, step)) for step in steps], axis=1)
    for tile in (1, 2):
        strip[:, tile * _TILE[1] - _SEAM // 2 : tile * _TILE[1] + _SEAM // 2] = 128
    data = _jpeg(strip, _STRIP_QUALITY)
    # On a full or read-only disk it is made anew each time.
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        partial.write_bytes(data)
        partial.replace(path)
    return data


def _tile(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrinks to fill a tile and crops what stands out."""
    height, width = _TILE
    scale = max(height / frame.shape[0], width / frame.shape[1])
    size = max(width, round(frame.shape[1] * scale)), max(height, round(frame.shape[0] * scale))
    scaled = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return scaled[top : top + height, left : left + width]


def _jpeg(frame: NDArray[np.uint8], quality: int) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if min(frame.shape[:2]) < _SMALL:
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    is_done, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)
    if not is_done:
        raise DatasetError(f"a picture of {frame.shape} cannot be shown as JPEG")
    return data.tobytes()


def _cache_folder(dataset: Dataset) -> Path:
    """Returns a folder beside our episodes; of others nothing is touched, not even their folder."""
    if dataset.has_own_spec and os.access(dataset.root, os.W_OK):
        return dataset.root / ".cache" / "thumbnails"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "demoloop" / "thumbnails"
