"""Which camera stands where, and in which mode it runs: one line of text for all of a robot."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

import cv2

from demoloop.robot.errors import RobotError


class CameraError(RobotError):
    """A camera is missing, busy, stale, or gives something else than was asked for."""


@dataclass(frozen=True)
class CameraSetup:
    """One camera as it is plugged in; what a policy sees of it is the `CameraSpec` of its name."""

    name: str
    device: str
    """A path below /dev/v4l/by-path or by-id, `realsense:SERIAL` or `depthai:ID`."""
    width: int = 640  # px, as the camera delivers
    height: int = 480  # px
    fps: float = 30.0
    fourcc: str = "MJPG"
    """YUYV of this size and rate takes 147 Mbit/s, MJPG 9: USB 2 carries two of the one kind."""
    exposure: float | None = None
    """Driver's unit (V4L2: 100 us). None: what the camera settled on while it warmed up."""
    white_balance: float | None = None  # K; None: as for exposure
    focus: float | None = None  # driver's unit; None: as for exposure
    warm_up_s: float = 1.0
    """Before exposure, white balance and focus are locked. No picture is handed out until then."""
    frozen_after_s: float = 1.0
    """The very same pixels for longer are a hung camera: a sensor's noise never repeats. 0: never
    (a rendered world may stand still)."""


_ENTRY = re.compile(
    r"(?P<name>\w+)=(?P<device>[^@]+)"
    r"(@(?P<width>\d{1,5})x(?P<height>\d{1,5}))?(@(?P<fps>\d{1,3}(\.\d+)?))?"
)
_FORM = "name=device, or name=device@WIDTHxHEIGHT@FPS, with commas between cameras"


def parse_cameras(text: str) -> tuple[CameraSetup, ...]:
    """Reads `front=/dev/v4l/by-path/…,wrist=realsense:0123@1280x720@30`; opens nothing.

    Raises:
        CameraError: An entry has another form, or two have the same name or device.
    """
    setups = tuple(_parse_camera(entry.strip()) for entry in text.split(",") if entry.strip())
    if not setups:
        raise CameraError(f"no camera in {text!r}; write {_FORM}")
    for what, values in (
        ("name", [setup.name for setup in setups]),
        ("device", [setup.device for setup in setups]),
    ):
        twice = [value for value, count in Counter(values).items() if count > 1]
        if twice:
            raise CameraError(f"two cameras have the {what} {twice[0]}; each needs one of its own")
    return setups


def _parse_camera(entry: str) -> CameraSetup:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise CameraError(f"camera {entry!r} is not understood; write {_FORM}")
    usual = CameraSetup(match["name"], match["device"].strip())
    setup = replace(
        usual,
        width=int(match["width"] or usual.width),
        height=int(match["height"] or usual.height),
        fps=float(match["fps"] or usual.fps),
    )
    if not (setup.width and setup.height and setup.fps):
        raise CameraError(f"camera {entry!r}: width, height and rate must be more than 0")
    return setup


def fourcc_code(name: str) -> int:
    """Returns the four letters as OpenCV counts them."""
    return int.from_bytes(name.encode("ascii"), "little")


def mode_of(setup: CameraSetup) -> dict[int, float]:
    """Returns the mode as OpenCV's properties, for a camera that was opened with exactly it."""
    return {
        cv2.CAP_PROP_FOURCC: float(fourcc_code(setup.fourcc)),
        cv2.CAP_PROP_FRAME_WIDTH: float(setup.width),
        cv2.CAP_PROP_FRAME_HEIGHT: float(setup.height),
        cv2.CAP_PROP_FPS: setup.fps,
    }
