"""MediaPipe's hand landmarker, called through the C interface of its library.

Zhang et al. 2020, "MediaPipe Hands: On-device Real-time Hand Tracking": a palm detector, and a
network that finds 21 landmarks in what it points at. The structures are those of 0.10.35.
"""

from __future__ import annotations

import ctypes as c
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demoloop.teleop.errors import TeleopError
from demoloop.teleop.hand_state import HandState
from demoloop.teleop.tracking.install import LIBRARY, TASK, check_tracker

_VIDEO = 2  # running mode: a hand found once is followed, not looked for again
_RGB = 1  # image format
_CONFIDENCE = 0.5  # MediaPipe's own: detection, presence, tracking


class _BaseOptions(c.Structure):
    _fields_ = [
        ("model", c.c_char_p),
        ("model_size", c.c_uint),
        ("model_path", c.c_char_p),
        ("delegate", c.c_int),  # 0: CPU
        ("host_environment", c.c_int),
        ("host_system", c.c_int),
        ("host_version", c.c_char_p),
        ("certificates", c.c_char_p),
    ]


class _Options(c.Structure):
    _fields_ = [
        ("base", _BaseOptions),
        ("running_mode", c.c_int),
        ("num_hands", c.c_int),
        ("min_detection", c.c_float),
        ("min_presence", c.c_float),
        ("min_tracking", c.c_float),
        ("callback", c.c_void_p),
    ]


class _Landmark(c.Structure):
    _fields_ = [
        ("x", c.c_float),
        ("y", c.c_float),
        ("z", c.c_float),
        ("has_visibility", c.c_bool),
        ("visibility", c.c_float),
        ("has_presence", c.c_bool),
        ("presence", c.c_float),
        ("name", c.c_char_p),
    ]


class _Landmarks(c.Structure):
    _fields_ = [("points", c.POINTER(_Landmark)), ("count", c.c_uint32)]


class _Category(c.Structure):
    _fields_ = [
        ("index", c.c_int),
        ("score", c.c_float),
        ("name", c.c_char_p),
        ("display_name", c.c_char_p),
    ]


class _Categories(c.Structure):
    _fields_ = [("items", c.POINTER(_Category)), ("count", c.c_uint32)]


class _Result(c.Structure):
    _fields_ = [
        ("handedness", c.POINTER(_Categories)),
        ("num_handedness", c.c_uint32),
        ("landmarks", c.POINTER(_Landmarks)),
        ("num_landmarks", c.c_uint32),
        ("world", c.POINTER(_Landmarks)),
        ("num_world", c.c_uint32),
    ]


class Landmarker:
    """Within a `with` block: `with Landmarker(folder) as landmarker: landmarker.look(image, ...)`.

    Loads nothing whose hash is not known. Of one thread.
    """

    def __init__(self, folder: Path) -> None:
        """Stores; `folder` is that of `fetch_tracker`."""
        self._folder = folder
        self._library: Any = None
        self._handle = c.c_void_p()
        self._last_ms = -1

    def __enter__(self) -> Landmarker:
        """Loads library and networks; raises TeleopError when they are missing or altered."""
        check_tracker(self._folder)
        try:
            self._library = c.CDLL(str(self._folder / LIBRARY))
        except OSError as error:
            raise TeleopError(
                f"the hand tracker does not load ({error}); on Debian: sudo apt install libgles2 "
                "libegl1"
            ) from error
        # Without these, ctypes would cut pointers to 32 bits.
        self._library.MpImageFree.argtypes = [c.c_void_p]
        self._library.MpHandLandmarkerDetectForVideo.argtypes = [
            *(c.c_void_p, c.c_void_p, c.c_void_p, c.c_int64, c.c_void_p, c.c_void_p)
        ]
        options = _Options()
        options.base.model_path = str(self._folder / TASK).encode()
        options.running_mode, options.num_hands = _VIDEO, 1
        options.min_detection = options.min_presence = options.min_tracking = _CONFIDENCE
        self._call("MpHandLandmarkerCreate", c.byref(options), c.byref(self._handle))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Lets go of the networks."""
        if self._handle:
            self._call("MpHandLandmarkerClose", self._handle)
            self._handle = c.c_void_p()

    def look(self, image: NDArray[np.uint8], *, time: float, number: int) -> HandState:
        """Looks for a hand in a picture (height, width, 3) RGB, taken at `time` [s].

        Raises:
            TeleopError: The tracker failed.
        """
        image = np.ascontiguousarray(image)
        height, width = image.shape[:2]
        picture, result = c.c_void_p(), _Result()
        self._call(
            "MpImageCreateFromUint8Data",
            *(c.c_int(_RGB), c.c_int(width), c.c_int(height)),
            image.ctypes.data_as(c.c_void_p),
            *(c.c_int(image.size), c.byref(picture)),
        )
        # It wants whole milliseconds that grow.
        self._last_ms = max(self._last_ms + 1, int(time * 1000))
        try:
            self._call(
                "MpHandLandmarkerDetectForVideo",
                *(self._handle, picture, None, self._last_ms, c.byref(result)),
            )
            try:
                return _to_state(
                    result,
                    time=time,
                    number=number,
                    width=width,
                    height=height,
                    brightness=float(image[::8, ::8].mean()),
                )
            finally:
                self._library.MpHandLandmarkerCloseResult(c.byref(result))
        finally:
            self._library.MpImageFree(picture)

    def _call(self, name: str, *arguments: object) -> None:
        message = c.c_char_p()
        if getattr(self._library, name)(*arguments, c.byref(message)):
            said = (message.value or b"no reason given").decode(errors="replace")
            raise TeleopError(f"the hand tracker failed in {name}: {said}")


def _to_state(
    result: _Result, *, time: float, number: int, width: int, height: int, brightness: float
) -> HandState:
    if not (result.num_landmarks and result.num_world and result.num_handedness):
        return HandState(
            time=time, number=number, width=width, height=height, brightness=brightness
        )
    flat, world, side = result.landmarks[0], result.world[0], result.handedness[0].items[0]
    return HandState(
        time=time,
        number=number,
        width=width,
        height=height,
        brightness=brightness,
        landmarks=tuple((p.x, p.y) for p in flat.points[: flat.count]),
        world=tuple((p.x, p.y, p.z) for p in world.points[: world.count]),
        handedness="left" if side.name == b"Left" else "right",
        score=float(side.score),
    )
