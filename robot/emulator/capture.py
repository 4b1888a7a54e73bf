"""A camera of the emulated world that looks like a `cv2.VideoCapture`."""

from __future__ import annotations

import socket
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from demoloop.robot.emulator.camera_wire import HEADER, Hello

_TIMEOUT_S = 2.0  # as long as a V4L2 camera is waited for
_MAX_BYTES = 4_000_000


class EmulatedCapture:
    """Open while the emulator's camera is; `isOpened` says whether it is.

    The mode is negotiated at the first `grab` after a `set`, and read back by `get`.
    """

    def __init__(self, path: str, camera: str) -> None:
        """Connects: like OpenCV's, it opens when it is made.

        Args:
            path: Of the emulator's camera socket.
            camera: Its name in the world.
        """
        self._path = path
        self._wanted = Hello(camera)
        self._given = Hello(camera)
        self._socket: socket.socket | None = None
        self._data: bytes | None = None
        self._taken_at = 0.0
        self._number = 0
        self._connect()

    def isOpened(self) -> bool:
        """Whether there is a camera."""
        return self._socket is not None

    def grab(self) -> bool:
        """Waits for the next picture; False when none came: the camera is gone."""
        self._data = None
        if self._socket is None:
            return False
        try:
            self._socket.sendall(b"g")
            self._number, self._taken_at, size = HEADER.unpack(self._receive(HEADER.size))
            if size > _MAX_BYTES:
                raise ConnectionError("no picture is that large")
            self._data = self._receive(size)
        except OSError:
            self.release()
            return False
        return True

    def retrieve(self) -> tuple[bool, NDArray[Any] | None]:
        """Decodes the grabbed picture: (height, width, 3) uint8 BGR."""
        if self._data is None:
            return False, None
        raw = np.frombuffer(self._data, np.uint8)
        if self._given.fourcc == "RGB3":
            rgb = raw.reshape(self._given.height, self._given.width, 3)
            return True, np.ascontiguousarray(rgb[..., ::-1])
        picture: NDArray[Any] | None = cv2.imdecode(raw, cv2.IMREAD_COLOR)
        return picture is not None, picture

    def read(self) -> tuple[bool, NDArray[Any] | None]:
        """Waits for the next picture and decodes it."""
        return self.retrieve() if self.grab() else (False, None)

    def set(self, propId: int, value: float) -> bool:
        """Asks for another mode; False for what such a camera has not."""
        if propId == cv2.CAP_PROP_FRAME_WIDTH:
            self._wanted = msgspec.structs.replace(self._wanted, width=round(value))
        elif propId == cv2.CAP_PROP_FRAME_HEIGHT:
            self._wanted = msgspec.structs.replace(self._wanted, height=round(value))
        elif propId == cv2.CAP_PROP_FPS:
            self._wanted = msgspec.structs.replace(self._wanted, fps=float(value))
        elif propId == cv2.CAP_PROP_FOURCC:
            letters = int(value).to_bytes(4, "little").decode("ascii", "replace")
            self._wanted = msgspec.structs.replace(self._wanted, fourcc=letters)
        else:
            return propId == cv2.CAP_PROP_BUFFERSIZE and value == 1  # it keeps the newest only
        if self._socket is not None:
            self.release()
            self._connect()
        return True

    def get(self, propId: int) -> float:
        """Returns a property as it is now; 0 for what such a camera has not."""
        given = self._given
        values = {
            cv2.CAP_PROP_FRAME_WIDTH: given.width,
            cv2.CAP_PROP_FRAME_HEIGHT: given.height,
            cv2.CAP_PROP_FPS: given.fps,
            cv2.CAP_PROP_FOURCC: int.from_bytes(given.fourcc.encode(), "little"),
            cv2.CAP_PROP_POS_MSEC: 1000 * self._taken_at,  # time.monotonic(), as V4L2 does
            cv2.CAP_PROP_POS_FRAMES: self._number,
            cv2.CAP_PROP_BUFFERSIZE: 1,
        }
        return float(values.get(propId, 0))

    def release(self) -> None:
        """Lets go of the camera; may be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_TIMEOUT_S)
        self._socket = connection
        try:
            connection.connect(self._path)
            connection.sendall(msgspec.json.encode(self._wanted) + b"\n")
            line = b""
            while not line.endswith(b"\n"):
                line += self._receive(1)
            self._given = msgspec.json.decode(line, type=Hello)
        except OSError:
            self.release()
            return
        if self._given.error:
            self.release()

    def _receive(self, size: int) -> bytes:
        assert self._socket is not None
        data = bytearray()
        while len(data) < size:
            if not (more := self._socket.recv(size - len(data))):
                raise ConnectionError("the camera is gone")
            data += more
        return bytes(data)
