"""Frames come back in order, at their time, and as they were."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from demoloop.robot.video import VideoError, VideoWriter, check_video, read_frames


def scene(number: int, height: int = 32, width: int = 48) -> np.ndarray:
    """(height, width, 3): bar b is white if bit b of `number` is set, beside saturated colours."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2] = np.repeat((number >> np.arange(12)) & 1, 4)[None, :width, None] * 255
    picture[height // 2 :, ::2] = (220, 30, 40)  # columns of red and blue: hard on half chroma
    picture[height // 2 :, 1::2] = (30, 40, 220)
    return picture


def number_of(picture: np.ndarray) -> int:
    return int(((picture[8, 2::4].mean(axis=-1) > 127) << np.arange(12)).sum())


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 30, 32, 48) as writer:
        for i in range(25):
            writer.add(scene(i))
    return path


@pytest.mark.parametrize(
    ("start", "stop"), [(0, None), (0, 25), (7, 8), (8, 20), (24, 25), (13, None), (5, 5)]
)
def test_exactly_the_frames_asked_for_are_read(video: Path, start: int, stop: int | None) -> None:
    found = [number_of(frame) for frame in read_frames(video, start, stop)]
    assert found == list(range(start, 25 if stop is None else stop))


def test_frame_i_is_shown_at_exactly_i_over_fps(video: Path) -> None:
    with av.open(str(video)) as container:
        frames = list(container.decode(video=0))
        times = [f.pts * f.time_base for f in frames if f.pts is not None and f.time_base]
    assert times == [Fraction(i, 30) for i in range(25)]


@pytest.mark.parametrize("every", [1, 2, 10])
def test_key_frames_come_as_often_as_asked(tmp_path: Path, every: int) -> None:
    with VideoWriter(tmp_path / "a.mp4", 30, 32, 48, keyframe_every=every) as writer:
        for i in range(25):
            writer.add(scene(i))
    with av.open(str(tmp_path / "a.mp4")) as container:
        keys = [frame.key_frame for frame in container.decode(video=0)]
    assert keys == [i % every == 0 for i in range(25)]


def test_the_index_stands_before_the_pictures(video: Path) -> None:
    data = video.read_bytes()  # so a browser plays before all is loaded
    assert data.index(b"moov") < data.index(b"mdat")


def test_full_colour_keeps_38_db_where_half_colour_cannot(tmp_path: Path) -> None:
    levels = {}
    for name in ("yuv420p", "yuv444p"):
        with VideoWriter(tmp_path / name, 30, 32, 48, pixel_format=name) as writer:  # type: ignore[arg-type]
            writer.add(scene(5))
        (frame,) = read_frames(tmp_path / name)
        error = np.square(frame.astype(float) - scene(5)).mean()
        levels[name] = 10 * np.log10(255**2 / error)
    assert levels["yuv444p"] >= 38 > levels["yuv420p"]


def test_odd_sizes_are_refused_by_yuv420p(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"even height and width, got 31x48"):
        VideoWriter(tmp_path / "a.mp4", 30, 31, 48).__enter__()


def test_a_frame_of_another_size_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with (
        pytest.raises(VideoError, match="frame 90 is uint8"),
        VideoWriter(tmp_path / "a.mp4", 30, 32, 48) as writer,
    ):
        for i in range(90):  # enough that the encoder has written some
            writer.add(scene(i))
        writer.add(scene(90)[:16])
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(VideoError, match="at least one frame"),
        VideoWriter(tmp_path / "a.mp4", 30, 32, 48),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(VideoError, match=r"nowhere/a\.mp4 cannot be written"),
        VideoWriter(tmp_path / "nowhere/a.mp4", 30, 32, 48) as writer,
    ):
        writer.add(scene(0))


def test_a_film_that_fails_leaves_the_one_before_it(video: Path) -> None:
    before = video.read_bytes()
    with pytest.raises(VideoError, match="frame 1 is uint8"), VideoWriter(video, 30, 32, 48) as w:
        w.add(scene(0))
        w.add(scene(1)[:16])
    assert video.read_bytes() == before
    assert list(video.parent.iterdir()) == [video]


def test_what_is_no_file_is_refused_and_left(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="is a folder or a device"):
        VideoWriter(tmp_path, 30, 32, 48).__enter__()
    with pytest.raises(VideoError, match="is a folder or a device"):
        VideoWriter(Path("/dev/null"), 30, 32, 48).__enter__()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def scramble(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


@pytest.mark.parametrize("damage", [Path.unlink, cut, halve, empty, scramble])
@pytest.mark.parametrize("read", [check_video, lambda path: list(read_frames(path))])
def test_a_broken_file_is_named_in_one_sentence(
    video: Path, damage: Callable[[Path], None], read: Callable[[Path], object]
) -> None:
    damage(video)
    with pytest.raises(VideoError, match=r"a\.mp4") as caught:
        read(video)
    assert "\n" not in str(caught.value)


def test_asking_beyond_the_end_says_where_it_ends(video: Path) -> None:
    with pytest.raises(VideoError, match="ends after frame 25, expected 30"):
        list(read_frames(video, 20, 30))
