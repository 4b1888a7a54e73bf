"""Laws of the table in a picture: what is seen there lies there."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from demoloop.robot import RobotError
from demoloop.robot.table_view import TableView
from demoloop.sim.tasks import TASKS
from demoloop.sim.world import build_model

PLACES = [(x, y) for x in (0.1, 0.2, 0.3) for y in (-0.15, 0.0, 0.15)]
CORNERS = np.array([(0.1, -0.15), (0.1, 0.15), (0.3, 0.15), (0.3, -0.15)])


def front() -> TableView:
    model = build_model(TASKS["pick_place"].mjcf)
    camera = model.camera("front")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    rotation = data.cam("front").xmat
    return TableView.of_camera(camera.pos, rotation, np.radians(camera.fovy[0]), 4 / 3)


def seen_by_simulation(places: list[tuple[float, float]]) -> list[np.ndarray]:
    """Where coins on the table are in rendered pictures: the middle of their pixels."""
    scene = mujoco.MjSpec.from_string(
        "<mujoco><worldbody/></mujoco>",
    )
    full = build_model(TASKS["pick_place"].mjcf).camera("front")
    camera = scene.worldbody.add_camera(name="front", pos=full.pos, quat=full.quat)
    camera.fovy = float(full.fovy[0])
    for x, y in places:
        scene.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=[0.01, 1e-4, 0], pos=[x, y, 0]
        )
    model = scene.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, 480, 640) as renderer:
        renderer.enable_segmentation_rendering()
        renderer.update_scene(data, "front")
        ids = renderer.render()[:, :, 0]
    found = []
    for number in range(len(places)):
        rows, columns = np.nonzero(ids == number)
        found.append(np.array([(columns.mean() + 0.5) / 640, (rows.mean() + 0.5) / 480]))
    return found


def test_what_a_rendered_camera_sees_lies_there_to_two_millimetres() -> None:
    view = front()
    for place, point in zip(PLACES, seen_by_simulation(PLACES), strict=True):
        assert np.linalg.norm(view.to_table(point) - place) < 2e-3


def test_four_known_places_are_as_good_as_a_known_camera() -> None:
    known = front()
    view = TableView.of_points([known.to_image(corner) for corner in CORNERS], CORNERS)
    for place in PLACES:
        assert view.to_image(place) == pytest.approx(known.to_image(place), abs=1e-9)
        assert view.to_table(known.to_image(place)) == pytest.approx(place, abs=1e-9)


def test_a_point_above_the_table_is_no_place() -> None:
    with pytest.raises(RobotError, match="above the table"):
        front().to_table((0.5, -3.0))


def test_a_place_behind_the_camera_is_in_no_picture() -> None:
    with pytest.raises(RobotError, match="behind the camera"):
        front().to_image((3.0, 0.0))


@pytest.mark.parametrize(
    ("image", "table", "said"),
    [
        ([(0, 0), (1, 0), (1, 1)], CORNERS[:3], "at least 4"),
        ([(0, 0), (0.1, 0), (0.2, 0), (0.3, 0)], [(0, 0), (1, 0), (2, 0), (3, 0)], "do not span"),
        ([(0, 0), (1, 0), (1, 1), (0, float("nan"))], CORNERS, "not a number"),
    ],
)
def test_points_that_tell_nothing_are_refused(image: object, table: object, said: str) -> None:
    with pytest.raises(RobotError, match=said):
        TableView.of_points(image, table)  # type: ignore[arg-type]
