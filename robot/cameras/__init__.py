"""Cameras: one thread each, the newest picture at hand, its age always known."""

from demoloop.robot.cameras.camera import Camera, Frame
from demoloop.robot.cameras.capture import Capture, OpenCapture, open_capture
from demoloop.robot.cameras.devices import find_devices
from demoloop.robot.cameras.rig import Cameras
from demoloop.robot.cameras.setup import CameraError, CameraSetup, parse_cameras

__all__ = [
    "Camera",
    "CameraError",
    "CameraSetup",
    "Cameras",
    "Capture",
    "Frame",
    "OpenCapture",
    "find_devices",
    "open_capture",
    "parse_cameras",
]
