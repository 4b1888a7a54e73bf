"""What is committed stays, whatever happens to the process or the disk."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from demoloop.datasets import (
    DatasetError,
    DatasetWriter,
    Episode,
    disk,
    open_dataset,
    stage_episode,
)
from demoloop.robot import CameraSpec, RobotSpec

Make = Callable[..., Episode]


def test_an_episode_reads_back_as_it_was_written(root: Path, make_episode: Make) -> None:
    written, read = make_episode(2, 6), open_dataset(root).episode(1)
    for name in ("time", "proprioception", "actions"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    for camera, times in written.image_times.items():
        np.testing.assert_array_equal(read.image_times[camera], times)
    assert (read.task, read.success, read.seed) == (written.task, written.success, written.seed)


def test_every_frame_reads_back_at_its_step(
    root: Path, numbers: Callable[[np.ndarray, int], int]
) -> None:
    dataset = open_dataset(root)
    for i, (seed, steps) in enumerate([(1, 5), (2, 6), (3, 7)]):
        for c, camera in enumerate(("front", "wrist")):
            found = [numbers(frame, c) for frame in dataset.frames(i, camera)]
            assert found == [100 * seed + t for t in range(steps)]


def test_a_random_read_decodes_at_most_two_frames(root: Path) -> None:
    for path in (root / "videos").rglob("*.mp4"):
        with av.open(str(path)) as container:
            keys = [frame.key_frame for frame in container.decode(video=0)]
        assert keys[::2] == [True] * len(keys[::2])


def test_an_unjudged_episode_stays_unjudged(
    tmp_path: Path, spec: RobotSpec, make_episode: Make
) -> None:
    with DatasetWriter(tmp_path / "d", spec) as writer:
        writer.add(make_episode(0))
    episode = open_dataset(tmp_path / "d").episodes[0]
    assert episode.success is None and episode.seed is None


def test_the_spec_travels_with_the_dataset(root: Path, spec: RobotSpec) -> None:
    assert open_dataset(root).spec == spec


def test_appending_writes_no_data_or_video_again(
    root: Path, spec: RobotSpec, make_episode: Make
) -> None:
    old = [p for part in ("data", "videos") for p in (root / part).rglob("*.*")]
    before = {path: path.stat().st_ino for path in old}
    with DatasetWriter(root, spec) as writer:
        assert writer.add(make_episode(4, task="stack")) == 3
    assert {path: path.stat().st_ino for path in old} == before
    assert [e.task for e in open_dataset(root).episodes][2:] == ["pick the cube", "stack"]


def test_a_hundred_and_one_episodes_fill_two_index_files(
    tmp_path: Path, spec: RobotSpec, make_episode: Make
) -> None:
    blind = replace(spec, cameras=())
    episode = replace(make_episode(1, 2), images={}, image_times={})
    for count in (60, 41):  # appending must find the half-filled file
        with DatasetWriter(tmp_path / "d", blind) as writer:
            for _ in range(count):
                writer.add(episode)
    assert len(list((tmp_path / "d/meta/episodes").rglob("*.parquet"))) == 2
    dataset = open_dataset(tmp_path / "d")
    assert [e.index for e in dataset.episodes] == list(range(101))
    index = pq.read_table(tmp_path / "d/meta/episodes").to_pydict()
    assert index["dataset_from_index"] == list(range(0, 202, 2))


def test_stats_of_a_dataset_written_in_two_sessions_cover_both(
    root: Path, spec: RobotSpec, make_episode: Make
) -> None:
    with DatasetWriter(root, spec) as writer:
        writer.add(make_episode(4))
    stats = json.loads((root / "meta/stats.json").read_text())["action"]
    dataset = open_dataset(root)
    actions = np.concatenate([dataset.lowdim(i).actions for i in range(4)]).astype(np.float64)
    np.testing.assert_allclose(stats["mean"], actions.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats["std"], actions.std(axis=0), rtol=1e-12)
    assert stats["count"] == [24]


def test_staged_episodes_get_their_number_in_the_order_of_commits(
    tmp_path: Path, spec: RobotSpec, make_episode: Make
) -> None:
    with DatasetWriter(tmp_path / "d", spec) as writer:
        staged = [stage_episode(writer.root, make_episode(seed)) for seed in (1, 2)]
        assert [writer.commit(s) for s in reversed(staged)] == [0, 1]
    assert [e.seed for e in open_dataset(tmp_path / "d").episodes] == [2, 1]


def test_another_joint_is_named(root: Path, spec: RobotSpec) -> None:
    joints = (replace(spec.joints[0], high=1.5), spec.joints[1])
    with pytest.raises(DatasetError, match="joint 'shoulder'"):
        DatasetWriter(root, replace(spec, joints=joints)).__enter__()


def test_another_camera_is_named(root: Path, spec: RobotSpec) -> None:
    cameras = (spec.cameras[0], CameraSpec("top", 32, 48))
    with pytest.raises(DatasetError, match=r"camera 'wrist' .* absent on the robot"):
        DatasetWriter(root, replace(spec, cameras=cameras)).__enter__()


def test_a_folder_with_other_things_is_not_touched(tmp_path: Path, spec: RobotSpec) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(DatasetError, match="not empty and no dataset"):
        DatasetWriter(tmp_path, spec).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_writer_killed_while_creating_can_begin_again(tmp_path: Path, spec: RobotSpec) -> None:
    (tmp_path / "demoloop").mkdir()
    (tmp_path / "demoloop/lock").touch()
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json.tmp").write_text("{")
    with DatasetWriter(tmp_path, spec) as writer:
        assert writer.num_episodes == 0


def test_two_writers_at_once_are_refused(root: Path, spec: RobotSpec) -> None:
    with (
        DatasetWriter(root, spec),
        pytest.raises(DatasetError, match="written by another process"),
    ):
        DatasetWriter(root, spec).__enter__()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda e: {"actions": e.actions[:, :1]}, "shoulder, gripper"),
        (
            lambda e: {"actions": e.actions * np.array([1, np.nan], np.float32)},
            "gripper",
        ),
        (lambda e: {"images": {"front": e.images["front"]}}, "'wrist'"),
        (lambda e: {"images": {**e.images, "top": e.images["front"]}}, "'top'"),
        (lambda e: {"images": {**e.images, "front": e.images["front"][:, 1:]}}, "'front'"),
        (lambda e: {"proprioception": e.proprioception[1:]}, "proprioception"),
        (lambda e: {"image_times": {}}, "'front'"),
    ],
)
def test_an_episode_that_does_not_fit_is_refused_by_name(
    root: Path,
    make_episode: Make,
    change: Callable[[Episode], dict[str, object]],
    named: str,
) -> None:
    episode = make_episode(4)
    with pytest.raises(DatasetError, match=named):
        stage_episode(root, replace(episode, **change(episode)))


# A process that records for ever and says how many episodes are committed. With KILL_AT=n it
# kills itself before the n-th rename of its second commit; with n = 100, when the files are in
# their places and the line of the journal is not.
RECORD = """
import os, signal, sys
from pathlib import Path
import numpy as np
from demoloop.datasets import DatasetWriter, Episode, lerobot_write
from demoloop.robot import CameraSpec, JointSpec, RobotSpec
side = int(os.environ.get("SIDE", "16"))
hip, front = JointSpec("hip", -1.0, 1.0, 1.0, 1.0), CameraSpec("front", side, side)
spec = RobotSpec("one_joint", (hip,), (front,), 30.0)

