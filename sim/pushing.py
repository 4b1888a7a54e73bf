"""Where to push a T that lies flat, so that it comes nearest to where it should be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_YAW_WEIGHT = 0.04  # m: one radian of yaw is as bad as so many metres beside the place
_PRESSURE_RADIUS = 0.035  # m: greatest friction torque over greatest friction force of the T
_SPACING, _CORNER, _FINGER = 0.005, 0.005, 0.014  # m: between points, from a corner, into a nook

# The T as push.xml draws it, in the frame of the block: edges a finger can push, from one end to
# the other, and which way is into the block.
_C, _F = _CORNER, _FINGER
_EDGES = (
    ((-0.045 + _C, 0.033), (0.045 - _C, 0.033), (0, -1)),
    ((-0.045, 0.003 + _C), (-0.045, 0.033 - _C), (1, 0)),
    ((0.045, 0.003 + _C), (0.045, 0.033 - _C), (-1, 0)),
    ((-0.045 + _C, 0.003), (-0.015 - _F, 0.003), (0, 1)),
    ((0.015 + _F, 0.003), (0.045 - _C, 0.003), (0, 1)),
    ((-0.015, -0.057 + _C), (-0.015, 0.003 - _F), (1, 0)),
    ((0.015, -0.057 + _C), (0.015, 0.003 - _F), (-1, 0)),
    ((-0.015 + _C, -0.057), (0.015 - _C, -0.057), (0, 1)),
)


@dataclass(frozen=True)
class Contacts:
    """Where the T can be pushed, and how it answers, in its own frame or turned into another."""

    points: Vector  # (K, 2) m
    normals: Vector  # (K, 2) into the block
    twists: Vector  # (K, 3): m, m, rad per metre of pushing

    def turned(self, position: Vector, yaw: float) -> Contacts:
        """Returns them where a block at `position` (2,) [m], turned by `yaw` [rad], has them."""
        turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        twists = np.column_stack([self.twists[:, :2] @ turn.T, self.twists[:, 2]])
        return Contacts(position + self.points @ turn.T, self.normals @ turn.T, twists)

    def remaining(self, error: Vector) -> tuple[Vector, Vector]:
        """How much of `error` (3,) [m, m, rad] the best push at each contact leaves over.

        Returns:
            The rest as a fraction (K,) of the error, and how far to push (K,) [m].
        """
        weights = np.array([1.0, 1.0, _YAW_WEIGHT])
        wanted, pushed = error * weights, self.twists * weights
        length = np.clip(pushed @ wanted / (pushed**2).sum(1), 0.0, None)
        rest = np.linalg.norm(wanted - length[:, None] * pushed, axis=1)
        return rest / max(float(np.linalg.norm(wanted)), 1e-9), length


def contacts_of_t() -> Contacts:
    """Returns the contacts of the T in its own frame.

    A slow push moves the block along the gradient of its limit surface, taken as an ellipsoid
    (Goyal et al. 1991; Lynch and Mason 1996): for a force f at lever arm r the velocity is f, the
    turning rate (r x f) / c^2, c being the ratio of the greatest friction torque to the greatest
    friction force. The force is taken along the normal: friction at the finger is left to
    feedback.
    """
    points, normals = [], []
    for start, end, normal in _EDGES:
        a, b = np.array(start), np.array(end)
        num = round(float(np.linalg.norm(b - a)) / _SPACING) + 1
        points.append(np.linspace(a, b, num))
        normals.append(np.tile(np.array(normal, float), (num, 1)))
    where, into = np.concatenate(points), np.concatenate(normals)
    lever = where[:, 0] * into[:, 1] - where[:, 1] * into[:, 0]
    rate = lever / _PRESSURE_RADIUS**2
    advance = 1.0 + rate * lever  # of the touched point along the normal
    return Contacts(where, into, np.column_stack([into, rate]) / advance[:, None])
