"""Pictures out of the files of others: decoded within limits, on the disk when they are many."""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.errors import DatasetError
from demoloop.datasets.importers.found import MAX_PICTURE_BYTES, check_picture_size

IN_MEMORY = 64 << 20
"""Bytes of pictures of one camera and episode; more are kept in a file that has no name."""

_PNG = b"\x89PNG\r\n\x1a\n"
# JPEG's start-of-frame markers, those that say the size; C4, C8 and CC are none.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_END_OF_JPEG = b"\xff\xd9"


def decode(data: bytes, what: str, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Returns a PNG or JPEG as (height, width, 3) uint8 RGB.

    Its header is read first, so that a picture of another size than `size` (height, width) [px],
    or of an absurd one, is refused before memory is given to it.

    Raises:
        DatasetError: `what` is no such picture, is cut short, or has another size.
    """
    found = picture_size(data, what)
    if size is not None and found != size:
        raise DatasetError(
            f"{what} is a picture of {found[0]}x{found[1]}, the camera gives {size[0]}x{size[1]}"
        )
    try:
        # A camera's picture is as it came; what EXIF says of its orientation is ignored.
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise DatasetError(f"{what} cannot be decoded") from error
    if picture is None or picture.shape != (*found, 3) or picture.dtype != np.uint8:
        raise DatasetError(f"{what} cannot be decoded")
    return np.asarray(picture[..., ::-1], np.uint8)


def picture_size(data: bytes, what: str) -> tuple[int, int]:
    """Returns (height, width) [px] from the header of a PNG or JPEG that is there to its end."""
    if len(data) > MAX_PICTURE_BYTES:
        raise DatasetError(f"{what} has {len(data)} bytes; expected at most {MAX_PICTURE_BYTES}")
    if data.startswith(_PNG):
        if data[12:16] != b"IHDR" or b"IEND" not in data[-32:]:
            raise DatasetError(f"{what} is a PNG that is cut short")
        width, height = struct.unpack(">II", data[16:24])
    elif data.startswith(b"\xff\xd8"):
        # Some pad all pictures of an episode to one length.
        if not data.rstrip(b"\0").endswith(_END_OF_JPEG):
            raise DatasetError(f"{what} is a JPEG that is cut short")
        height, width = _jpeg_size(data, what)
    else:
        raise DatasetError(f"{what} is neither PNG nor JPEG")
    check_picture_size(what, height, width)
    return height, width


def _jpeg_size(data: bytes, what: str) -> tuple[int, int]:
    """Walks the segments of a JPEG (ITU-T T.81, annex B) to the one that says the size."""
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF or marker in _ALONE:
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return height, width
        position += 2 + length
    raise DatasetError(f"{what} is a JPEG that does not say its size")


def gather(
    pictures: Iterable[NDArray[np.uint8]], count: int, size: tuple[int, int], what: str
) -> NDArray[np.uint8]:
    """Returns `count` pictures of `size` (height, width) [px] as (count, height, width, 3).

    Raises:
        DatasetError: There are fewer, one has another size, or the disk has no room for them.
    """
    stored = room_for(count, size, what)
    position = 0
    for picture in pictures:
        if picture.shape != (*size, 3):
            raise DatasetError(
                f"{what}: picture {position} is {picture.shape[0]}x{picture.shape[1]}, the camera "
                f"gives {size[0]}x{size[1]}"
            )
        if position == count:
            break
        stored[position] = picture
        position += 1
    if position < count:
        raise DatasetError(f"{what} ends after picture {position}, expected {count}")
    return stored


def room_for(count: int, size: tuple[int, int], what: str) -> NDArray[np.uint8]:
    """Returns (count, height, width, 3) zeros: in memory when few, else in a nameless file."""
    shape = (count, *size, 3)
    num_bytes = int(np.prod(shape, dtype=np.int64))
    if num_bytes <= IN_MEMORY:
        return np.zeros(shape, np.uint8)
    folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise DatasetError(
            f"{what} unpacks to {num_bytes / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB "
            "free; make room, or point TMPDIR elsewhere"
        )
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(num_bytes)
        return np.memmap(file, np.uint8, "r+", shape=shape)
