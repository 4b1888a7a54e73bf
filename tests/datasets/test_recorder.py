"""The recorder keeps what the loop saw, step for step, whatever then happens to the process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.datasets.conftest import bars, read_bars

from demoloop.datasets import DatasetError, DatasetWriter, Episode, EpisodeRecorder, open_dataset
from demoloop.datasets.camera_stream import CameraStream, whole_frames
from demoloop.datasets.lerobot_info import read_info
from demoloop.datasets.recorder_threads import CameraWorker
from demoloop.datasets.staging import salvage
from demoloop.datasets.step_log import Picture
from demoloop.robot import Action, CameraSpec, Observation, RobotSpec, run_episode
from demoloop.robot.video import read_frames


class CountingRobot:
    """Shows its step number in everything, and reuses the memory of its pictures."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self.pictures = {name: np.zeros((32, 48, 3), np.uint8) for name in spec.camera_names}
        self.step = 0

    def reset(self) -> None:
        self.step = 0

    def observe(self) -> Observation:
        for number, picture in enumerate(self.pictures.values()):
            picture[:] = bars(self.step, number)
        return Observation(
            time=float(self.step),
            proprioception=np.full(4, self.step, np.float32),
            images=self.pictures,
            image_times={"front": self.step - 0.1, "wrist": self.step - 0.2},
        )

    def act(self, action: Action) -> Action:
        self.step += 1
        return action

    def close(self) -> None:
        pass


class Hundredths:
    """Decides on a hundredth of what it sees."""

    def reset(self) -> None:
        pass

    def decide(self, observation: Observation) -> Action:
        return np.full(2, observation.proprioception[0] / 100, np.float32)


@pytest.fixture
def empty(tmp_path: Path, spec: RobotSpec) -> Path:
    """A dataset without an episode."""
    with DatasetWriter(tmp_path / "d", spec):
        pass
    return tmp_path / "d"


def record(root: Path, steps: int = 5) -> Episode:
    """Runs the loop, commits and reads back."""
    spec = open_spec(root)
    with (
        DatasetWriter(root, spec) as writer,
        EpisodeRecorder(root, task="count", seed=3, waits=True) as recorder,
    ):
        run_episode(CountingRobot(spec), Hundredths(), steps, recorder)
        writer.commit(recorder.finish(success=True))
    return open_dataset(root).episode(0)


def open_spec(root: Path) -> RobotSpec:
    spec = read_info(root).spec
    assert spec is not None
    return spec


def leave_open(root: Path, steps: int) -> Path:
    """Records without finishing, as a killed process would; returns the open folder."""
    with EpisodeRecorder(root, task="count", seed=3, waits=True) as recorder:
        run_episode(CountingRobot(recorder.spec), Hundredths(), steps, recorder)
    (folder,) = (root / "demoloop/open").iterdir()
    return folder


def test_action_t_is_the_one_sent_after_seeing_step_t(empty: Path) -> None:
    episode = record(empty)
    np.testing.assert_allclose(episode.actions[:, 0], episode.proprioception[:, 0] / 100, rtol=1e-6)
    assert (episode.task, episode.success, episode.seed) == ("count", True, 3)


def test_pictures_are_kept_although_the_robot_reuses_their_memory(empty: Path) -> None:
    episode = record(empty)
    for number, camera in enumerate(("front", "wrist")):
        assert [read_bars(p, number) for p in episode.images[camera]] == [0, 1, 2, 3, 4]


def test_each_camera_keeps_its_own_capture_times(empty: Path) -> None:
    episode = record(empty)
    np.testing.assert_allclose(episode.time - episode.image_times["front"], 0.1)
    np.testing.assert_allclose(episode.time - episode.image_times["wrist"], 0.2)


def test_who_decided_and_what_happened_stand_at_their_step(empty: Path, spec: RobotSpec) -> None:
    robot = CountingRobot(spec)
    with (
        DatasetWriter(empty, spec) as writer,
        EpisodeRecorder(empty, task="count", waits=True) as recorder,
    ):
        for step in range(6):
            recorder.is_takeover = step in (2, 3)
            if step == 4:
                recorder.note("thumb up")
                recorder.note("fist")
            robot.step = step
            recorder(robot.observe(), np.zeros(2, np.float32))
        recorder.note("victory")
        writer.commit(recorder.finish())
    table = pq.read_table(next((empty / "data").rglob("*.parquet")))
    assert table["demoloop.takeover"].to_pylist() == [False, False, True, True, False, False]
    assert table["demoloop.event"].to_pylist() == ["", "", "", "", "thumb up; fist", "victory"]


def test_an_episode_without_a_step_is_not_finished(empty: Path) -> None:
    with (
        EpisodeRecorder(empty, task="count") as recorder,
        pytest.raises(DatasetError, match="no step was recorded"),
    ):
        recorder.finish()