def episode(n):
    steps = 3 + n % 3
    time = np.arange(steps) / 30
    seen, sent = np.full((steps, 2), n, np.float32), np.full((steps, 1), n, np.float32)
    images = np.full((steps, side, side, 3), n % 8 * 30, np.uint8)
    if side > 16:  # noise, which fills a disk
        images[:] += np.random.default_rng(n).integers(0, 40, images.shape, np.uint8)
    return Episode(f"task {n}", time, seen, sent, {"front": images}, {"front": time}, True, n)

kill_at, rename, count = int(os.environ.get("KILL_AT", "0")), os.replace, 0
def replace_or_die(source, target):
    global count
    count += 1
    if count == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)

with DatasetWriter(Path(sys.argv[1]), spec) as writer:
    if kill_at and writer.num_episodes == 0:
        writer.add(episode(0))
        os.replace = replace_or_die
        if kill_at == 100:
            lerobot_write.append_entry = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    for _ in range(int(sys.argv[2])):
        n = writer.num_episodes
        writer.add(episode(n))
        print(n + 1, flush=True)
"""


def record(root: Path, count: int, kill_at: int = 0, side: int = 16) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RECORD, str(root), str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "KILL_AT": str(kill_at), "SIDE": str(side)},
    )


def check_recorded(root: Path, at_least: int) -> int:
    """Asserts that every episode is whole and itself; returns how many there are."""
    dataset = open_dataset(root)
    assert dataset.missing == ()
    assert len(dataset.episodes) >= at_least
    for n, info in enumerate(dataset.episodes):
        assert (info.index, info.seed, info.task) == (n, n, f"task {n}")
        episode = dataset.episode(n)
        assert (episode.actions == n).all() and len(episode) == 3 + n % 3
        assert abs(int(episode.images["front"][-1].mean()) - n % 8 * 30) < 8  # codec loss
    return len(dataset.episodes)


@pytest.mark.parametrize("rename", [1, 2, 3, 4, 5, 6, 7, 8, 100])
def test_a_kill_before_any_rename_of_a_commit_loses_nothing_committed(
    tmp_path: Path, rename: int
) -> None:
    process = record(tmp_path, 1, kill_at=rename)
    assert process.wait() == -signal.SIGKILL
    assert check_recorded(tmp_path, 1) == 1
    # Before the second rename nobody knows whether the episode is to be kept, and this one is too
    # short to show anything; from then on the commit is completed when the dataset is opened.
    kept = 1 if rename <= 2 else 2
    assert record(tmp_path, 0).wait() == 0
    assert check_recorded(tmp_path, kept) == kept
    assert len(list((tmp_path / "data").rglob("*.parquet*"))) == kept
    assert len(list((tmp_path / "videos").rglob("*.mp4*"))) == kept
    assert list((tmp_path / "demoloop/open").iterdir()) == []
    assert len(list((tmp_path / "demoloop/trash").glob("*"))) == 2 - kept
    assert record(tmp_path, 1).wait() == 0  # and recording goes on
    assert check_recorded(tmp_path, kept + 1) == kept + 1


def test_random_kills_lose_nothing_committed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    committed = 0
    for _ in range(5):
        process = record(tmp_path, 1000)
        assert process.stdout is not None
        for line in process.stdout:
            committed = int(line)
            if committed >= 3 and rng.random() < 0.3:
                break
        try:
            process.wait(timeout=rng.uniform(0, 0.05))
        except subprocess.TimeoutExpired:
            process.kill()
        rest = process.stdout.read().split()
        process.wait()
        committed = max([committed, *map(int, rest)])
        assert check_recorded(tmp_path, committed) <= committed + 1


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Lets the system refuse files beyond a size, as a full disk would."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


# A video, a data file, the journal, an index is too large; with the last the episode is in.
@pytest.mark.parametrize(("size", "safe"), [(500, 3), (1500, 3), (8000, 3), (30000, 4)])
def test_a_full_disk_says_how_many_episodes_are_safe(
    root: Path,
    spec: RobotSpec,
    make_episode: Make,
    small_files: Callable[[int], None],
    size: int,
    safe: int,
) -> None:
    with DatasetWriter(root, spec) as writer:
        small_files(size)
        with pytest.raises(DatasetError, match=f"disk is full; {safe} episodes are safe"):
            writer.add(make_episode(4))
        small_files(resource.RLIM_INFINITY)
        assert len(open_dataset(root).episodes) == 3
        assert len(list((root / "data").rglob("*.*"))) == safe  # lerobot reads whatever is there
        assert writer.add(make_episode(5)) == safe  # with room again it goes on
    assert [e.seed for e in open_dataset(root).episodes] == [*[1, 2, 3, 4][:safe], 5]


# In a mount namespace of its own, so that the small disk goes when the process does.
FILL = 'mount -t tmpfs -o size=40m tmpfs "$1" && "$2" -c "$3" "$1/d" 1000; cp -r "$1/d" "$4"'


@pytest.mark.skipif(
    subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0,
    reason="only root may mount a small disk; a limit on file sizes tests the same data path",
)
def test_a_really_full_disk_loses_nothing_committed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    arguments = [tmp_path / "disk", sys.executable, RECORD, tmp_path / "copy"]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", FILL, "sh", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "SIDE": "256"},
    )
    said = re.search(r"disk is full; (\d+) episodes are safe", done.stderr)
    assert said is not None
    safe = int(said[1])
    # The last one may have been committed from the reserve, and the disk's fullness said then.
    assert len(done.stdout.split()) in (safe, safe - 1) and safe > 5
    assert not (tmp_path / "copy/demoloop/ballast").exists()
    assert (
        record(tmp_path / "copy", 0, side=256).wait() == 0
    )  # there is room now, and it is put in order
    dataset = open_dataset(tmp_path / "copy")
    assert dataset.missing == () and len(dataset.episodes) in (safe, safe + 1)
    numbers = [dataset.episode(n).actions[0, 0] for n in range(len(dataset.episodes))]
    assert numbers == list(range(len(dataset.episodes)))


# Records in one go until the disk is full, then keeps what could be written of the episode.
RESCUE = """
import sys
from pathlib import Path
import numpy as np
from demoloop.datasets import DatasetError, DatasetWriter, EpisodeRecorder
from demoloop.robot import CameraSpec, JointSpec, Observation, RobotSpec
root = Path(sys.argv[1])
hip, front = JointSpec("hip", -1.0, 1.0, 1.0, 1.0), CameraSpec("front", 256, 256)
spec = RobotSpec("one_joint", (hip,), (front,), 30.0)
rng = np.random.default_rng(0)
with DatasetWriter(root, spec) as writer:
    with EpisodeRecorder(root, task="fill the disk", waits=True) as recorder:
        try:
            for step in range(10**6):
                picture = rng.integers(0, 255, (256, 256, 3), np.uint8)
                seen = np.full(2, step, np.float32)
                recorder(Observation(step, seen, {"front": picture}, {"front": step}), seen[:1])
        except DatasetError as error:
            print(error, file=sys.stderr)
            print(len(recorder), writer.commit(recorder.rescue()))
"""


@pytest.mark.skipif(
    subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0,
    reason="only root may mount a small disk; a limit on file sizes tests the same data path",
)
def test_an_episode_that_meets_a_full_disk_is_kept_up_to_there(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    arguments = [tmp_path / "disk", sys.executable, RESCUE, tmp_path / "copy"]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", FILL.replace("40m", "29m"), "sh", *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert "disk is full; 0 episodes are safe" in done.stderr
    steps, index = map(int, done.stdout.split())
    dataset = open_dataset(tmp_path / "copy")
    (info,) = dataset.episodes
    assert index == 0 and info.recovered and info.success is None
    assert 30 < info.length <= steps
    assert dataset.lowdim(0).actions[:, 0].tolist() == list(range(info.length))
    assert sum(1 for _ in dataset.frames(0, "front")) == info.length


def test_a_disk_without_room_is_refused_before_anything_is_recorded(
    tmp_path: Path, spec: RobotSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda root: 2_000_000)
    with pytest.raises(DatasetError, match=r"2 MB are free, .* make room for 8 MB"):
        DatasetWriter(tmp_path / "d", spec).__enter__()
