"""The training cache: every picture decoded and resized once, then read as plain memory.

Random access into video costs milliseconds per frame and repeats itself every epoch; a memory
map costs the copy.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from demoloop.datasets.durable import exclusive, move_file
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_read import Dataset


@dataclass(frozen=True)
class TrainingCache:
    """All steps of all episodes, one after the other; N steps, E episodes."""

    view_hash: str
    images: Mapping[str, NDArray[np.uint8]]  # camera -> (N, height, width, 3) RGB, memory map
    proprioception: NDArray[np.float32]  # (N, P)
    actions: NDArray[np.float32]  # (N, action_dim)
    episode_starts: NDArray[np.int64]  # (E + 1,): episode e is steps starts[e] .. starts[e+1] - 1
    success: NDArray[np.int8]  # (E,): 1 yes, 0 no, -1 nobody judged

    @property
    def num_episodes(self) -> int:
        """How many episodes there are."""
        return len(self.episode_starts) - 1


def open_cache(
    dataset: Dataset,
    image_size: tuple[int, int],
    folder: Path | None = None,
    progress: bool = True,
) -> TrainingCache:
    """Returns the training cache of a dataset, built now where it is not there yet.

    Files are named by view and size, so a changed dataset never meets old pictures. A build that
    was killed goes on after its last whole episode.

    Args:
        dataset: What to decode.
        image_size: (height, width) [px] of the pictures in the cache.
        folder: Where the files go; `.cache` in the dataset, or in the user's cache folder when
            the dataset cannot be written.
        progress: Whether to show a progress bar while building.

    Raises:
        DatasetError: The disk is full or a video cannot be decoded.
    """
    view = dataset.view_hash()
    lowdim = [dataset.lowdim(i) for i in range(len(dataset.episodes))]
    starts = np.cumsum([0, *(len(part.actions) for part in lowdim)], dtype=np.int64)
    shape = (int(starts[-1]), *image_size, 3)
    place = (folder or _default_folder(dataset.root)) / view
    paths = {
        camera: place / f"{camera}_{image_size[0]}x{image_size[1]}.u8"
        for camera in dataset.spec.camera_names
    }
    try:
        # Two processes of one training run build it once: the second waits for the first.
        with exclusive(place / ".lock", wait=True):
            _build_missing(dataset, paths, starts, shape, progress)
    except OSError as error:
        raise DatasetError(
            f"the training cache of {dataset.root} needs {len(paths) * np.prod(shape) / 1e6:.0f} "
            f"MB and cannot be written: {error}; make room or choose another folder"
        ) from error
    success = [episode.success for episode in dataset.episodes]
    return TrainingCache(
        view_hash=view,
        # Copy on write: torch wants memory it may write to, and the file stays as it is.
        images={name: np.memmap(path, np.uint8, "c", shape=shape) for name, path in paths.items()},
        proprioception=np.concatenate([part.proprioception for part in lowdim]),
        actions=np.concatenate([part.actions for part in lowdim]),
        episode_starts=starts,
        success=np.array([-1 if judged is None else judged for judged in success], np.int8),
    )


def _default_folder(root: Path) -> Path:
    """Returns `.cache` in the dataset, so that both are deleted together, if it can be made."""
    inside = root / ".cache"
    try:
        inside.mkdir(exist_ok=True)
        return inside
    except OSError:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(home) / "demoloop"


def _build_missing(
    dataset: Dataset,
    paths: Mapping[str, Path],
    starts: NDArray[np.int64],
    shape: tuple[int, ...],
    progress: bool,
) -> None:
    """Builds the files that are absent or have another size than they must."""
    todo = {
        camera: path
        for camera, path in paths.items()
        if not path.exists() or path.stat().st_size != np.prod(shape)
    }
    with tqdm(
        total=shape[0] * len(todo),
        desc="decoding pictures once",
        unit="frame",
        disable=not (progress and todo),
    ) as bar:
        for camera, path in todo.items():
            _build(dataset, camera, path, starts, shape[1:], bar)


def _build(
    dataset: Dataset,
    camera: str,
    path: Path,
    starts: NDArray[np.int64],
    frame_shape: tuple[int, ...],
    bar: tqdm[NoReturn],
) -> None:
    """Decodes one camera into `path`, going on where a killed build stopped."""
    part = path.with_name(path.name + ".part")
    frame_bytes = math.prod(frame_shape)
    with part.open("ab") as file:
        # Only whole episodes are kept: the last one may have been cut short.
        done = int(np.searchsorted(starts, file.tell() // frame_bytes, side="right")) - 1
        done = min(done, len(starts) - 1)
        file.truncate(int(starts[done]) * frame_bytes)
        bar.update(int(starts[done]))
        for i in range(done, len(starts) - 1):
            for frame in dataset.frames(i, camera):
                file.write(_resized(frame, frame_shape).tobytes())
                bar.update()
    move_file(part, path)


def _resized(frame: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Shrinks by averaging areas, as the exported policy does; a frame that fits is not touched."""
    if frame.shape == shape:
        return frame
    height, width, _ = shape
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
