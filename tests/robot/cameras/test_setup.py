"""Laws of naming cameras: by path, in one line, with a sentence for each thing that is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demoloop.robot.cameras import CameraError, CameraSetup, find_devices, open_capture
from demoloop.robot.cameras.devices import check_device, holders_of
from demoloop.robot.cameras.setup import parse_cameras

BY_PATH = "/dev/v4l/by-path/pci-0000:00:14.0-usb-0:{}:1.0-video-index0"


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    """Two webcams of one model, each with a second device that gives no pictures."""
    by_path = tmp_path / "v4l" / "by-path"
    by_path.mkdir(parents=True)
    for index in range(4):
        (tmp_path / f"video{index}").touch()
        socket, which = divmod(index, 2)
        name = f"pci-0000:00:14.0-usb-0:{socket + 1}:1.0-video-index{which}"
        (by_path / name).symlink_to(f"../../video{index}")
        (by_path / name.replace("-usb-", "-usbv2-")).symlink_to(f"../../video{index}")
    return tmp_path


def test_two_cameras_in_one_line() -> None:
    front, wrist = BY_PATH.format(1), BY_PATH.format(2)
    assert parse_cameras(f"front={front}, wrist={wrist}@1280x720@15") == (
        CameraSetup("front", front),
        CameraSetup("wrist", wrist, width=1280, height=720, fps=15),
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no camera in ''"),
        ("/dev/video0", "camera '/dev/video0' is not understood; write name=device"),
        ("front=", "camera 'front=' is not understood"),
        ("front=/dev/a@640", "sure"),
        ("front=/dev/a@640x", "camera 'front=/dev/a@640x' is not understood"),
        ("front=/dev/a@0x480", "must be more than 0"),
        ("front=/dev/a@640x480@0", "must be more than 0"),
        ("front=/dev/a,front=/dev/b", "two cameras have the name front"),
        ("front=/dev/a,wrist=/dev/a", "two cameras have the device /dev/a"),
    ],
)
def test_wrong_line_is_refused(text: str, sentence: str) -> None:
    if sentence == "sure":
        assert parse_cameras(text)[0].fps == 640  # a rate alone
        return
    with pytest.raises(CameraError, match=sentence.replace("'", "['\"]")):
        parse_cameras(text)


def test_each_camera_is_found_once_and_by_its_socket(dev: Path) -> None:
    found = find_devices(dev)
    assert [os.path.basename(os.path.realpath(path)) for path in found] == ["video0", "video2"]
    assert all("by-path" in path for path in found)


def test_wrong_path_lists_those_there_are(dev: Path) -> None:
    absent = CameraSetup("front", str(dev / "v4l" / "by-path" / "absent"))
    with pytest.raises(CameraError, match=r"front: there is no .*absent; there are ") as caught:
        check_device(absent, dev)
    assert all(path in str(caught.value) for path in find_devices(dev))


def test_wrong_path_where_no_camera_is(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="no camera is plugged in"):
        check_device(CameraSetup("front", str(tmp_path / "absent")), tmp_path)


def test_index_is_refused_with_the_path_it_has_now(dev: Path) -> None:
    with pytest.raises(CameraError, match="another camera after the next start") as caught:
        check_device(CameraSetup("front", str(dev / "video2")), dev)
    assert find_devices(dev)[1] in str(caught.value)


def test_index_is_taken_where_nothing_has_a_path(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()  # a container that was handed one device
    check_device(CameraSetup("front", str(tmp_path / "video0")), tmp_path)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can become nobody")
def test_camera_without_permission_names_the_group_to_join(tmp_path: Path) -> None:
    device = tmp_path / "camera"
    device.touch()
    device.chmod(0)
    group = device.group()  # loads what asks for it, which nobody may read afterwards
    child = os.fork()
    if not child:  # as somebody else, to whom the folder is open
        code = 1
        try:
            tmp_path.chmod(0o755)
            os.chdir(tmp_path)
            os.setgid(65534)
            os.setuid(65534)
            check_device(CameraSetup("front", "camera"), Path())
        except CameraError as error:
            code = 0 if f"no permission for camera; sudo usermod -aG {group} " in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_who_holds_a_camera_is_named(tmp_path: Path) -> None:
    device = tmp_path / "camera"
    device.touch()
    hold = "import sys; held = open(sys.argv[1]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(device)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        named = holders_of(str(device))
        holder.communicate()
    assert len(named) == 1
    assert named[0].endswith(f"({holder.pid})")
    assert not holders_of(str(device))


def test_what_is_no_camera_does_not_open(tmp_path: Path) -> None:
    device = tmp_path / "camera"
    device.write_bytes(b"no camera")
    with pytest.raises(CameraError, match=r"front: .* does not open"):
        open_capture(CameraSetup("front", str(device)))


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("realsense:0123", r"demoloop\[realsense\]|no RealSense '0123'; none is plugged in"),
        ("depthai:0123", r"demoloop\[depthai\]|no OAK camera '0123'; none is plugged in"),
        ("kinect:0", "'kinect' is no kind of camera; .* realsense:SERIAL, depthai:SERIAL"),
    ],
)
def test_camera_of_another_maker_says_what_is_missing(device: str, sentence: str) -> None:
    with pytest.raises(CameraError, match=sentence):
        open_capture(CameraSetup("front", device))
