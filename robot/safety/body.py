"""Where the parts of an arm are, and how far from the table, the workspace's walls and each other.

Read once from the arm's MJCF with the standard library and reckoned with numpy alone: a robot's own
computer has no MuJoCo. Primitive shapes only (what the arms here are made of); meshes are left out.
For the table and the workspace a part is its box, to the corner. Among each other, parts are
capsules that fill their boxes: their faces exactly, their edges rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from demoloop.robot.errors import RobotError
from demoloop.robot.safety.limits import Limits
from demoloop.robot.safety.mjcf import Part, Shape, read_parts
from demoloop.robot.spec import RobotSpec

Vector = NDArray[np.float64]

_FAR_JOINTS = 3
"""Parts fewer joints apart than this are neighbours, which the arm's stops keep from each other."""


@dataclass(frozen=True)
class Margin:
    """What is nearest to being hit."""

    room_m: float  # until the limit; negative beyond it
    sentence: str  # "jaw is 0.012 m below the table"


class Body:
    """The parts of one arm, placed by its joints.

    Args:
        mjcf: The arm alone, its base standing at the origin.
        spec: Whose joints carry the names of the MJCF's; a gripper's opening is that joint's range.
        limits: Table, workspace and clearance.
    """

    def __init__(self, mjcf: Path, spec: RobotSpec, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._parts = read_parts(mjcf)
        self._names = tuple(part.name for part in self._parts)
        self._joints = [self._find_joint(part, spec) for part in self._parts]
        found = {at for at, _, _ in self._joints}
        for at, joint in enumerate(spec.joints):
            if joint.unit == "rad" and at not in found:
                names = ", ".join(part.joint for part in self._parts if part.joint)
                raise RobotError(f"{mjcf.name} has no joint {joint.name!r}; it has {names}")
        # What stands on the table and turns there, at the most, cannot hit it.
        moving = [at for at in range(len(self._parts)) if self._depth(at) > 1]
        corners = [(at, corner) for at in moving for corner in _corners(self._parts[at].shapes)]
        self._corner_of = np.array([at for at, _ in corners], int)
        self._corners = np.array([corner for _, corner in corners]).reshape(-1, 3)
        rods = [(at, rod) for at, part in enumerate(self._parts) for rod in _rods(part.shapes)]
        self._rod_of = np.array([at for at, _ in rods], int)
        self._rod_ends = np.array([ends for _, (ends, _) in rods]).reshape(-1, 2, 3)
        self._rod_radii = np.array([radius for _, (_, radius) in rods])
        far = [
            (one, other)
            for one in range(len(rods))
            for other in range(one)
            if self._joints_between(rods[one][0], rods[other][0]) >= _FAR_JOINTS
        ]
        self._far = np.array(far, int).reshape(-1, 2)

    def place(self, positions: ArrayLike) -> tuple[Vector, Vector]:
        """Returns the frames of all parts: rotations (n, 3, 3) and origins (n, 3) [m].

        Args:
            positions: (action_dim,) as in an action.
        """
        angles = np.asarray(positions, np.float64)
        rotations = np.empty((len(self._parts), 3, 3))
        origins = np.empty((len(self._parts), 3))
        for at, part in enumerate(self._parts):
            rotation, origin = part.rotation, part.position
            joint, low, scale = self._joints[at]
            if joint >= 0:
                moved = low + scale * angles[joint]
                if part.is_sliding:
                    origin = origin + rotation @ (part.axis * moved)
                else:
                    turn = _turn(part.axis, moved)
                    # About the joint's own place, which need not be the part's origin.
                    origin = origin + rotation @ (part.joint_position - turn @ part.joint_position)
                    rotation = rotation @ turn
            if part.parent >= 0:
                origin = rotations[part.parent] @ origin + origins[part.parent]
                rotation = rotations[part.parent] @ rotation
            rotations[at], origins[at] = rotation, origin
        return rotations, origins

    def margins(self, positions: ArrayLike) -> tuple[Margin, ...]:
        """Returns how far `positions` (action_dim,) are from each thing not to be hit."""
        rotations, origins = self.place(positions)
        corners = _carry(rotations, origins, self._corner_of, self._corners)
        margins = [self._above_table(corners)]
        if self._limits.workspace_m is not None:
            margins.append(self._within(corners, *self._limits.workspace_m))
        if len(self._far):
            margins.append(self._apart(rotations, origins))
        return tuple(margins)

    def _above_table(self, corners: Vector) -> Margin:
        lowest = int(corners[:, 2].argmin())
        height = float(corners[lowest, 2])
        name = self._names[self._corner_of[lowest]]
        return Margin(
            height - self._limits.table_m,
            f"{name} would be at {height:.3f} m, the table's limit is {self._limits.table_m:.3f} m",
        )

    def _within(self, corners: Vector, low: ArrayLike, high: ArrayLike) -> Margin:
        rooms = np.minimum(corners - np.asarray(low), np.asarray(high) - corners)
        worst, axis = np.unravel_index(int(rooms.argmin()), rooms.shape)
        name, at = self._names[self._corner_of[worst]], corners[worst, axis]
        return Margin(
            float(rooms[worst, axis]),
            f"{name} would be at {'xyz'[axis]} = {at:.3f} m, the workspace goes from "
            f"{np.asarray(low)[axis]:.3f} to {np.asarray(high)[axis]:.3f} m",
        )

    def _apart(self, rotations: Vector, origins: Vector) -> Margin:
        ends = np.stack(
            [_carry(rotations, origins, self._rod_of, self._rod_ends[:, i]) for i in (0, 1)], axis=1
        )
        one, other = self._far[:, 0], self._far[:, 1]
        apart = segment_distance(ends[one], ends[other])
        apart -= self._rod_radii[one] + self._rod_radii[other]
        worst = int(apart.argmin())
        names = [self._names[self._rod_of[at]] for at in (one[worst], other[worst])]
        return Margin(
            float(apart[worst]) - self._limits.clearance_m,
            f"{names[0]} would be {float(apart[worst]):.3f} m from {names[1]}, "
            f"at least {self._limits.clearance_m:.3f} m",
        )

    def _find_joint(self, part: Part, spec: RobotSpec) -> tuple[int, float, float]:
        """Returns place in an action (-1: none), offset and scale of a part's joint."""
        for at, joint in enumerate(spec.joints):
            if part.joint == joint.name:
                if joint.unit != "opening":
                    return at, 0.0, 1.0
                return at, part.range[0], part.range[1] - part.range[0]
        return -1, 0.0, 0.0

    def _depth(self, at: int) -> int:
        """Joints between the base and a part."""
        depth = 0
        while at >= 0:
            depth += bool(self._parts[at].joint)
            at = self._parts[at].parent
        return depth

    def _joints_between(self, one: int, other: int) -> int:
        above = []
        at = one
        while at >= 0:
            above.append(at)
            at = self._parts[at].parent
        at = other
        while at >= 0 and at not in above:
            at = self._parts[at].parent
        shared = self._depth(at) if at >= 0 else 0
        return self._depth(one) + self._depth(other) - 2 * shared


def segment_distance(one: Vector, other: Vector) -> Vector:
    """Returns the distances (n,) of segments (n, 2, 3) in pairs (Ericson 2005, section 5.1.9)."""
    along, across = one[:, 1] - one[:, 0], other[:, 1] - other[:, 0]
    between = one[:, 0] - other[:, 0]
    a, e = _dot(along, along), _dot(across, across)
    b, c, f = _dot(along, across), _dot(along, between), _dot(across, between)
    tiny = 1e-18  # m^2: a segment that is a point
    inverse_a, inverse_e = 1 / np.maximum(a, tiny), 1 / np.maximum(e, tiny)
    denominator = a * e - b * b
    is_parallel = denominator <= 1e-12 * np.maximum(a * e, tiny)
    s = np.where(is_parallel, 0.0, (b * f - c * e) / np.where(is_parallel, 1.0, denominator))
    t = np.clip((b * np.clip(s, 0, 1) + f) * inverse_e, 0, 1)
    s = np.clip((b * t - c) * inverse_a, 0, 1)
    distance: Vector = np.linalg.norm(between + along * s[:, None] - across * t[:, None], axis=1)
    return distance


def _dot(one: Vector, other: Vector) -> Vector:
    product_: Vector = np.einsum("ij,ij->i", one, other)
    return product_


def _carry(rotations: Vector, origins: Vector, of: NDArray[np.int_], points: Vector) -> Vector:
    carried: Vector = np.einsum("nij,nj->ni", rotations[of], points) + origins[of]
    return carried


def _turn(axis: Vector, angle: float) -> Vector:
    """Rotation (3, 3) about a unit axis (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    turned: Vector = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return turned


def _corners(shapes: tuple[Shape, ...]) -> Iterator[Vector]:
    for shape in shapes:
        for signs in product((-1.0, 1.0), repeat=3):
            yield shape.position + shape.rotation @ (np.array(signs) * shape.half)


def _rods(shapes: tuple[Shape, ...]) -> Iterator[tuple[Vector, float]]:
    """Fills each box with capsules along its longest side, side by side over the second longest."""
    for shape in shapes:
        thin, wide, long = np.argsort(shape.half)
        radius = float(shape.half[thin])
        spread, reach = shape.half[wide] - radius, shape.half[long] - radius
        count = int(np.ceil(shape.half[wide] / radius - 1e-9))
        for aside in np.linspace(-spread, spread, count):
            ends = np.zeros((2, 3))
            ends[:, wide], ends[:, long] = aside, (-reach, reach)
            yield shape.position + ends @ shape.rotation.T, radius