def test_a_discarded_attempt_leaves_nothing(empty: Path, spec: RobotSpec) -> None:
    with EpisodeRecorder(empty, task="count", waits=True) as recorder:
        run_episode(CountingRobot(spec), Hundredths(), 5, recorder)
        recorder.discard()
    assert list((empty / "demoloop/open").iterdir()) == []


def test_a_camera_lost_on_the_way_is_named_and_the_steps_before_are_kept(
    empty: Path, spec: RobotSpec
) -> None:
    seen = CountingRobot(spec).observe()
    blind = replace(seen, images={"front": seen.images["front"]})
    with (
        DatasetWriter(empty, spec) as writer,
        EpisodeRecorder(empty, task="count", waits=True) as recorder,
    ):
        recorder(seen, np.zeros(2, np.float32))
        with pytest.raises(DatasetError, match="step 1 shows no camera 'wrist'"):
            recorder(blind, np.zeros(2, np.float32))
        writer.commit(recorder.finish())
    assert len(open_dataset(empty).episode(0)) == 1


def test_a_picture_the_camera_took_once_is_shown_again_and_is_no_drop(
    empty: Path, spec: RobotSpec
) -> None:
    robot = CountingRobot(spec)
    with (
        DatasetWriter(empty, spec) as writer,
        EpisodeRecorder(empty, task="count", waits=True) as recorder,
    ):
        for step in range(6):
            robot.step = step
            now = robot.observe()
            robot.step = step // 2 * 2  # the wrist camera has half the rate
            old = robot.observe()
            shown = replace(
                now,
                images={"front": bars(step, 0), "wrist": old.images["wrist"]},
                image_times={"front": float(step), "wrist": float(robot.step)},
            )
            recorder(shown, np.zeros(2, np.float32))
        writer.commit(recorder.finish())
    episode = open_dataset(empty).episode(0)
    assert [read_bars(p, 1) for p in episode.images["wrist"]] == [0, 0, 2, 2, 4, 4]
    assert episode.image_times["wrist"].tolist() == [0, 0, 2, 2, 4, 4]
    assert [read_bars(p, 0) for p in episode.images["front"]] == [0, 1, 2, 3, 4, 5]


class StuckStream(CameraStream):
    """A disk that does not answer until it is released."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, CameraSpec("front", 32, 48), 30)
        self.released = threading.Event()

    def add(self, picture: np.ndarray) -> None:
        self.released.wait()
        super().add(picture)


def test_a_stuck_disk_costs_pictures_that_are_counted_and_never_the_loop(tmp_path: Path) -> None:
    stream = StuckStream(tmp_path)
    worker = CameraWorker(stream, depth=3, waits=False)
    shown = [worker.put(bars(n, 0), float(n)) for n in range(10)]  # returns, so nothing waited
    stream.released.set()
    worker.stop()
    assert worker.error is None
    # Three pictures wait in the queue; the thread holds one of those.
    assert [kind for _, kind in shown] == [Picture.NEW] * 3 + [Picture.DROPPED] * 7
    assert [time for time, _ in shown] == [0, 1, 2] + [2] * 7
    assert worker.num_dropped == 7
    assert sum(1 for _ in whole_frames(tmp_path, "front")) == 10  # a frame per step all the same


def test_a_slow_camera_fills_no_queue(tmp_path: Path) -> None:
    stream = StuckStream(tmp_path)
    worker = CameraWorker(stream, depth=3, waits=False)
    shown = [worker.put(bars(n, 0), float(n // 5)) for n in range(15)]
    stream.released.set()
    worker.stop()
    assert [kind for _, kind in shown] == ([Picture.NEW] + [Picture.REPEATED] * 4) * 3
    assert worker.num_dropped == 0
    assert sum(1 for _ in whole_frames(tmp_path, "front")) == 15


# Records in real time for ever and says, after each step, how many were handed over.
RECORD = """
import sys, time
from pathlib import Path
import numpy as np
from demoloop.datasets import DatasetWriter, EpisodeRecorder
from demoloop.datasets.lerobot_info import read_info
from demoloop.robot import Observation
from tests.datasets.conftest import bars

root = Path(sys.argv[1])
with DatasetWriter(root, read_info(root).spec), EpisodeRecorder(root, task="count") as recorder:
    for step in range(100_000):
        images = {"front": bars(step, 0), "wrist": bars(step, 1)}
        times = dict.fromkeys(images, float(step))
        seen = Observation(float(step), np.full(4, step, np.float32), images, times)
        recorder(seen, np.full(2, step, np.float32))
        print(step + 1, flush=True)
        time.sleep(1 / 60)
