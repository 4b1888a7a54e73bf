"""What is exported as LeRobot v3.0 is what the dataset shows, and comes back unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from demoloop.datasets import DatasetError, DatasetWriter, Episode, open_dataset
from demoloop.datasets.edits import edit_episodes
from demoloop.datasets.exporters import EXPORTERS, export_dataset
from demoloop.datasets.exporters.whole import whole
from demoloop.datasets.importers import import_dataset

Numbers = Callable[[np.ndarray, int], int]


def same_numbers(one: Episode, other: Episode) -> None:
    """Everything but the pictures is equal to the bit."""
    assert (one.task, one.success, one.seed) == (other.task, other.success, other.seed)
    np.testing.assert_array_equal(one.time, other.time)
    np.testing.assert_array_equal(one.proprioception, other.proprioception)
    np.testing.assert_array_equal(one.actions, other.actions)
    for camera, times in one.image_times.items():
        np.testing.assert_array_equal(times, other.image_times[camera])
    assert one.events == other.events


def shown(episode: Episode, numbers: Numbers) -> list[list[int]]:
    """The number each frame carries, camera by camera."""
    return [
        [numbers(frame, camera) for frame in episode.images[name]]
        for camera, name in enumerate(("front", "wrist"))
    ]


def test_ours_to_lerobot_to_ours_is_the_same(
    root: Path, tmp_path: Path, make_episode: Callable[..., Episode], numbers: Numbers
) -> None:
    export_dataset(root, tmp_path / "plain", "lerobot")
    import_dataset(tmp_path / "plain", tmp_path / "back")
    back = open_dataset(tmp_path / "back")
    for i, seed in enumerate((1, 2, 3)):
        same_numbers(back.episode(i), make_episode(seed, steps=4 + seed))
        expected = [100 * seed + t for t in range(4 + seed)]
        assert shown(back.episode(i), numbers) == [expected, expected]


def test_what_lerobot_alone_would_see_comes_back_too(
    root: Path, tmp_path: Path, make_episode: Callable[..., Episode], numbers: Numbers
) -> None:
    """Without our part of info.json nothing but LeRobot's own columns tells what is what."""
    export_dataset(root, tmp_path / "plain", "lerobot")
    path = tmp_path / "plain/meta/info.json"
    info = json.loads(path.read_text())
    del info["demoloop"]
    path.write_text(json.dumps(info))
    report = import_dataset(tmp_path / "plain", tmp_path / "back")
    back = open_dataset(tmp_path / "back")
    assert back.spec.proprioception_names == back.proprioception_names
    for i, seed in enumerate((1, 2, 3)):
        episode, original = back.episode(i), make_episode(seed, steps=4 + seed)
        np.testing.assert_array_equal(episode.actions, original.actions)
        np.testing.assert_array_equal(episode.proprioception, original.proprioception)
        expected = [100 * seed + t for t in range(4 + seed)]
        assert shown(episode, numbers) == [expected, expected]
    assert report.names["observation.images.front"] == "front"


def test_videos_nobody_trimmed_are_copied_byte_for_byte(root: Path, tmp_path: Path) -> None:
    export_dataset(root, tmp_path / "plain", "lerobot")
    for video in root.rglob("*.mp4"):
        copy = tmp_path / "plain" / video.relative_to(root)
        assert copy.read_bytes() == video.read_bytes() and not copy.samefile(video)


def test_several_episodes_in_one_file_get_a_file_each(lerobot_sample: Path, tmp_path: Path) -> None:
    export_dataset(lerobot_sample, tmp_path / "plain", "lerobot")
    source, plain = open_dataset(lerobot_sample), open_dataset(tmp_path / "plain")
    assert len(list((tmp_path / "plain").rglob("*.mp4"))) == 6
    for i in range(3):
        for camera in ("front", "wrist"):
            # Packets are copied, so pictures are equal to the bit.
            pairs = zip(source.frames(i, camera), plain.frames(i, camera), strict=True)
            assert all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("name", EXPORTERS)
def test_no_export_touches_the_dataset(root: Path, tmp_path: Path, name: str) -> None:
    def state() -> dict[Path, tuple[int, bytes]]:
        files = (path for path in root.rglob("*") if path.is_file())
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    export_dataset(root, tmp_path / "out", name)
    assert state() == before


