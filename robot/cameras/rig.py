"""The cameras of one robot, opened together and read together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from demoloop.robot.cameras.camera import Camera, Frame
from demoloop.robot.cameras.capture import OpenCapture, open_capture
from demoloop.robot.cameras.setup import CameraError, CameraSetup
from demoloop.robot.loop import WallClock
from demoloop.robot.spec import RobotSpec


class Cameras:
    """All cameras of a robot, within a `with` block.

    `with Cameras(spec, parse_cameras(text)) as cameras: frames = cameras.newest()`

    Args:
        spec: Whose cameras, and of which size.
        setups: Where each of them is.
        opens: Another way to open one.
        clock: Another than the system's.

    Raises:
        CameraError: A camera of the spec has no setup, or a setup no camera.
    """

    def __init__(
        self,
        spec: RobotSpec,
        setups: Sequence[CameraSetup],
        *,
        opens: OpenCapture = open_capture,
        clock: WallClock | None = None,
    ) -> None:
        names = [setup.name for setup in setups]
        if sorted(names) != sorted(spec.camera_names):
            raise CameraError(
                f"{spec.name} has the cameras {', '.join(spec.camera_names) or 'none'}, but "
                f"{', '.join(names) or 'none'} are given; name each of them, as in "
                + ",".join(f"{name}=/dev/v4l/by-path/…" for name in spec.camera_names)
            )
        self.cameras: Mapping[str, Camera] = {
            setup.name: Camera(spec.camera(setup.name), setup, opens=opens, clock=clock)
            for setup in setups
        }

    def __enter__(self) -> Cameras:
        """Opens all at once, so that they warm up together; all or none."""
        try:
            for camera in self.cameras.values():
                camera.start()
            for camera in self.cameras.values():
                camera.wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of all of them; again is harmless."""
        for camera in self.cameras.values():
            camera.close()

    def newest(self) -> dict[str, Frame]:
        """Returns the newest picture of each, however old: for an `Observation`, which says when.

        Whoever supervises the robot judges the age.
        """
        return {name: camera.newest() for name, camera in self.cameras.items()}

    def latest(self) -> dict[str, Frame]:
        """Returns the newest picture of each; raises CameraError when one is too old."""
        return {name: camera.latest() for name, camera in self.cameras.items()}

    @property
    def settings(self) -> dict[str, dict[str, float]]:
        """Camera -> exposure, white balance and focus as locked; to be kept with an episode."""
        return {name: dict(camera.settings) for name, camera in self.cameras.items()}
