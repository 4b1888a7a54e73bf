"""Reads single frames of mp4 files, in any order, and keeps the files open in between.

Opening a file and its decoder costs more than decoding a frame. A file of a dataset has a key
frame every second frame, so any frame is at most two decoded ones away.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from demoloop.robot.video import VideoError, check_video

if TYPE_CHECKING:
    import av
    import av.container
    import av.video.reformatter
    import av.video.stream

MAX_OPEN = 32
"""Files kept open by one process: a decoder of 480x640 holds some 5 MB."""

NEARBY = 4
"""Frames ahead that are reached quicker by decoding on than by seeking."""


class FrameReader:
    """An open video file: `with FrameReader(path) as video: video.frame(7)`.

    Of one thread and one process at a time: a decoder remembers where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._container: av.container.InputContainer | None = None
        self._stream: av.video.stream.VideoStream
        self._reformatter: av.video.reformatter.VideoReformatter
        self._decoded: Iterator[av.VideoFrame]
        self._seconds_per_frame = 0.0
        self._seconds_per_tick = 0.0
        self._next = 0  # the frame that decoding on would give, at the earliest

    def __enter__(self) -> FrameReader:
        """Opens the file."""
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the file."""
        self.close()

    def open(self) -> None:
        """Opens the file and its decoder; raises VideoError when it is missing or no video."""
        import av
        import av.error
        from av.video.reformatter import VideoReformatter

        check_video(self.path)
        try:
            # What a damaged file says of itself may be no text.
            self._container = av.open(str(self.path), metadata_errors="replace")
            self._stream = self._container.streams.video[0]
        except (av.error.FFmpegError, IndexError) as error:
            self.close()
            raise VideoError(f"{self.path} holds no video: {error}; record it again") from error
        rate, base = self._stream.average_rate, self._stream.time_base
        # PyAV has no codec context where FFmpeg does not know the codec.
        if not rate or not base or self._stream.codec_context is None:
            self.close()
            raise VideoError(f"{self.path} does not say its codec or frame rate; write it again")
        # One thread: more would only hand a frame around among them.
        self._stream.codec_context.thread_count = 1
        self._seconds_per_frame, self._seconds_per_tick = float(1 / rate), float(base)
        self._reformatter = VideoReformatter()
        self._decoded, self._next = self._container.decode(self._stream), 0

    def close(self) -> None:
        """Closes the file; again is harmless."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Returns a frame as (height, width, 3) uint8 RGB.

        Raises:
            VideoError: The file has no such frame, breaks before it, or is not open.
        """
        import av.error

        if self._container is None:
            raise VideoError(f"{self.path} is not open; read inside `with FrameReader(...)`")
        total = self._stream.frames
        if index < 0 or (total and index >= total):
            raise VideoError(f"{self.path} has frames 0 to {total - 1}, not {index}")
        try:
            if not self._next <= index <= self._next + NEARBY:
                # Half a frame early, so that rounding never lands behind the frame asked for.
                start = (index - 0.5) * self._seconds_per_frame / self._seconds_per_tick
                self._container.seek(max(0, int(start)), stream=self._stream, backward=True)
                self._decoded = self._container.decode(self._stream)
            for picture in self._decoded:
                if picture.pts is None:
                    continue
                number = round(picture.pts * self._seconds_per_tick / self._seconds_per_frame)
                self._next = number + 1
                if number >= index:
                    return self._rgb(picture)
        except av.error.FFmpegError as error:
            self._next = -NEARBY - 1  # wherever the decoder is, seek
            raise VideoError(f"{self.path} breaks at frame {index}: {error}") from error
        self._next = -NEARBY - 1
        raise VideoError(f"{self.path} ends before frame {index}; it is cut short")

    def frames(self, indices: Iterable[int]) -> Iterator[NDArray[np.uint8]]:
        """Yields frames in the order asked for; ascending order is the quickest."""
        for index in indices:
            yield self.frame(index)

    def _rgb(self, picture: av.VideoFrame) -> NDArray[np.uint8]:
        # Kept, since the tables of a new one take a sixth of the time of a frame.
        return (
            self._reformatter.reformat(picture, format="rgb24")
            .to_ndarray()
            .astype(np.uint8, copy=False)
        )


class OpenReaders:
    """The files read last, kept open, the longest unused closed first.

    A reader in use is not in the list, so two threads that want the same file each have one; the
    list is changed by single calls of a dict, which need no lock that a fork could leave held.
    """

    def __init__(self, max_open: int = MAX_OPEN) -> None:
        self._max_open = max_open
        self._readers: OrderedDict[tuple[Path, int, int], FrameReader] = OrderedDict()
        self._of_parents: list[object] = []

    def __len__(self) -> int:
        """Number of open files."""
        return len(self._readers)

    def frame(self, path: Path, index: int) -> NDArray[np.uint8]:
        """Returns one frame, opening the file if need be.

        Raises:
            VideoError: The file is missing, broken, or has no such frame.
        """
        try:
            status = os.stat(path)
        except OSError as error:
            raise VideoError(f"{path} cannot be read: {error.strerror}") from error
        key = (path, status.st_ino, status.st_mtime_ns)  # a replaced file is another file
        reader = self._readers.pop(key, None)
        if reader is None:
            reader = FrameReader(path)
            reader.open()
        try:
            return reader.frame(index)
        finally:
            if (other := self._readers.pop(key, None)) is not None:
                other.close()
            self._readers[key] = reader
            while len(self._readers) > self._max_open:
                self._readers.popitem(last=False)[1].close()

    def forget(self) -> None:
        """Closes all files."""
        while self._readers:
            self._readers.popitem()[1].close()

    def leave_to_parent(self) -> None:
        """Begins anew in a forked child, where both would move the same place in each file.

        The parent's are not even closed here: that waits for threads which only the parent has.
        """
        self._of_parents.append(self._readers)
        self._readers = OrderedDict()


OPEN_READERS = OpenReaders()
"""Of this process: the number of files it may have open is the process's, too."""

os.register_at_fork(after_in_child=OPEN_READERS.leave_to_parent)