@pytest.mark.parametrize("name", ["robomimic", "rerun"])
def test_an_export_that_breaks_leaves_nothing_behind(root: Path, tmp_path: Path, name: str) -> None:
    # The last video that is read: all else is written by then.
    video = sorted(root.rglob("*wrist*/**/*.mp4"))[-1]
    recorded = video.read_bytes()
    place = recorded.index(b"mdat")
    size = int.from_bytes(recorded[place - 4 : place], "big")
    video.write_bytes(recorded[: place + 4] + bytes(size - 8) + recorded[place + size - 4 :])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DatasetError, match="episode 2"):
        export_dataset(root, tmp_path / "out", name)
    assert sorted(tmp_path.iterdir()) == before


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole(tmp_path / "out") as work:
        (work / "videos").mkdir(parents=True)
        (work / "videos" / "half.mp4").write_bytes(b"half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", EXPORTERS)
def test_what_is_there_is_not_overwritten(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(DatasetError, match="is there already"):
        export_dataset(root, tmp_path / "out", name)
    assert (tmp_path / "out").read_text() == "mine"


def test_an_unknown_format_lists_those_there_are(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="lerobot, robomimic, rerun"):
        export_dataset(root, tmp_path / "out", "rosbag")


def test_an_exported_dataset_says_the_same_of_its_numbers(root: Path, tmp_path: Path) -> None:
    export_dataset(root, tmp_path / "plain", "lerobot")
    stats = json.loads((tmp_path / "plain/meta/stats.json").read_text())
    expected = json.loads((root / "meta/stats.json").read_text())
    assert stats.keys() == expected.keys()
    for key, values in expected.items():
        for name, value in values.items():
            np.testing.assert_allclose(stats[key][name], value, rtol=1e-9)


def test_takeover_and_events_survive(
    tmp_path: Path, make_episode: Callable[..., Episode], spec: object
) -> None:
    from dataclasses import replace

    takeover = np.array([False, True, True, False, False, True])
    episode = replace(make_episode(4), is_takeover=takeover, events=((1, "pinch"), (4, "let go")))
    with DatasetWriter(tmp_path / "d", spec) as writer:  # type: ignore[arg-type]
        writer.add(episode)
    export_dataset(tmp_path / "d", tmp_path / "plain", "lerobot")
    import_dataset(tmp_path / "plain", tmp_path / "back")
    rows = open_dataset(tmp_path / "back").rows(0)
    assert rows["demoloop.takeover"].to_pylist() == takeover.tolist()
    assert rows["demoloop.event"].to_pylist() == ["", "pinch", "", "", "let go", ""]


def test_edits_are_materialised(root: Path, tmp_path: Path, numbers: Numbers) -> None:
    uuids = [episode.uuid for episode in open_dataset(root).episodes]
    edit_episodes(root, "drop", {uuids[1]: None})
    edit_episodes(root, "trim", {uuids[2]: (2, 6)})
    edit_episodes(root, "relabel", {uuids[2]: "place the cube"})
    edit_episodes(root, "success", {uuids[0]: True})
    edit_episodes(root, "split", {uuids[0]: "val", uuids[2]: "train"})
    export_dataset(root, tmp_path / "plain", "lerobot")
    plain = open_dataset(tmp_path / "plain")
    assert [(e.length, e.task, e.success) for e in plain.episodes] == [
        (4, "place the cube", False),
        (5, "pick the cube", True),
    ]
    assert shown(plain.episode(0), numbers)[0] == [302, 303, 304, 305]
    info = json.loads((tmp_path / "plain/meta/info.json").read_text())
    assert info["splits"] == {"train": "0:1", "val": "1:2"}
    assert plain.episodes[0].uuid != uuids[2] and plain.episodes[1].uuid == uuids[0]


@pytest.mark.parametrize(("first", "is_encoded"), [(2, False), (3, True)])
def test_only_what_begins_between_key_frames_is_encoded_again(
    root: Path, tmp_path: Path, numbers: Numbers, first: int, is_encoded: bool
) -> None:
    uuid = open_dataset(root).episodes[2].uuid
    edit_episodes(root, "trim", {uuid: (first, 7)})
    export_dataset(root, tmp_path / "plain", "lerobot")
    after = open_dataset(tmp_path / "plain")
    assert shown(after.episode(2), numbers) == [list(range(300 + first, 307))] * 2
    # The encoder signs the first packet of what it writes, and that packet was not copied.
    assert (b"x264" in after.videos(2)["front"].path.read_bytes()) == is_encoded
