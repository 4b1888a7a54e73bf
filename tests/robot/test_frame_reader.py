"""A frame read at random is the frame read in order, whatever was read before."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from demoloop.robot.frame_reader import OPEN_READERS, FrameReader, OpenReaders
from demoloop.robot.video import VideoError, VideoWriter, read_frames

COUNT = 40


def write(path: Path, shade: int = 0, keyframe_every: int = 2) -> Path:
    rng = np.random.default_rng(shade)
    with VideoWriter(path, 30, 32, 48, keyframe_every=keyframe_every) as video:
        for index in range(COUNT):
            frame = np.full((32, 48, 3), 6 * index + shade, np.uint8)
            frame[8:24] = rng.integers(0, 255, (16, 48, 3))
            video.add(frame)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("frames") / "a.mp4")


@pytest.fixture(params=[1, 2, 24])
def any_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write(tmp_path / "a.mp4", keyframe_every=request.param)


def test_frames_in_any_order_are_those_read_in_order(any_path: Path) -> None:
    expected = list(read_frames(any_path))
    rng = np.random.default_rng(0)
    indices = [*rng.integers(0, COUNT, 120).tolist(), 39, 39, 0, 0, 1, 39, 38, *range(COUNT)]
    with FrameReader(any_path) as video:
        for index, frame in zip(indices, video.frames(indices), strict=True):
            np.testing.assert_array_equal(frame, expected[index])


@pytest.mark.parametrize("index", [-1, COUNT, 10**9])
def test_a_frame_that_is_not_there_is_refused_and_the_others_are_still_read(
    path: Path, index: int
) -> None:
    with FrameReader(path) as video:
        before = video.frame(5)
        with pytest.raises(VideoError, match="has frames 0 to 39"):
            video.frame(index)
        np.testing.assert_array_equal(video.frame(5), before)


@pytest.mark.parametrize("content", [b"", b"no video", bytes(64)])
def test_a_file_that_is_no_video_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=r"a\.mp4"), FrameReader(tmp_path / "a.mp4"):
        pass


def test_a_damaged_frame_does_not_spoil_the_next(path: Path, tmp_path: Path) -> None:
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + 4 + (len(data) - data.index(b"mdat")) // 2
    data[middle : middle + 400] = os.urandom(400)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    expected = next(read_frames(path))
    with FrameReader(broken) as video:
        for index in range(COUNT):
            try:
                assert video.frame(index).shape == (32, 48, 3)
            except VideoError as error:
                assert "broken.mp4" in str(error)
        np.testing.assert_array_equal(video.frame(0), expected)


def test_a_reader_outside_its_block_says_so(path: Path) -> None:
    with pytest.raises(VideoError, match="inside `with"):
        FrameReader(path).frame(0)


def num_open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to count open files")
def test_no_more_files_are_open_than_allowed(tmp_path: Path) -> None:
    readers, before = OpenReaders(max_open=3), num_open_files()
    paths = [write(tmp_path / f"{n}.mp4", n) for n in range(6)]
    for n, path in enumerate(paths * 2):
        assert readers.frame(path, 20).shape == (32, 48, 3)
        assert len(readers) == min(n + 1, 3)
        assert num_open_files() <= before + 3
    readers.forget()
    assert num_open_files() == before


def test_a_replaced_file_is_read_anew(tmp_path: Path) -> None:
    readers = OpenReaders()
    path = write(tmp_path / "a.mp4", 0)
    old = readers.frame(path, 3)
    write(path, 9)
    assert not np.array_equal(readers.frame(path, 3), old)
    readers.forget()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_and_its_parent_read_the_same_file_undisturbed(path: Path) -> None:
    expected = list(read_frames(path))
    order = np.random.default_rng(1).integers(0, COUNT, 60).tolist()
    OPEN_READERS.frame(path, 0)
    child = os.fork()
    if child == 0:
        good = all(np.array_equal(OPEN_READERS.frame(path, n), expected[n]) for n in order)
        os._exit(0 if good else 1)
    good = all(np.array_equal(OPEN_READERS.frame(path, n), expected[n]) for n in order)
    status = 1
    deadline, done = time.monotonic() + 20, 0
    while not done and time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not done:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    OPEN_READERS.forget()
    assert done and good and os.waitstatus_to_exitcode(status) == 0
