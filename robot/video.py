"""Writes and reads h264 mp4 files: the pictures of a dataset, the films of an evaluation.

PyAV is imported when it is used: the base install on a robot has none.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from demoloop.robot.errors import RobotError

if TYPE_CHECKING:
    import av
    import av.container
    import av.video.stream

PixelFormat = Literal["yuv420p", "yuv444p"]

CRF = 18
"""For people to watch: 1.0-1.6 kB per frame of 96 px. Datasets are written finer."""

KEYFRAME_EVERY = 24
"""Frames; for people, who watch from the start. Datasets are read at random and have more."""


class VideoError(RobotError):
    """A video file is missing, cut short, or cannot hold what is asked of it."""


class VideoWriter:
    """Writes frames at a constant rate: frame i is shown at exactly i / fps seconds.

    A file that was there before is replaced when the new one is whole, and not touched before.

    `yuv420p` plays in every browser but halves the resolution of the colours, which costs a
    small picture more than compression does: a 96 px render comes back with 30-32 dB, however
    low the crf. `yuv444p` keeps them (38-44 dB at crf 18); datasets are written so.
    """

    def __init__(
        self,
        path: Path,
        fps: int,
        height: int,
        width: int,
        *,
        crf: int = CRF,
        pixel_format: PixelFormat = "yuv420p",
        keyframe_every: int = KEYFRAME_EVERY,
    ) -> None:
        self._path, self._fps, self._crf = Path(path), fps, crf
        self._partial = self._path.with_name(self._path.name + ".partial")
        self._shape = (height, width, 3)
        self._pixel_format = pixel_format
        self._keyframe_every = keyframe_every
        self._count = 0
        self._container: av.container.OutputContainer | None = None
        self._stream: av.video.stream.VideoStream | None = None

    def __enter__(self) -> VideoWriter:
        """Opens the file; raises VideoError when it cannot be one, or the size not be encoded."""
        import av

        if self._path.exists() and not self._path.is_file():
            raise VideoError(f"{self._path} is a folder or a device; name the MP4 file to write")
        height, width, _ = self._shape
        if self._pixel_format == "yuv420p" and (height % 2 or width % 2):
            raise VideoError(
                f"{self._path.name}: yuv420p video needs an even height and width, got "
                f"{height}x{width}; crop one row or column, or write yuv444p"
            )
        self._container = av.open(
            str(self._partial), "w", format="mp4", options={"movflags": "faststart"}
        )
        stream = self._container.add_stream(
            "libx264",
            rate=self._fps,
            options={
                "crf": str(self._crf),
                "preset": "ultrafast",
                "g": str(self._keyframe_every),
            },
        )
        stream.height, stream.width, stream.pix_fmt = height, width, self._pixel_format
        stream.codec_context.time_base = Fraction(1, self._fps)
        # One thread: recording runs beside a control loop, and often in several processes.
        stream.codec_context.thread_count = 1
        self._stream = stream
        return self

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Appends one (height, width, 3) uint8 RGB frame."""
        import av

        if self._container is None or self._stream is None:
            raise VideoError(f"{self._path.name} is not open; write inside `with VideoWriter(...)`")
        if frame.shape != self._shape or frame.dtype != np.uint8:
            raise VideoError(
                f"{self._path.name}: frame {self._count} is {frame.dtype} {frame.shape}, "
                f"expected uint8 {self._shape}"
            )
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts = self._count
        picture.time_base = Fraction(1, self._fps)
        try:
            self._container.mux(self._stream.encode(picture))
        except OSError as error:
            raise self._unwritable(error) from error
        self._count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finishes the file; one that cannot be finished is removed."""
        container, stream = self._container, self._stream
        self._container = self._stream = None
        if container is None or stream is None:
            return
        is_whole = False
        try:
            if kind is None and self._count:
                container.mux(stream.encode())
                is_whole = True
            container.close()
            if is_whole:
                self._partial.replace(self._path)
        except OSError as error:
            is_whole = False
            if kind is None:
                raise self._unwritable(error) from error
        finally:
            self._partial.unlink(missing_ok=True)
        if kind is None and not is_whole:
            raise VideoError(f"{self._path.name}: a video needs at least one frame")

    def _unwritable(self, error: OSError) -> VideoError:
        return VideoError(
            f"{self._path} cannot be written: {error.strerror}; make room or choose another folder"
        )


def read_frames(path: Path, start: int = 0, stop: int | None = None) -> Iterator[NDArray[np.uint8]]:
    """Yields frames start .. stop - 1 as (height, width, 3) uint8 RGB; to the end without `stop`.

    Raises:
        VideoError: The file is missing, is no video, or ends before `stop`.
    """
    import av
    import av.error

    path = Path(path)
    check_video(path)
    index = start
    try:
        # What a damaged file says of itself may be no text.
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            rate, base = stream.average_rate, stream.time_base
            # PyAV has no codec context where FFmpeg does not know the codec.
            if not rate or not base or stream.codec_context is None:
                raise VideoError(f"{path} does not say its codec or frame rate; write it again")
            stream.codec_context.thread_count = 1
            end = stream.frames or None if stop is None else stop
            if start:
                # Half a frame early, so that rounding never lands behind the frame asked for.
                container.seek(int((start - 0.5) / rate / base), stream=stream, backward=True)
            for picture in container.decode(stream):
                if picture.pts is None or round(picture.pts * base * rate) < start:
                    continue
                if end is not None and index >= end:
                    return
                yield picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
                index += 1
    except (av.error.FFmpegError, IndexError, OverflowError, ValueError) as error:
        raise VideoError(f"{path} breaks at frame {index}: {error}; record it again") from error
    if end is not None and index < end:
        raise VideoError(f"{path} ends after frame {index}, expected {end}; it is cut short")


def check_video(path: Path) -> None:
    """Raises VideoError when an mp4 is missing, empty or cut short, without decoding it.

    Walks the boxes at the top of the file (ISO/IEC 14496-12, section 4.2): each says its size,
    and they must fill the file exactly and hold a `moov`, the index of the frames.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            _find_index(file, path)
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror}") from error


def index_digest(path: Path) -> str:
    """Returns a hash of an mp4's `moov`, which says the size and place of every frame.

    It tells two recordings apart without reading a picture. Raises VideoError as `check_video`.
    """
    path, digest = Path(path), hashlib.sha256()
    try:
        with path.open("rb") as file:
            start, length = _find_index(file, path)
            file.seek(start)
            while length > 0 and (part := file.read(min(length, 1 << 20))):
                digest.update(part)
                length -= len(part)
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _find_index(file: BinaryIO, path: Path) -> tuple[int, int]:
    """Walks the whole file and returns where its `moov` begins and how long it is [bytes]."""
    boxes = {kind: (start, length) for kind, start, length in _boxes(file, path)}
    if b"moov" not in boxes:
        raise VideoError(f"{path} holds no frame index (moov): it was never finished")
    return boxes[b"moov"]


def _boxes(file: BinaryIO, path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Yields kind, place and length of every box at the top of the file."""
    position, size = 0, file.seek(0, io.SEEK_END)
    while position < size:
        file.seek(position)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:  # a 64-bit length follows the kind
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:  # to the end of the file
            length = size - position
        if length < 8 or position + length > size:
            raise VideoError(
                f"{path} is cut short or no mp4: byte {position + length} expected, "
                f"the file ends at {size}"
            )
        yield kind, position, length
        position += length
