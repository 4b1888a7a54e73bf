"""Laws of several cameras as one: all or none, each under its name."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from tests.robot.cameras.virtual import SETUP, SteppedClock

from demoloop.robot import WallClock
from demoloop.robot.arms.so101 import SO101
from demoloop.robot.cameras import CameraError, Cameras, CameraSetup, Capture
from demoloop.robot.cameras.fake import FakeUVC, read_number

FRONT, WRIST = SETUP, replace(SETUP, name="wrist", device=f"{SETUP.device}-2")


class Desk:
    """Two cameras of the same model, told apart by where they are plugged in."""

    def __init__(self, clock: WallClock) -> None:
        self.fakes = {FRONT.device: FakeUVC(clock=clock), WRIST.device: FakeUVC(clock=clock)}
        self.fakes[WRIST.device].began_at -= 10_000 / 30  # ten thousand pictures ahead

    def opens(self, setup: CameraSetup) -> Capture:
        return self.fakes[setup.device].opens(setup)


def test_two_cameras_of_one_model_are_never_mistaken(clock: SteppedClock) -> None:
    desk = Desk(clock)
    with Cameras(SO101, [WRIST, FRONT], opens=desk.opens, clock=clock) as cameras:
        clock.sleep_until(clock.now() + 1.0)
        frames = cameras.latest()
    assert set(frames) == {"front", "wrist"}
    assert read_number(frames["front"].image) < 1000 < read_number(frames["wrist"].image)
    assert set(cameras.settings["wrist"]) == {"exposure", "white_balance"}


def test_one_stale_camera_is_named(clock: SteppedClock) -> None:
    desk = Desk(clock)
    with Cameras(SO101, [FRONT, WRIST], opens=desk.opens, clock=clock) as cameras:
        desk.fakes[WRIST.device].is_hung = True
        clock.sleep_until(clock.now() + 0.5)
        with pytest.raises(CameraError, match="camera wrist: its newest picture is"):
            cameras.latest()
        frames = cameras.newest()
        now = clock.now()
    assert now - frames["front"].time < 0.1 < now - frames["wrist"].time


def test_all_are_closed_when_one_does_not_open() -> None:
    desk = Desk(WallClock())
    desk.fakes[WRIST.device].is_plugged = False
    before = set(threading.enumerate())
    with pytest.raises(CameraError, match=f"camera wrist: there is no {WRIST.device}"):
        Cameras(SO101, [FRONT, WRIST], opens=desk.opens).__enter__()
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("setups", [[], [FRONT], [FRONT, WRIST, replace(FRONT, name="top")]])
def test_every_camera_of_the_robot_has_one_setup(setups: list[CameraSetup]) -> None:
    with pytest.raises(CameraError, match=r"so101 has the cameras front, wrist, but .* are given"):
        Cameras(SO101, setups)
