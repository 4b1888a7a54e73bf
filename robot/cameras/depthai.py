"""Luxonis OAK cameras, colour only, through DepthAI 3. Not tried on a device yet."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import cv2
from numpy.typing import NDArray

from demoloop.robot.cameras.setup import CameraError, CameraSetup, mode_of

_TIMEOUT = timedelta(seconds=1)


class DepthAICapture:
    """Looks like a `cv2.VideoCapture`. The mode is part of opening; setting it changes nothing."""

    def __init__(self, library: Any, pipeline: Any, queues: tuple[Any, Any], setup: CameraSetup):
        """Stores a pipeline that runs, its pictures and its controls; `open` makes one."""
        self._library, self._pipeline, self._setup = library, pipeline, setup
        self._pictures, self._controls = queues
        self._frame: Any = None
        self._is_open = True

    @classmethod
    def open(cls, setup: CameraSetup, serial: str) -> DepthAICapture:
        """Starts the camera with this id; raises CameraError that lists those there are."""
        try:
            import depthai
        except ImportError as error:
            raise CameraError(
                f"camera {setup.name}: {setup.device} needs Luxonis' library ({error}); "
                "pip install 'demoloop[depthai]'"
            ) from error
        dai: Any = depthai
        found = {info.getDeviceId(): info for info in dai.Device.getAllAvailableDevices()}
        if serial not in found:
            there = f"there are {', '.join(found)}" if found else "none is plugged in"
            raise CameraError(f"camera {setup.name}: no OAK camera {serial!r}; {there}")
        try:
            pipeline = dai.Pipeline(dai.Device(found[serial]))
            camera = pipeline.create(dai.node.Camera).build(dai.CameraBoardSocket.CAM_A)
            output = camera.requestOutput(
                (setup.width, setup.height), type=dai.ImgFrame.Type.BGR888i, fps=setup.fps
            )
            queues = (
                output.createOutputQueue(maxSize=1, blocking=False),
                camera.inputControl.createInputQueue(),
            )
            pipeline.start()
        except RuntimeError as error:
            raise CameraError(
                f"camera {setup.name}: OAK camera {serial} does not start with "
                f"{setup.width}x{setup.height} at {setup.fps:g} Hz ({error}); close other programs "
                "that use it, or ask for a mode it has"
            ) from error
        return cls(dai, pipeline, queues, setup)

    def isOpened(self) -> bool:
        """Whether it runs."""
        return self._is_open

    def grab(self) -> bool:
        """Waits for the next picture; False when none came."""
        try:
            self._frame = self._pictures.get(_TIMEOUT)
        except RuntimeError:
            return False
        return self._frame is not None

    def retrieve(self) -> tuple[bool, NDArray[Any] | None]:
        """Returns the picture: (height, width, 3) uint8 BGR."""
        return True, self._frame.getCvFrame()

    def set(self, propId: int, value: float) -> bool:
        """Locks exposure or white balance, or prescribes them."""
        control = self._library.CameraControl()
        if propId == cv2.CAP_PROP_AUTO_EXPOSURE:
            control.setAutoExposureLock(value == 1)  # V4L2 says 1 for manual
        elif propId == cv2.CAP_PROP_AUTO_WB:
            control.setAutoWhiteBalanceLock(value == 0)
        elif propId == cv2.CAP_PROP_EXPOSURE and self._frame is not None:
            control.setManualExposure(round(value), self._frame.getSensitivity())
        elif propId == cv2.CAP_PROP_WB_TEMPERATURE:
            control.setManualWhiteBalance(round(value))
        else:
            return False
        self._controls.send(control)
        return True

    def get(self, propId: int) -> float:
        """Returns a property of the newest picture; of the mode, what it was opened with."""
        if self._frame is not None:
            if propId == cv2.CAP_PROP_POS_MSEC:
                # Luxonis keeps its devices' clocks in step with the host's steady clock.
                return 1e3 * float(self._frame.getTimestamp().total_seconds())
            if propId == cv2.CAP_PROP_EXPOSURE:
                return 1e6 * float(self._frame.getExposureTime().total_seconds())
            if propId == cv2.CAP_PROP_WB_TEMPERATURE:
                return float(self._frame.getColorTemperature())
        return mode_of(self._setup).get(propId, 0.0)

    def release(self) -> None:
        """Stops it."""
        if self._is_open:
            self._is_open = False
            self._pipeline.stop()
