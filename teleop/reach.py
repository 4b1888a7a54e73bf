"""Where the hand of an arm is sent: a target pose and the joint targets that follow it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demoloop.robot.arms import ArmModel
from demoloop.robot.kinematics import Kinematics
from demoloop.teleop.errors import TeleopError

Vector = NDArray[np.float64]

SITE = "tcp"
_ORIENTATION_COST = 0.02
"""Metres that weigh as much as a radian: where pitch and place cannot both be had, by half a
radian, the place is missed by about a millimetre."""
_DAMPING = 3e-4
"""m^2/rad^2: with 1e-5 a stretched arm hardly came back, with 1e-3 the wrist lagged."""
_LEAD = 0.003
"""m that the target may be ahead of what the joints reach: turned round, the arm moves at once."""
_TURN_LEAD = 0.15  # rad, likewise
_NO_AZIMUTH = 0.03  # m from the axis of the first joint: nearer, no direction is outward


@dataclass(frozen=True)
class Workspace:
    """The box the hand is kept in, in the arm's base frame [m].

    The hand is the site between or at the fingers, some 6 mm before their tips, and the base stands
    on the table: so the floor lets fingers pick up what lies on it and not press into it.
    """

    low: tuple[float, float, float] = (0.05, -1.0, 0.008)
    high: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if not all(a < b for a, b in zip(self.low, self.high, strict=True)):
            raise TeleopError(
                f"a workspace goes from its lowest corner to its highest, got {self.low} and "
                f"{self.high}; give (x, y, z) in metres"
            )

    def keep(self, target: Vector, before: Vector) -> Vector:
        """Returns `target` (3,) put into the box; from outside it only the way in is open."""
        low, high = np.minimum(self.low, before), np.maximum(self.high, before)
        kept: Vector = np.clip(target, low, high)
        return kept


class Reach:
    """A target that never goes where the joints cannot follow, nor quicker than they can.

    Pitch and roll are kept as seen from the arm: when it pans, the gripper turns with it, which is
    all an arm with five joints can do.

    Attributes:
        target: (3,) [m] where the hand is sent.
        joints: (action_dim,) [unit] the joint targets.
    """

    def __init__(self, model: ArmModel, workspace: Workspace, max_joint_speed: float) -> None:
        """Loads the arm.

        Args:
            model: Any arm with a site `tcp` and a gripper as its last joint.
            workspace: Where the hand may be.
            max_joint_speed: rad/s, where the joint's own limit is not lower.

        Raises:
            TeleopError: The arm has no gripper as its last joint.
            RobotError: It has no such site.
        """
        if model.spec.joints[-1].unit != "opening":
            raise TeleopError(f"{model.spec.name} has no gripper as its last joint")
        self._spec, self._workspace = model.spec, workspace
        self._kinematics = Kinematics(
            model.mjcf, SITE, orientation_cost=_ORIENTATION_COST, damping=_DAMPING
        )
        self._num_angles = model.spec.action_dim - 1
        self._axis = self._kinematics.anchor(model.spec.joint_names[0])[:2]  # of the first joint
        self._fastest = np.array(
            [min(joint.max_velocity, max_joint_speed) for joint in model.spec.joints[:-1]]
        )
        self._low, self._high = (
            limit.astype(np.float64) for limit in (model.spec.low, model.spec.high)
        )
        self.target = np.zeros(3)
        self.joints = np.array(model.home)
        self.begin(self.joints)

    def begin(self, joints: Vector) -> None:
        """Starts from joint targets (action_dim,), where they are not already."""
        self.joints = np.clip(joints, self._low, self._high).astype(np.float64)
        self.target, self._rotation = self._forward(self.joints)
        self._azimuth = self._azimuth_of(self.target, 0.0)
        self._shape = _about_z(-self._azimuth) @ self._rotation  # as seen from the arm

    def move(self, step: Vector, turn: Vector, dt: float) -> Vector:
        """Moves the target by `step` (3,) [m] and turns it by `turn` (pitch, roll) [rad].

        Where the joints do not follow, the target goes a part of the way, or along some axes only:
        pushed against what is out of reach it slides, and never drifts where nobody pushed.

        Returns:
            The part (3,) [m] of the step that was refused.
        """
        before, wanted = self.target, self.target + step
        self._shape = self._turned(turn)
        # When none of the parts can be done, the joints go on towards where the target stays.
        if not any(self._try(before + part, dt) for part in _parts(step)):
            self._try(before, dt, is_forced=True)
        return wanted - self.target

    def _try(self, candidate: Vector, dt: float, *, is_forced: bool = False) -> bool:
        """Sends the hand to `candidate` (3,), unless the joints do not get near; says whether."""
        candidate = self._workspace.keep(candidate, self.target)
        azimuth = self._azimuth_of(candidate, self._azimuth)
        joints = self._towards(candidate, _about_z(azimuth) @ self._shape, dt)
        reached, rotation = self._forward(joints)
        is_near = float(np.linalg.norm(candidate - reached)) <= _LEAD
        if is_near or is_forced:
            self.joints, self._rotation = joints, rotation
            self.target, self._azimuth = candidate, azimuth
        return is_near

    def open(self, step: float) -> None:
        """Moves the gripper's target by `step` openings."""
        self.joints[-1] = np.clip(self.joints[-1] + step, self._low[-1], self._high[-1])

    def jog(self, step: Vector) -> None:
        """Moves each joint target by `step` (action_dim,), unless the hand left the workspace."""
        moved = np.clip(self.joints + step, self._low, self._high)
        hand, _ = self._forward(moved)
        if np.array_equal(hand, self._workspace.keep(hand, self._forward(self.joints)[0])):
            self.begin(moved)
        else:
            self.joints[-1] = moved[-1]

    def _towards(self, position: Vector, rotation: Vector, dt: float) -> Vector:
        """Returns joint targets on the way to a pose, as far as their speed gets in `dt`."""
        start = self._in_model(self.joints)
        found = self._kinematics.inverse(
            position, rotation, start, num_iterations=3, tolerance_m=1e-4
        )
        change = (found - start)[: self._num_angles]
        if dt <= 0 or not change.any():
            return self.joints.copy()
        # All joints by the same share, so that the hand keeps to its line.
        change /= max(1.0, float((np.abs(change) / (self._fastest * dt)).max()))
        joints = self.joints.copy()
        joints[: self._num_angles] += change
        within: Vector = np.clip(joints, self._low, self._high)
        return within

    def _turned(self, turn: Vector) -> Vector:
        """Returns the shape turned, unless the gripper does not follow that way any more."""
        pitch, roll = turn
        shape = _about_y(-pitch) @ self._shape @ _about_x(roll)
        here = _about_z(-self._azimuth) @ self._rotation
        ahead = _angle(here, shape)
        is_following = ahead <= max(_TURN_LEAD, _angle(here, self._shape))
        return shape if is_following else self._shape

    def _forward(self, joints: Vector) -> tuple[Vector, Vector]:
        return self._kinematics.forward(self._in_model(joints))

    def _in_model(self, joints: Vector) -> Vector:
        """Returns joints as the MJCF counts them; how far the fingers are open is of no matter."""
        q = self._kinematics.middle.copy()
        q[: self._num_angles] = joints[: self._num_angles]
        return q

    def _azimuth_of(self, position: Vector, otherwise: float) -> float:
        away = position[:2] - self._axis
        if float(np.linalg.norm(away)) < _NO_AZIMUTH:
            return otherwise
        return float(np.arctan2(away[1], away[0]))


def limited(vector: Vector, length: float) -> Vector:
    """Returns `vector`, shortened to `length` where it is longer."""
    norm = float(np.linalg.norm(vector))
    shortened: Vector = vector * min(1.0, length / norm) if norm > 0 else vector
    return shortened


def _parts(step: Vector) -> Iterator[Vector]:
    """Yields what may be done of a step (3,), the most wanted first."""
    yield from (step, step / 2, step / 4)
    if np.count_nonzero(step) > 1:
        for axis in np.argsort(-np.abs(step)):
            yield np.where(np.arange(3) == axis, step, 0.0)


def _angle(first: Vector, second: Vector) -> float:
    """The angle [rad] between two rotations (3, 3)."""
    return float(np.arccos(np.clip((np.trace(first.T @ second) - 1) / 2, -1.0, 1.0)))


def _about_x(angle: float) -> Vector:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])


def _about_y(angle: float) -> Vector:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1.0, 0], [-s, 0, c]])


def _about_z(angle: float) -> Vector:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
