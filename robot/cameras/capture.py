"""One open camera, seen as OpenCV sees it; cameras of other makers are made to look the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import cv2
from numpy.typing import NDArray

from demoloop.robot.cameras.devices import check_device, holders_of
from demoloop.robot.cameras.setup import CameraError, CameraSetup, mode_of

SELECT_TIMEOUT_S = 1
"""How long OpenCV waits for a picture: its own 10 s would hold up the closing of a dead camera."""


class Capture(Protocol):
    """What a camera needs of a `cv2.VideoCapture`."""

    def isOpened(self) -> bool:
        """Whether there is a camera."""
        ...

    def grab(self) -> bool:
        """Waits for the next picture; False when none came."""
        ...

    def retrieve(self) -> tuple[bool, NDArray[Any] | None]:
        """Decodes the grabbed picture: (height, width, 3) uint8 BGR."""
        ...

    def set(self, propId: int, value: float) -> bool:
        """Asks for a property; False when it has none such."""
        ...

    def get(self, propId: int) -> float:
        """Returns a property as it is now."""
        ...

    def release(self) -> None:
        """Lets go of the camera; may be called twice."""
        ...


OpenCapture: TypeAlias = Callable[[CameraSetup], Capture]
"""Opens the camera of a setup, or raises CameraError. Sets no mode: `configure` does."""


def open_capture(setup: CameraSetup) -> Capture:
    """Opens a camera on this computer, by the maker's own library where the device says so."""
    kind, separator, serial = setup.device.partition(":")
    if separator and not kind.startswith("/"):
        if kind not in OPENERS:
            raise CameraError(
                f"camera {setup.name}: {kind!r} is no kind of camera; write a path below /dev/v4l "
                f"or one of {', '.join(f'{known}:SERIAL' for known in OPENERS)}"
            )
        return OPENERS[kind](setup, serial)
    return _open_uvc(setup)


def _open_uvc(setup: CameraSetup) -> Capture:
    check_device(setup)
    # Read by OpenCV when it first waits.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(SELECT_TIMEOUT_S))
    capture = cv2.VideoCapture(setup.device, cv2.CAP_V4L2)
    if not capture.isOpened():
        holders = holders_of(setup.device)
        because = f"{', '.join(holders)} has it open" if holders else "it may be in use"
        raise CameraError(
            f"camera {setup.name}: {setup.device} does not open ({because}); close other programs "
            "that show it, or unplug it and plug it in again"
        )
    return capture


def _open_realsense(setup: CameraSetup, serial: str) -> Capture:
    from demoloop.robot.cameras.realsense import RealSenseCapture

    return RealSenseCapture.open(setup, serial)


def _open_depthai(setup: CameraSetup, serial: str) -> Capture:
    from demoloop.robot.cameras.depthai import DepthAICapture

    return DepthAICapture.open(setup, serial)


OPENERS: Mapping[str, Callable[[CameraSetup, str], Capture]] = {
    "realsense": _open_realsense,
    "depthai": _open_depthai,
}
"""Kind, before the colon of a device -> opens the camera with the serial number after it."""


def configure(capture: Capture, setup: CameraSetup) -> None:
    """Sets the mode and reads it back.

    Raises:
        CameraError: The camera gives another mode than was asked for.
    """
    # The format first: V4L2 allows sizes by the format, and rates by both.
    for prop, value in mode_of(setup).items():
        capture.set(prop, value)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # where it sticks; nothing here relies on it
    fourcc = fourcc_name(capture.get(cv2.CAP_PROP_FOURCC))
    size = (
        round(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        round(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
    )
    fps = capture.get(cv2.CAP_PROP_FPS)
    is_rate_right = fps <= 0 or abs(fps - setup.fps) <= 0.05 * setup.fps  # 0: it does not say
    if size != (setup.width, setup.height) or fourcc != setup.fourcc or not is_rate_right:
        raise CameraError(
            f"camera {setup.name}: {setup.device} gives {size[0]}x{size[1]} {fourcc or '?'} at "
            f"{fps:g} Hz, asked for {setup.width}x{setup.height} {setup.fourcc} at {setup.fps:g} "
            f"Hz; ask for a mode it has: v4l2-ctl -d {setup.device} --list-formats-ext"
        )


# What is kept -> property that switches the automatic off, its value for off, the property itself.
_LOCKS: Mapping[str, tuple[int, float, int]] = {
    "exposure": (cv2.CAP_PROP_AUTO_EXPOSURE, 1, cv2.CAP_PROP_EXPOSURE),  # 1: V4L2's manual
    "white_balance": (cv2.CAP_PROP_AUTO_WB, 0, cv2.CAP_PROP_WB_TEMPERATURE),
    "focus": (cv2.CAP_PROP_AUTOFOCUS, 0, cv2.CAP_PROP_FOCUS),
}


def lock(capture: Capture, setup: CameraSetup, kept: Mapping[str, float]) -> dict[str, float]:
    """Switches the automatics off and returns the values that stay.

    Args:
        capture: Open, and warmed up unless `kept` has the values.
        setup: May prescribe values.
        kept: What was locked before the camera was lost: the look must not change in an episode.

    Returns:
        Only what this camera lets be locked.

    Raises:
        CameraError: The camera refuses a value that the setup prescribes.
    """
    locked = {}
    for name, (automatic, off, value) in _LOCKS.items():
        prescribed: float | None = getattr(setup, name)
        wanted = prescribed if prescribed is not None else kept.get(name)
        if wanted is None:
            wanted = capture.get(value)  # before the automatic is off: some forget it then
        is_manual = capture.set(automatic, off)
        capture.set(value, wanted)
        given = capture.get(value)
        if prescribed is not None and abs(given - prescribed) > 1:
            raise CameraError(
                f"camera {setup.name}: {name} stays at {given:g}, asked for {prescribed:g}; "
                f"see what it allows: v4l2-ctl -d {setup.device} --list-ctrls"
            )
        if is_manual:
            locked[name] = given
    return locked


def fourcc_name(code: float) -> str:
    """Returns the four letters of a code; empty when they are none."""
    letters = (int(code) & 0xFFFFFFFF).to_bytes(4, "little")
    return letters.decode("ascii") if letters.isalnum() else ""
