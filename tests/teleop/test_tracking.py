"""Laws of the tracker: it looks, says what is wrong, ends with who asked, and speaks to nobody."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from demoloop.teleop import TeleopError
from demoloop.teleop.gestures import shape_of
from demoloop.teleop.tracking import Tracker, check_tracker, fetch_tracker, tracker_folder
from demoloop.teleop.tracking.install import LIBRARY, TASK

ROOT = Path(__file__).parents[2]
FILM = ROOT.parent / "shared" / "data" / "hand_video.mp4"
needs_film = pytest.mark.skipif(not FILM.exists(), reason="the recorded data of a hand is absent")
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where the tracker is; `make test` has fetched it."""
    try:
        check_tracker(tracker_folder())
    except TeleopError as error:
        pytest.skip(str(error))
    return tracker_folder()


@pytest.fixture(scope="module")
def tracker(folder: Path) -> Iterator[Tracker]:
    """One for all that hand pictures over; numbers grow."""
    with Tracker(folder=folder) as tracker:
        yield tracker


def jpeg(image: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".jpg", image)[1].tobytes()


def filmed(frame: int) -> NDArray[np.uint8]:
    film = cv2.VideoCapture(str(FILM))
    film.set(cv2.CAP_PROP_POS_FRAMES, frame)
    is_there, image = film.read()
    assert is_there
    return cv2.resize(image, (640, 360)).astype(np.uint8)


def sockets_of(pid: int) -> list[str]:
    links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return [link for link in links if link.startswith("socket:")]


@needs_film
def test_a_filmed_hand_is_seen_without_a_single_socket(tracker: Tracker) -> None:
    for number, frame in enumerate((0, 45, 270), 1):
        tracker.put(jpeg(filmed(frame)), number, time=100.0 + number)
        state = tracker.wait(number, PATIENCE_S)
        assert state is not None and state.has_hand
        assert (state.number, state.time) == (number, 100.0 + number)
        assert (state.width, state.height, state.handedness) == (640, 360, "right")
        assert shape_of(state) == ("fist" if frame == 270 else "open_palm")
    assert sockets_of(tracker.pid) == []


def test_an_empty_picture_shows_nobody_and_its_brightness(tracker: Tracker) -> None:
    tracker.put(jpeg(np.full((360, 640, 3), 20, np.uint8)), 1000)
    state = tracker.wait(1000, PATIENCE_S)
    assert state is not None and not state.has_hand
    assert state.brightness == pytest.approx(20, abs=2)


@pytest.mark.parametrize(("number", "junk"), [(2000, b""), (2001, b"no picture"), (2002, b"\xff")])
def test_what_is_no_picture_is_said_and_the_next_one_is_seen(
    tracker: Tracker, number: int, junk: bytes
) -> None:
    tracker.put(junk, number)
    deadline = time.monotonic() + PATIENCE_S
    while not tracker.trouble and time.monotonic() < deadline:
        time.sleep(0.005)
    assert "no JPEG" in tracker.trouble
    tracker.put(jpeg(np.zeros((48, 64, 3), np.uint8)), number + 100)
    assert tracker.wait(number + 100, PATIENCE_S) is not None
    assert tracker.trouble == ""


def test_too_big_a_picture_is_refused(tracker: Tracker) -> None:
    with pytest.raises(TeleopError, match="4000001 bytes, at most 4000000"):
        tracker.put(bytes(4_000_001), 5000)


@needs_film
def test_a_film_is_a_webcam(folder: Path) -> None:
    with Tracker(str(FILM), folder=folder) as tracker:
        state = tracker.wait(5, PATIENCE_S)
    assert state is not None and state.has_hand and state.time <= time.monotonic()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("/dev/v4l/by-path/nowhere", "there is no /dev/v4l/by-path/nowhere"),
        ("nowhere.mp4", "there is no film nowhere.mp4"),
        (__file__, "is no film"),
    ],
)
def test_a_source_that_is_not_there_is_named(folder: Path, source: str, said: str) -> None:
    with pytest.raises(TeleopError, match=said), Tracker(source, folder=folder):
        pass


def test_it_ends_with_the_process_that_asked(folder: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from demoloop.teleop.tracking import Tracker\n"
        "with Tracker(folder=Path(sys.argv[1])) as tracker:\n"
        "    print(tracker.pid, flush=True); time.sleep(600)\n"
    )
    asking = subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert asking.stdout is not None
    pid = int(asking.stdout.readline())
    asking.send_signal(signal.SIGKILL)
    asking.wait()
    asking.stdout.close()
    deadline = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{pid}/stat").exists() and time.monotonic() < deadline:
        if " Z " in Path(f"/proc/{pid}/stat").read_text():
            break  # dead; whoever adopts orphans here does not bury them
        time.sleep(0.01)
    else:
        assert not Path(f"/proc/{pid}").exists()


def test_a_tracker_that_was_killed_is_said_to_have_ended(folder: Path) -> None:
    with Tracker(folder=folder) as tracker:
        os.kill(tracker.pid, signal.SIGKILL)
        assert tracker.wait(1, PATIENCE_S) is None
        assert tracker.trouble == "the hand tracker ended (SIGKILL); start it again"


def test_what_was_not_fetched_is_not_looked_for_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(TeleopError, match=r"not here .* demoloop hand"), Tracker(folder=tmp_path):
        pass


@pytest.mark.parametrize("name", [LIBRARY, TASK])
def test_one_altered_byte_is_refused_before_it_is_loaded(
    folder: Path, tmp_path: Path, name: str
) -> None:
    for file in (LIBRARY, TASK):
        shutil.copy(folder / file, tmp_path / file)
    with (tmp_path / name).open("r+b") as file:
        file.seek(500_000)
        byte = file.read(1)
        file.seek(500_000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(TeleopError, match=f"{name} was altered"), Tracker(folder=tmp_path):
        pass


def test_without_a_network_one_sentence_and_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(TeleopError, match=r"0\.10\.35 cannot be fetched .* connect to the network"):
        fetch_tracker(tmp_path / "hand")
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_not_the_known_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    for tag in ("manylinux_2_28_x86_64", "macosx_11_0_arm64"):
        (index / f"mediapipe-0.10.35-py3-none-{tag}.whl").write_bytes(b"another")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    with pytest.raises(TeleopError, match="is not the file that is known"):
        fetch_tracker(tmp_path / "cache" / "hand")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_kernel_refuses_the_trackers_process_a_socket(tracker: Tracker) -> None:
    """Its library would look up play.googleapis.com after some seconds."""
    status = Path(f"/proc/{tracker.pid}/status").read_text("ascii")
    assert "\nSeccomp:\t2\n" in status
    words = "refuse_sockets(); import socket; socket.socket()"
    tried = subprocess.run(
        [sys.executable, "-c", f"from demoloop.teleop.tracking.seal import *; {words}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PermissionError" in tried.stderr
