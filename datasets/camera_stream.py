"""One camera of an episode that is being recorded: an mp4 that grows, and a log of its frames.

Every frame is encoded at once and handed to the system at once. The mp4 gets its index of frames
(moov) only when it is closed, and closing it writes nothing else anew; of one that was never
closed, the log says where each frame is and what its checksum is, so that `rebuild_video` can
put together what is whole.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.errors import DatasetError, one_line
from demoloop.datasets.framing import LogWriter, read_log, write_all
from demoloop.datasets.stats import FeatureStats, ImageStats
from demoloop.robot import CameraSpec

if TYPE_CHECKING:
    import av
    import av.container
    import av.video.stream

_FRAME = struct.Struct("<QII")  # where it begins in the mp4, bytes, crc32
_FLUSH = {"flush_packets": "1"}  # after each frame, to the system
_START_CODE = b"\x00\x00\x00\x01"  # between the units of an h264 stream, ISO/IEC 14496-10 annex B


def video_path(folder: Path, camera: str) -> Path:
    """Where the pictures of an open episode grow."""
    return folder / f"{camera}.mp4"


def log_path(folder: Path, camera: str) -> Path:
    """Where the log of its frames grows."""
    return folder / f"{camera}.frames"


class CameraStream:
    """Encodes one camera. Not for several threads, except for `sync`."""

    def __init__(self, folder: Path, camera: CameraSpec, fps: int) -> None:
        self._path = video_path(folder, camera.name)
        self._log = LogWriter(log_path(folder, camera.name))
        self._camera, self._fps = camera, fps
        self._format = layout.video_format(camera.height, camera.width)
        self._file = _AppendedFile(self._path)
        self._stats = ImageStats()
        self._count = 0
        self._last: av.VideoFrame | None = None
        self._container: av.container.OutputContainer | None = None
        self._stream: av.video.stream.VideoStream | None = None

    def open(self) -> None:
        """Creates both files."""
        import av

        self._file.open()
        self._container = av.open(self._file, "w", format="mp4", options=_FLUSH)
        self._stream = _add_stream(self._container, self._camera, self._fps, self._format)
        self._container.start_encoding()
        self._log.open()
        extradata = self._stream.codec_context.extradata or b""
        self._log.append(json.dumps({"extradata": extradata.hex()}).encode())

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Appends one (height, width, 3) uint8 RGB picture."""
        import av

        self._stats.add(picture)
        if self._format.pixels == "yuv420p":
            # A third of the time that libav's own conversion takes.
            planes = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420).astype(np.uint8, copy=False)
            self._last = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        else:
            self._last = av.VideoFrame.from_ndarray(picture, format="rgb24")
        self._encode(self._last)

    def repeat(self) -> None:
        """Appends the last picture once more."""
        if self._last is None:
            raise DatasetError(f"camera {self._camera.name!r} has no picture yet to show again")
        self._encode(self._last)

    def sync(self) -> None:
        """Returns when all frames so far are on the disk."""
        self._file.sync()
        self._log.sync()

    def close(self) -> None:
        """Finishes the mp4 and returns when it is on the disk."""
        if self._container is not None and self._stream is not None:
            container, stream = self._container, self._stream
            self._container = self._stream = None
            try:
                self._mux(container, stream, None)
                container.close()
                self._file.sync()
            finally:
                self._file.close()
                self._log.close()

    def abandon(self) -> None:
        """Lets go of both files as they are, after an error."""
        self._container = self._stream = None
        self._file.close()
        self._log.close()

    def stats(self) -> FeatureStats:
        """Statistics of the pictures, repeated ones counted once."""
        return self._stats.stats()

    def _encode(self, frame: av.VideoFrame) -> None:
        if self._container is None or self._stream is None:
            raise DatasetError(f"camera {self._camera.name!r} is not being recorded; open it first")
        frame.pts, frame.time_base = self._count, Fraction(1, self._fps)
        self._mux(self._container, self._stream, frame)
        self._count += 1

    def _mux(
        self,
        container: av.container.OutputContainer,
        stream: av.video.stream.VideoStream,
        frame: av.VideoFrame | None,
    ) -> None:
        """Writes what the encoder gives for a frame: exactly one packet, as it is set up."""
        for packet in stream.encode(frame):
            start = self._file.begin()
            container.mux(packet)
            self._log.append(_FRAME.pack(start, self._file.tell() - start, self._file.checksum))


