"""Which place on a table a point of a camera's picture is, and the other way round."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from demoloop.robot.errors import RobotError

Vector = NDArray[np.float64]

_FLATTEST = 1e-3  # smallest singular value over the largest, of four points that span a plane


class TableView:
    """One camera above one plane. Image points are shares of width (right) and height (down).

    A plane and its picture are related by a homography (Hartley and Zisserman 2004, section 2.3):
    three numbers each, up to scale.
    """

    def __init__(self, image_from_table: Vector) -> None:
        """Stores the homography (3, 3), its last row positive before the camera.

        `of_camera` and `of_points` make one.
        """
        self._image_from_table = image_from_table
        self._table_from_image = np.linalg.inv(image_from_table).astype(np.float64)

    @classmethod
    def of_camera(
        cls,
        position: ArrayLike,
        rotation: ArrayLike,
        fovy: float,
        aspect: float,
        height: float = 0.0,
    ) -> TableView:
        """Makes the view of a pin-hole camera that is known, as in an MJCF.

        Args:
            position: (3,) m, in the base frame.
            rotation: (3, 3), base from camera; the camera looks along its -z, its y is up.
            fovy: rad, of the whole height.
            aspect: Width over height.
            height: m, of the plane above the base.
        """
        camera_from_base = np.asarray(rotation, np.float64).reshape(3, 3).T
        place = np.asarray(position, np.float64)
        # Columns: where the plane's x, y and origin are for the camera.
        columns = np.array([[1.0, 0, 0], [0, 1, 0], np.array([0, 0, height]) - place]).T
        seen = camera_from_base @ columns
        focal = 0.5 / np.tan(fovy / 2)  # in heights
        to_image = np.array([[focal / aspect, 0, -0.5], [0, -focal, -0.5], [0, 0, -1.0]])
        return cls(to_image @ seen)

    @classmethod
    def of_points(cls, image: ArrayLike, table: ArrayLike) -> TableView:
        """Makes the view from at least four places that are known.

        Args:
            image: (n, 2) shares of the picture.
            table: (n, 2) m, the same places, no three of four on one line.

        Raises:
            RobotError: There are too few, or they do not span the plane.
        """
        seen, known = np.asarray(image, np.float64), np.asarray(table, np.float64)
        if seen.shape != known.shape or seen.ndim != 2 or seen.shape[1] != 2 or len(seen) < 4:
            raise RobotError(
                f"a table is known by at least 4 points (n, 2), got {seen.shape} in the picture "
                f"and {known.shape} on the table"
            )
        if not (np.isfinite(seen).all() and np.isfinite(known).all()):
            raise RobotError("a point that should show the table is not a number; mark it again")
        # Centred and scaled first, without which the equations are ill conditioned (section 4.4).
        to_seen, to_known = _normal(seen), _normal(known)
        rows = []
        for (u, v), (x, y) in zip(_apply(to_seen, seen), _apply(to_known, known), strict=True):
            rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y, -u])
            rows.append([0, 0, 0, x, y, 1, -v * x, -v * y, -v])
        _, sizes, directions = np.linalg.svd(np.array(rows))
        if not sizes[7] > _FLATTEST * sizes[0]:
            raise RobotError(
                "these points do not span the table; mark four that form a rectangle, far apart"
            )
        solved = directions[-1].reshape(3, 3)
        found = np.linalg.inv(to_seen) @ solved @ to_known
        before_camera = np.sign(found[2] @ np.append(known.mean(axis=0), 1.0))
        return cls(before_camera * found)

    def to_table(self, point: ArrayLike) -> Vector:
        """Returns where on the table an image point is, (2,) m.

        Raises:
            RobotError: It shows no place of the table: it is above the horizon.
        """
        x, y = np.asarray(point, np.float64)
        found = self._table_from_image @ np.array([x, y, 1.0])
        if abs(found[2]) > 1e-9:
            place: Vector = found[:2] / found[2]
            if self._depth(place) > 0:
                return place
        raise RobotError(
            f"({x:.2f}, {y:.2f}) of the picture is above the table; point at the table"
        )

    def to_image(self, place: ArrayLike) -> Vector:
        """Returns where in the picture a place (2,) [m] is, in shares; beyond 0 .. 1 outside it.

        Raises:
            RobotError: It is behind the camera.
        """
        x, y = np.asarray(place, np.float64)
        if not self._depth(np.array([x, y])) > 0:
            raise RobotError(f"({x:.2f}, {y:.2f}) m on the table is behind the camera")
        found = self._image_from_table @ np.array([x, y, 1.0])
        seen: Vector = found[:2] / found[2]
        return seen

    def _depth(self, place: Vector) -> float:
        return float(self._image_from_table[2] @ np.append(place, 1.0))


def _normal(points: Vector) -> Vector:
    """Returns the similarity (3, 3) that puts points about 0, a root of 2 away on average."""
    middle = points.mean(axis=0)
    far = float(np.linalg.norm(points - middle, axis=1).mean())
    scale = np.sqrt(2) / max(far, 1e-12)
    return np.array([[scale, 0, -scale * middle[0]], [0, scale, -scale * middle[1]], [0, 0, 1.0]])


def _apply(similarity: Vector, points: Vector) -> Vector:
    moved: Vector = points @ similarity[:2, :2].T + similarity[:2, 2]
    return moved