"""


@pytest.mark.parametrize("steps", [40, 75])
def test_a_killed_recording_is_put_together_when_the_dataset_is_opened(
    empty: Path, spec: RobotSpec, steps: int
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", RECORD, str(empty)], stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == steps:
            break
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    handed_over = int(rest[-1]) if rest else steps
    with DatasetWriter(empty, spec) as writer:
        assert writer.recovered == (0,)
    episode = open_dataset(empty).episode(0)
    # How many of the last steps were still on their way is measured by benchmarks/crash.py.
    assert 30 <= len(episode) <= handed_over + 1
    assert episode.actions[:, 0].tolist() == list(range(len(episode)))
    for number, camera in enumerate(("front", "wrist")):
        assert [read_bars(p, number) for p in episode.images[camera]] == list(range(len(episode)))
    assert episode.success is None
    index = pq.read_table(empty / "meta/episodes").to_pylist()[0]
    assert index["demoloop/recovered"] is True


def test_what_is_still_being_recorded_is_not_recovered(empty: Path, spec: RobotSpec) -> None:
    with EpisodeRecorder(empty, task="count", waits=True) as recorder:
        run_episode(CountingRobot(spec), Hundredths(), 40, recorder)
        with DatasetWriter(empty, spec) as writer:
            assert writer.recovered == ()
        with DatasetWriter(empty, spec) as writer:
            assert writer.commit(recorder.finish()) == 0


def test_what_is_too_short_to_show_anything_goes_to_the_trash_whole(
    empty: Path, spec: RobotSpec
) -> None:
    folder = leave_open(empty, 29)  # of 30 per second
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with DatasetWriter(empty, spec) as writer:
        assert (writer.recovered, writer.num_episodes) == ((), 0)
    trash = empty / "demoloop/trash" / folder.name
    assert {path.name: path.read_bytes() for path in trash.iterdir()} == files


def check_prefix(folder: Path) -> int:
    """Asserts that what can be salvaged is a true beginning; returns its length."""
    staged = salvage(folder)
    if staged is None:
        return 0
    length = len(staged.steps)
    assert staged.recovered
    assert staged.steps.proprioception[:, 0].tolist() == list(range(length))
    for number, camera in enumerate(("front", "wrist")):
        frames = read_frames(folder / f"{camera}.mp4")
        assert [read_bars(frame, number) for frame in frames] == list(range(length))
    return length


@pytest.mark.parametrize("name", ["steps.log", "front.frames", "front.mp4", "wrist.mp4"])
def test_whatever_a_power_cut_leaves_of_a_file_a_true_beginning_is_recovered(
    empty: Path, tmp_path: Path, name: str
) -> None:
    folder = leave_open(empty, 60)
    size = (folder / name).stat().st_size
    lengths = []
    for cut in np.linspace(0, size, 12).astype(int):
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        os.truncate(copy / name, int(cut))
        lengths.append(check_prefix(copy))
        shutil.rmtree(copy)
    assert lengths == sorted(lengths)
    assert lengths[0] == 0 and lengths[-1] == 60 and lengths[-2] >= 30


@pytest.mark.parametrize("name", ["steps.log", "wrist.frames", "wrist.mp4"])
def test_a_flipped_bit_ends_the_episode_there_and_lets_no_wrong_step_in(
    empty: Path, tmp_path: Path, name: str
) -> None:
    folder = leave_open(empty, 45)
    rng = np.random.default_rng(0)
    data = (folder / name).read_bytes()
    for at in rng.integers(0, len(data), 12):
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(rng.integers(8))
        (copy / name).write_bytes(flipped)
        assert check_prefix(copy) <= 45
        shutil.rmtree(copy)


def test_a_power_cut_leaves_what_was_synced_meanwhile(
    empty: Path, tmp_path: Path, spec: RobotSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is taken to hold what a sync that returned has covered, and nothing else."""
    durable: dict[str, int] = {}
    fdatasync = os.fdatasync

    def watched(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        fdatasync(descriptor)
        durable[Path(os.readlink(f"/proc/self/fd/{descriptor}")).name] = size

    monkeypatch.setattr(os, "fdatasync", watched)
    robot, length = CountingRobot(spec), 0
    deadline = time.monotonic() + 20
    with EpisodeRecorder(empty, task="count", waits=True) as recorder:
        (folder,) = (empty / "demoloop/open").iterdir()
        while length < 40 and time.monotonic() < deadline:
            for _ in range(10):
                robot.step = len(recorder)
                recorder(robot.observe(), np.zeros(2, np.float32))
            time.sleep(0.1)  # a sync comes by every 0.4 s
            copy = tmp_path / "copy"
            shutil.copytree(folder, copy)
            for path in copy.iterdir():
                os.truncate(path, min(durable.get(path.name, 0), path.stat().st_size))
            length = check_prefix(copy)
            shutil.rmtree(copy)
    assert 40 <= length <= len(recorder)