class _AppendedFile(io.RawIOBase):
    """The file libav writes to; knows where each frame began and its checksum."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._position = 0
        self._end = 0
        self.checksum = 0

    def open(self, *, anew: bool = True) -> None:
        flags = os.O_CREAT | os.O_EXCL if anew else 0
        self._descriptor = os.open(self._path, os.O_RDWR | flags, 0o644)

    def begin(self) -> int:
        """Returns where the next frame begins."""
        self.checksum = 0
        return self._position

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.checksum = zlib.crc32(data, self.checksum)
        os.lseek(self._descriptor, self._position, os.SEEK_SET)
        write_all(self._descriptor, data)
        self._position += len(data)
        self._end = max(self._end, self._position)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def cut_off(self) -> None:
        """Removes what an earlier, longer content has left behind the end."""
        os.ftruncate(self._descriptor, self._end)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def whole_frames(folder: Path, camera: str) -> Iterator[bytes]:
    """Yields the frames of a camera that are whole, each as one h264 packet in annex B."""
    with video_path(folder, camera).open("rb") as video:
        size = os.fstat(video.fileno()).st_size
        for record in islice(read_log(log_path(folder, camera)), 1, None):
            if len(record) != _FRAME.size:
                return
            start, length, checksum = _FRAME.unpack(record)
            if start + length > size:
                return
            video.seek(start)
            packet = video.read(length)
            if zlib.crc32(packet) != checksum:
                return
            yield b"".join(_START_CODE + unit for unit in _units(packet))


def rebuild_video(folder: Path, camera: str, fps: int, count: int) -> None:
    """Finishes the mp4 of a camera that was never closed, with its first `count` whole frames.

    Nothing is decoded, and nothing copied, for which a full disk would have no room: the same
    frames are written to the same places again, and the index of frames after them.
    """
    import av
    import av.error

    header = _header(folder, camera)
    frames = whole_frames(folder, camera)
    first = next(frames)
    try:
        with av.open(io.BytesIO(header + first), format="h264") as sample:
            template = sample.streams.video[0]
            _write_again(folder, camera, template, fps, islice(chain([first], frames), count))
    except (av.error.FFmpegError, IndexError) as error:
        # What the disk says, libav passes on; a full one is not the fault of the file.
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        raise DatasetError(
            f"{log_path(folder, camera)} and its mp4 do not go together ({one_line(error)})"
        ) from error


def _write_again(
    folder: Path,
    camera: str,
    template: av.video.stream.VideoStream,
    fps: int,
    frames: Iterator[bytes],
) -> None:
    import av

    file = _AppendedFile(video_path(folder, camera))
    file.open(anew=False)
    with closing(file):
        with av.open(file, "w", format="mp4", options=_FLUSH) as target:
            stream = target.add_stream_from_template(template)
            for number, frame in enumerate(frames):
                packet = av.Packet(frame)
                packet.stream = stream
                packet.pts = packet.dts = number
                packet.duration, packet.time_base = 1, Fraction(1, fps)
                packet.is_keyframe = number % layout.KEYFRAME_EVERY == 0
                target.mux(packet)
        file.cut_off()
        file.sync()


def _header(folder: Path, camera: str) -> bytes:
    """Returns what the decoder must know before the first frame."""
    path = log_path(folder, camera)
    try:
        return bytes.fromhex(json.loads(next(read_log(path)))["extradata"])
    except (StopIteration, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} does not begin with the header of its frames") from error


def file_sha256(path: Path) -> str:
    """Returns the sha256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _units(packet: bytes) -> Iterator[bytes]:
    """Splits an mp4 packet into its units, each behind four bytes of length."""
    position = 0
    while position + 4 <= len(packet):
        length = int.from_bytes(packet[position : position + 4], "big")
        yield packet[position + 4 : position + 4 + length]
        position += 4 + length


def _add_stream(
    container: av.container.OutputContainer,
    camera: CameraSpec,
    fps: int,
    video_format: layout.VideoFormat,
) -> av.video.stream.VideoStream:
    stream = container.add_stream(
        "libx264",
        rate=fps,
        options={
            "crf": str(video_format.crf),
            "preset": "ultrafast",
            "tune": "zerolatency",  # a frame goes in, its packet comes out
            "g": str(layout.KEYFRAME_EVERY),
        },
    )
    stream.height, stream.width = camera.height, camera.width
    stream.pix_fmt = video_format.pixels
    stream.codec_context.time_base = Fraction(1, fps)
    # One thread: recording runs beside a control loop, and often in several processes.
    stream.codec_context.thread_count = 1
    return stream
