"""Laws of the emulated cameras: the pixels of the simulation, behind the face of OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import mujoco
import numpy as np
import pytest

from demoloop.robot.arms import so101
from demoloop.robot.cameras.capture import configure
from demoloop.robot.cameras.setup import CameraError
from demoloop.robot.emulator.cameras import CameraServer
from demoloop.robot.emulator.capture import EmulatedCapture
from demoloop.robot.emulator.config import CameraConfig
from demoloop.robot.emulator.emulator import emulated_arm
from demoloop.robot.emulator.physics import World
from demoloop.sim import TASKS, SimRobot
from demoloop.sim.world import build_model

CAMERAS = (CameraConfig("front", 96, 96, 60.0), CameraConfig("wrist", 96, 96, 60.0))
RGB3 = float(cv2.VideoWriter.fourcc(*"RGB3"))


class Seen:
    """A world that stands still, and the server of its cameras."""

    def __init__(self, folder: Path) -> None:
        self.robot = SimRobot(TASKS["pick_place"], [7])
        self.robot.reset()
        mujoco.mj_saveModel(self.robot.model, str(folder / "world.mjb"))
        self.world = World(folder / "world.mjb")
        self.world.place(self.robot.data.qpos.tolist())
        self.world.start_at(123.0)
        self.path = str(folder / "cameras")
        self.server = CameraServer(self.world, CAMERAS, self.path)
        self.server.start()

    def capture(self, name: str) -> EmulatedCapture:
        return EmulatedCapture(self.path, name)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    seen = Seen(tmp_path_factory.mktemp("cameras"))
    yield seen
    seen.robot.close()


@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_raw_pictures_are_those_of_the_simulation_to_the_bit(seen: Seen, camera: str) -> None:
    capture = seen.capture(camera)
    assert capture.set(cv2.CAP_PROP_FOURCC, RGB3)
    is_there, bgr = capture.read()
    mujoco.mj_forward(seen.robot.model, seen.robot.data)
    assert is_there and bgr is not None
    np.testing.assert_array_equal(bgr[..., ::-1], seen.robot.render(camera, 96, 96))
    capture.release()


def test_a_jpeg_is_close_to_the_raw_picture(seen: Seen) -> None:
    jpeg, raw = seen.capture("front"), seen.capture("front")
    raw.set(cv2.CAP_PROP_FOURCC, RGB3)
    one, other = jpeg.read()[1], raw.read()[1]
    assert one is not None and other is not None
    difference = one.astype(int) - other
    assert 0 < np.abs(difference).mean() < 4
    jpeg.release()
    raw.release()


def test_the_mode_is_what_was_asked_for_and_is_read_back(seen: Seen) -> None:
    capture = seen.capture("front")
    for prop, value in (
        *((cv2.CAP_PROP_FOURCC, RGB3), (cv2.CAP_PROP_FRAME_WIDTH, 160.0)),
        *((cv2.CAP_PROP_FRAME_HEIGHT, 120.0), (cv2.CAP_PROP_FPS, 50.0)),
    ):
        capture.set(prop, value)
        assert capture.get(prop) == value
    picture = capture.read()[1]
    assert picture is not None and picture.shape == (120, 160, 3)
    capture.release()


def test_a_size_it_cannot_draw_is_not_taken(seen: Seen) -> None:
    capture = seen.capture("front")
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, 10_000)
    assert capture.get(cv2.CAP_PROP_FRAME_WIDTH) == 96
    assert not capture.set(cv2.CAP_PROP_EXPOSURE, 1)
    capture.release()


def test_every_picture_comes_once_and_says_when_it_was_taken(seen: Seen) -> None:
    capture = seen.capture("front")
    numbers = []
    for _ in range(5):
        assert capture.grab()
        numbers.append(capture.get(cv2.CAP_PROP_POS_FRAMES))
    assert numbers == sorted(set(numbers))
    assert capture.get(cv2.CAP_PROP_POS_MSEC) == pytest.approx(123_000.0)
    capture.release()


def test_a_camera_that_is_not_there_does_not_open(seen: Seen) -> None:
    capture = seen.capture("behind")
    assert not capture.isOpened() and not capture.grab() and capture.read() == (False, None)


def test_a_pulled_plug_ends_the_pictures_until_it_is_back(seen: Seen) -> None:
    capture = seen.capture("wrist")
    assert capture.grab()
    seen.server.plug("wrist", False)
    while capture.grab():  # one may have been under way
        pass
    assert not capture.isOpened()
    assert not seen.capture("wrist").isOpened()
    seen.server.plug("wrist", True)
    again = seen.capture("wrist")
    assert again.grab()
    again.release()


def test_a_released_capture_may_be_released_again(seen: Seen) -> None:
    capture = seen.capture("front")
    capture.release()
    capture.release()
    assert not capture.isOpened()


@pytest.mark.parametrize("fourcc", ["RGB3", "MJPG"])
def test_our_cameras_take_it_for_a_real_one(tmp_path: Path, fourcc: str) -> None:
    mujoco.mj_saveModel(build_model(TASKS["pick_place"].mjcf), str(tmp_path / "world.mjb"))
    with emulated_arm(so101.ARM, tmp_path / "world.mjb", cameras_hz=50.0) as emulator:
        for setup in emulator.setups(fourcc):
            capture = emulator.opens(setup)
            configure(capture, setup)
            assert capture.grab()
            picture = capture.retrieve()[1]
            assert picture is not None and picture.shape == (96, 96, 3)
            capture.release()
        emulator.control.unplug_camera("front")
        with pytest.raises(CameraError, match="front"):
            emulator.opens(emulator.setups()[0])
