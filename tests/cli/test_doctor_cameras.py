"""Laws of the doctor's pictures: what a camera really delivers, and what mends the rest."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.robot.cameras.virtual import DEVICE, SteppedClock

from demoloop.__main__ import main
from demoloop.cli.doctor_cameras import photograph, show
from demoloop.robot.cameras import CameraSetup, Capture
from demoloop.robot.cameras.fake import FakeUVC, read_number

SECOND = f"{DEVICE}-2"


def pictures(page: Path) -> list[np.ndarray]:
    """The pictures (height, width, 3) BGR inside a page."""
    found = re.findall(r"base64,([^\"]+)", page.read_text(encoding="utf-8"))
    encoded = [np.frombuffer(base64.b64decode(it), np.uint8) for it in found]
    return [np.asarray(cv2.imdecode(it, cv2.IMREAD_COLOR), np.uint8) for it in encoded]


def test_every_camera_is_shown_with_what_it_delivers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = SteppedClock()
    fakes = {DEVICE: FakeUVC(clock=clock), SECOND: FakeUVC(clock=clock)}

    def opens(setup: CameraSetup) -> Capture:
        return fakes[setup.device].opens(setup)

    out = tmp_path / "cameras.html"
    assert show([DEVICE, SECOND], out, opens=opens, clock=clock) == 0
    said = capsys.readouterr().out
    for device in fakes:
        assert f"{device}: 640x480 MJPG, 30.0 of 30 pictures/s, at most 3" in said
    assert "locked: exposure 1" in said
    shown = pictures(out)
    assert [it.shape for it in shown] == [(480, 640, 3)] * 2
    for it in shown:
        assert 60 < read_number(it) < 200
        assert it[240, 600] == pytest.approx([0, 0, 255], abs=10)  # red at the right, as BGR


def test_a_camera_in_the_dark_is_told_to_have_more_light() -> None:
    clock = SteppedClock()
    fake = FakeUVC(clock=clock)

    def opens(setup: CameraSetup) -> Capture:
        capture = fake.opens(setup)
        real_get, real_set = capture.get, capture.set

        class Dark:
            """Says 30 and gives 12."""

            isOpened, grab, retrieve = capture.isOpened, capture.grab, capture.retrieve
            release = capture.release

            def get(self, propId: int) -> float:
                return 30.0 if propId == cv2.CAP_PROP_FPS else real_get(propId)

            def set(self, propId: int, value: float) -> bool:
                return real_set(propId, 12.0 if propId == cv2.CAP_PROP_FPS else value)

        return Dark()

    (look,) = photograph([DEVICE], opens, clock)
    assert look.fps == pytest.approx(12, abs=0.6)
    assert look.mend.startswith("too few pictures: give it more light")


def test_a_camera_without_mjpg_is_shown_uncompressed_and_warned_of() -> None:
    clock = SteppedClock()
    fake = FakeUVC(clock=clock)
    fake.modes = frozenset([(640, 480, "YUYV", 30.0)])
    (look,) = photograph([DEVICE], fake.opens, clock)
    assert look.image is not None
    assert look.setup.fourcc == "YUYV"
    assert "it has no MJPG" in look.mend


def test_a_camera_that_does_not_open_keeps_its_sentence_and_the_others_are_shown(
    tmp_path: Path,
) -> None:
    clock = SteppedClock()
    fakes = {DEVICE: FakeUVC(clock=clock), SECOND: FakeUVC(clock=clock)}
    fakes[SECOND].is_plugged = False

    def opens(setup: CameraSetup) -> Capture:
        return fakes[setup.device].opens(setup)

    out = tmp_path / "cameras.html"
    assert show([SECOND, DEVICE], out, opens=opens, clock=clock) == 1
    assert len(pictures(out)) == 1
    assert f"-&gt; camera 1: there is no {SECOND}" in out.read_text()


def test_without_a_camera_there_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show([], tmp_path / "cameras.html") == 1
    assert "no camera below /dev/v4l/by-path; plug one in" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(Path("/dev/v4l").exists(), reason="depends on the data of the cameras here")
def test_the_verb_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--cameras"]) == 1
    assert "plug one in" in capsys.readouterr().err
