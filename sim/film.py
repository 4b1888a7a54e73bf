"""Films an episode for people: what a spectator sees, and beside it what the policy sees."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action, Observation
from demoloop.robot.video import VideoWriter
from demoloop.sim.robot import SimRobot

STEPS_PER_FRAME = 2  # 12 frames/s at 25 Hz: smooth enough, and a real-time loop keeps its time


class Film:
    """A listener of the control loop that writes an MP4, used in a `with` block.

    A spectator's picture of four by three, and the robot's own cameras in a column at its right.
    At the default size it costs some 2 ms per control step; shadows cost several times that.
    """

    def __init__(
        self,
        robot: SimRobot,
        path: Path,
        height: int = 240,
        *,
        shadows: bool = False,
        every: int = STEPS_PER_FRAME,
    ) -> None:
        """Stores; `every` is how many of the steps it hears make one frame."""
        self._robot = robot
        self._every = every
        self._height, self._width = height, height * 4 // 3
        self._shadows = shadows
        self._num_steps = 0
        inset = height // len(robot.spec.cameras) // 2 * 2
        self._insets = {camera.name: (inset, inset) for camera in robot.spec.cameras}
        rate = round(robot.spec.control_hz / STEPS_PER_FRAME)
        self._video = VideoWriter(path, rate, height, self._width + inset)

    def __enter__(self) -> Film:
        self._video.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._video.__exit__(kind, error, trace)

    def __call__(self, observation: Observation, action: Action) -> None:
        """Films one step in `every`."""
        if self._num_steps % self._every == 0:
            scene = self._robot.render(
                "spectator", self._height, self._width, shadows=self._shadows
            )
            self._video.add(np.hstack([scene, self._column(observation)]))
        self._num_steps += 1

    def _column(self, observation: Observation) -> NDArray[np.uint8]:
        """The robot's cameras, one above the other, (height, inset, 3)."""
        parts = [
            # Nearest neighbour: whoever looks shall see how few pixels the policy has.
            cv2.resize(observation.images[name], size, interpolation=cv2.INTER_NEAREST)
            for name, size in self._insets.items()
        ]
        column = np.vstack(parts)
        missing = self._height - len(column)  # an odd height does not divide evenly
        return np.pad(column, ((0, missing), (0, 0), (0, 0))).astype(np.uint8, copy=False)
