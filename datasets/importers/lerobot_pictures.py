"""The pictures of a LeRobot dataset: in videos, or as PNG and JPEG in the data files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.errors import DatasetError
from demoloop.datasets.importers.found import MAX_PICTURE_BYTES, check_picture_size
from demoloop.datasets.importers.lerobot_meta import Meta, Row, fill
from demoloop.datasets.importers.parquet import read_pictures
from demoloop.datasets.importers.pictures import decode
from demoloop.robot.video import VideoError, check_video, read_frames


def check_files(row: Row, cameras: Mapping[str, str]) -> None:
    """Raises DatasetError that names the first file of an episode that is missing or broken."""
    try:
        row.data.stat()
    except OSError as error:
        raise DatasetError(f"{row.data.name[:100]} is missing") from error
    for key, (path, _) in row.videos.items():
        if key in cameras:
            try:
                mtime = path.stat().st_mtime_ns
            except OSError as error:
                raise DatasetError(f"{key}: {path.name} is missing") from error
            if fault := _fault(path, mtime):
                raise DatasetError(f"{key}: {fault}")


@lru_cache(maxsize=64)
def _fault(path: Path, mtime_ns: int) -> str:
    """Says what is wrong with a video, '' when it can be opened; one may hold many episodes."""
    import av
    import av.error

    try:
        check_video(path)
        # What the file says of itself may be no text.
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            if stream.codec_context is None:
                return f"{path.name} is in a codec that is not known"
            check_picture_size(path.name, stream.height, stream.width)
    except (VideoError, DatasetError) as error:
        return str(error).replace(f"{path.parent}/", "")
    except (av.error.FFmpegError, IndexError) as error:
        return f"{path.name} holds no video ({error})"
    return ""


def first_picture(meta: Meta, row: Row, key: str) -> NDArray[np.uint8]:
    """Returns the first picture of a camera, whatever size it has."""
    for picture in pictures_of(meta, row, key, None, 1):
        return picture
    raise DatasetError(f"camera {key!r} shows nothing")


def pictures_of(
    meta: Meta, row: Row, key: str, size: tuple[int, int] | None, steps: int
) -> Iterator[NDArray[np.uint8]]:
    """Yields the first `steps` pictures of a camera in an episode.

    Raises:
        DatasetError: One is missing, broken or, in a data file, not of `size` (height, width).
    """
    if key not in row.videos:
        coded = read_pictures(row.data, row.index, key)
        for step, (data, name) in zip(range(steps), coded, strict=False):
            what = f"{key}, step {step}"
            yield decode(data or _beside(meta, name, what), what, size)
        return
    path, begin = row.videos[key]
    first = round(begin * (meta.fps or 1.0))
    try:
        yield from read_frames(path, first, first + steps)
    except VideoError as error:
        raise DatasetError(f"{key}: {str(error).replace(f'{path.parent}/', '')}") from error


def _beside(meta: Meta, name: str, what: str) -> bytes:
    """Returns the bytes of a picture that has a file of its own within the dataset."""
    path = meta.root / fill(name.replace("{", "").replace("}", ""), {})
    try:
        if not path.is_file() or path.stat().st_size > MAX_PICTURE_BYTES:
            raise DatasetError(f"{what}: {path.name} is missing or too large for a picture")
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{what}: {name or 'the picture'} is missing") from error
