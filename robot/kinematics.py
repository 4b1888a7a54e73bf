"""Where a joint configuration puts a site of the arm, and which one puts it where it should be."""

from __future__ import annotations

from pathlib import Path

import mink
import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot.errors import RobotError

Vector = NDArray[np.float64]


class Kinematics:
    """Forward and inverse kinematics of one site of one arm (mink on MuJoCo).

    Joints are the hinges of the MJCF in its order; a target out of reach gives the nearest pose.
    """

    def __init__(
        self, mjcf: Path, site: str, *, orientation_cost: float = 0.05, damping: float = 1e-6
    ) -> None:
        """Loads the arm.

        Args:
            mjcf: The arm alone, without objects.
            site: Name of the site to be placed.
            orientation_cost: Metres of position error that weigh as much as one radian.
            damping: Cost [m^2/rad^2] of moving joints: more of it calms a stretched arm.
        """
        self._model = mujoco.MjModel.from_xml_path(str(mjcf))
        if mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_SITE, site) < 0:
            names = ", ".join(self._model.site(i).name for i in range(self._model.nsite))
            raise RobotError(f"{mjcf.name} has no site {site!r}; it has {names}")
        self._site = site
        self._configuration = mink.Configuration(self._model)
        self._task = mink.FrameTask(
            site, "site", position_cost=1.0, orientation_cost=orientation_cost, lm_damping=1e-6
        )
        self._damping = damping
        self._limits = [mink.ConfigurationLimit(self._model)]

    @property
    def middle(self) -> Vector:
        """Each joint of the MJCF in the middle of its range, (nq,)."""
        return np.array(self._model.jnt_range.mean(axis=1))

    def anchor(self, joint: str) -> Vector:
        """Returns a point (3,) [m] of a joint's axis while all joints are 0."""
        self._configuration.update(np.zeros(self._model.nq))
        return np.array(self._configuration.data.joint(joint).xanchor)

    def forward(self, joints: Vector) -> tuple[Vector, Vector]:
        """Returns position (3,) [m] and rotation (3, 3) of the site at `joints` (nq,) [rad]."""
        self._configuration.update(joints)
        pose = self._configuration.get_transform_frame_to_world(self._site, "site")
        return pose.translation(), pose.rotation().as_matrix()

    def inverse(
        self,
        position: Vector,
        rotation: Vector,
        start: Vector,
        *,
        num_iterations: int = 20,
        tolerance_m: float = 5e-4,
    ) -> Vector:
        """Returns joints (nq,) [rad] near `start` that put the site at the pose, within limits."""
        self._configuration.update(start)
        target = mink.SE3.from_rotation_and_translation(mink.SO3.from_matrix(rotation), position)
        self._task.set_target(target)
        for _ in range(num_iterations):
            velocity = mink.solve_ik(
                self._configuration,
                [self._task],
                1.0,
                "daqp",
                damping=self._damping,
                limits=self._limits,
            )
            self._configuration.integrate_inplace(velocity, 1.0)
            if float(np.abs(velocity).max()) < tolerance_m:
                break
        return np.array(self._configuration.q)
