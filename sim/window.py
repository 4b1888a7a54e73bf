"""Pictures of a simulation for a person, drawn beside the thread that simulates."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot.emulator.cameras import draw
from demoloop.sim.robot import SimRobot

HEIGHT, WIDTH = 240, 320  # px; the policy's own pictures have 96


class Window:
    """`draw = window.snapshot()` copies how things stand; `draw()` draws it, in another thread.

    All drawing happens in one thread, whose renderer it is; what is not drawn costs nothing.
    """

    def __init__(self, robot: SimRobot) -> None:
        """Stores; the renderer comes with the first picture."""
        self._robot = robot
        self._data = mujoco.MjData(robot.model)
        self._renderer: mujoco.Renderer | None = None

    def snapshot(self) -> Callable[[], Mapping[str, NDArray[np.uint8]]]:
        """Returns who draws each camera of the robot, (240, 320, 3) RGB, as things are now."""
        data = self._robot.data
        qpos, mocap = data.qpos.copy(), (data.mocap_pos.copy(), data.mocap_quat.copy())
        return lambda: self._draw(qpos, mocap)

    def _draw(
        self, qpos: NDArray[np.float64], mocap: tuple[NDArray[np.float64], NDArray[np.float64]]
    ) -> Mapping[str, NDArray[np.uint8]]:
        model, data = self._robot.model, self._data
        renderer = self._renderer or mujoco.Renderer(model, HEIGHT, WIDTH)
        self._renderer = renderer
        data.qpos[:], data.mocap_pos[:], data.mocap_quat[:] = qpos, *mocap
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        return {camera: draw(renderer, data, camera) for camera in self._robot.spec.camera_names}
