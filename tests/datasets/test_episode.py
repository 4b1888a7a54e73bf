"""The recorder keeps what the loop saw, step for step."""

from __future__ import annotations

import numpy as np
import pytest

from demoloop.datasets import DatasetError, Episode, EpisodeRecorder
from demoloop.robot import Action, Observation, RobotSpec, run_episode


class CountingRobot:
    """Shows its step number in everything, and reuses the memory of its picture."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self.picture = np.zeros((32, 48, 3), np.uint8)
        self.step = 0

    def reset(self) -> None:
        self.step = 0

    def observe(self) -> Observation:
        self.picture[:] = self.step
        return Observation(
            time=float(self.step),
            proprioception=np.full(4, self.step, np.float32),
            images={"front": self.picture, "wrist": self.picture},
            image_times={"front": self.step - 0.1, "wrist": self.step - 0.2},
        )

    def act(self, action: Action) -> Action:
        self.step += 1
        return action

    def close(self) -> None:
        pass


class Tenths:
    """Decides on a tenth of what it sees."""

    def reset(self) -> None:
        pass

    def decide(self, observation: Observation) -> Action:
        return np.full(2, observation.proprioception[0] / 10, np.float32)


def record(spec: RobotSpec, recorder: EpisodeRecorder) -> Episode:
    run_episode(CountingRobot(spec), Tenths(), 5, recorder)
    return recorder.finish(task="count", success=True, seed=3)


def test_action_t_is_the_one_sent_after_seeing_step_t(spec: RobotSpec) -> None:
    episode = record(spec, EpisodeRecorder())
    np.testing.assert_allclose(episode.actions[:, 0], episode.proprioception[:, 0] / 10, rtol=1e-6)


def test_pictures_are_kept_although_the_robot_reuses_their_memory(spec: RobotSpec) -> None:
    episode = record(spec, EpisodeRecorder())
    assert episode.images["wrist"][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_each_camera_keeps_its_own_capture_times(spec: RobotSpec) -> None:
    episode = record(spec, EpisodeRecorder())
    np.testing.assert_allclose(episode.time - episode.image_times["front"], 0.1)
    np.testing.assert_allclose(episode.time - episode.image_times["wrist"], 0.2)


def test_finishing_begins_a_new_episode(spec: RobotSpec) -> None:
    recorder = EpisodeRecorder()
    assert len(record(spec, recorder)) == len(record(spec, recorder)) == 5


def test_a_cleared_attempt_is_forgotten(spec: RobotSpec) -> None:
    recorder = EpisodeRecorder()
    run_episode(CountingRobot(spec), Tenths(), 5, recorder)
    recorder.clear()
    with pytest.raises(DatasetError, match="no step was recorded"):
        recorder.finish(task="count")


def test_a_camera_lost_on_the_way_is_named(spec: RobotSpec) -> None:
    recorder, robot = EpisodeRecorder(), CountingRobot(spec)
    seen = robot.observe()
    recorder(seen, np.zeros(2, np.float32))
    left = {"front": seen.images["front"]}
    recorder(
        Observation(seen.time, seen.proprioception, left, seen.image_times), np.zeros(2, np.float32)
    )
    with pytest.raises(DatasetError, match="step 1 shows cameras front, step 0 showed front, wr"):
        recorder.finish(task="count")
