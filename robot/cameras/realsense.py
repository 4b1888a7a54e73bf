"""Intel RealSense cameras, colour only, through Intel's own library. Not tried on a device yet."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from demoloop.robot.cameras.setup import CameraError, CameraSetup, mode_of

_TIMEOUT_MS = 1000


class RealSenseCapture:
    """Looks like a `cv2.VideoCapture`. The mode is part of opening; setting it changes nothing."""

    def __init__(self, library: Any, pipeline: Any, sensor: Any, setup: CameraSetup) -> None:
        """Stores a pipeline that runs; `open` makes one."""
        self._library, self._pipeline, self._sensor = library, pipeline, sensor
        self._setup = setup
        self._frame: Any = None
        self._is_open = True

    @classmethod
    def open(cls, setup: CameraSetup, serial: str) -> RealSenseCapture:
        """Starts the camera with this serial number; raises CameraError that lists those there."""
        try:
            import pyrealsense2  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise CameraError(
                f"camera {setup.name}: {setup.device} needs Intel's library ({error}); "
                "pip install 'demoloop[realsense]', and on Debian: sudo apt install libusb-1.0-0"
            ) from error
        rs: Any = pyrealsense2
        found = [device.get_info(rs.camera_info.serial_number) for device in rs.context().devices]
        if serial not in found:
            there = f"there are {', '.join(found)}" if found else "none is plugged in"
            raise CameraError(f"camera {setup.name}: no RealSense {serial!r}; {there}")
        pipeline, config = rs.pipeline(), rs.config()
        config.enable_device(serial)
        config.enable_stream(
            rs.stream.color, setup.width, setup.height, rs.format.bgr8, round(setup.fps)
        )
        try:
            profile = pipeline.start(config)
        except RuntimeError as error:
            raise CameraError(
                f"camera {setup.name}: RealSense {serial} does not start with "
                f"{setup.width}x{setup.height} at {setup.fps:g} Hz ({error}); close other programs "
                "that use it, or ask for a mode it has (rs-enumerate-devices)"
            ) from error
        return cls(rs, pipeline, profile.get_device().first_color_sensor(), setup)

    def isOpened(self) -> bool:
        """Whether it runs."""
        return self._is_open

    def grab(self) -> bool:
        """Waits for the next picture; False when none came."""
        try:
            frames = self._pipeline.wait_for_frames(_TIMEOUT_MS)
        except RuntimeError:
            return False
        self._frame = frames.get_color_frame()
        return bool(self._frame)

    def retrieve(self) -> tuple[bool, NDArray[Any] | None]:
        """Returns the picture: (height, width, 3) uint8 BGR."""
        return True, np.asanyarray(self._frame.get_data())

    def set(self, propId: int, value: float) -> bool:
        """Sets exposure, white balance and whether they are automatic."""
        option = self._option(propId)
        if option is None or not self._sensor.supports(option):
            return False
        if propId == cv2.CAP_PROP_AUTO_EXPOSURE:
            value = 0 if value == 1 else 1  # V4L2 says 1 for manual
        try:
            self._sensor.set_option(option, value)
        except RuntimeError:
            return False
        return True

    def get(self, propId: int) -> float:
        """Returns a property as it is now; of the mode, what it was opened with."""
        option = self._option(propId)
        if option is not None:
            return float(self._sensor.get_option(option)) if self._sensor.supports(option) else 0.0
        return mode_of(self._setup).get(propId, 0.0)

    def release(self) -> None:
        """Stops it."""
        if self._is_open:
            self._is_open = False
            self._pipeline.stop()

    def _option(self, propId: int) -> Any:
        options = self._library.option
        return {
            cv2.CAP_PROP_AUTO_EXPOSURE: options.enable_auto_exposure,
            cv2.CAP_PROP_EXPOSURE: options.exposure,
            cv2.CAP_PROP_AUTO_WB: options.enable_auto_white_balance,
            cv2.CAP_PROP_WB_TEMPERATURE: options.white_balance,
        }.get(propId)
