"""Laws of demonstrations by a leader arm: recorded by the one loop, and replayed to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.teleop.hands import look

from demoloop.datasets import DatasetWriter, EpisodeRecorder, open_dataset
from demoloop.robot import Action, Agent, CameraSpec, Observation, run_episode
from demoloop.robot.arms.so101 import SO101
from demoloop.sim.make import make_robot
from demoloop.sim.robot import SimRobot
from demoloop.teleop import Leader

SEED = 10_000
SPEC = replace(SO101, cameras=(CameraSpec("front", 48, 48),))


class SkilledHand:
    """A leader arm in the hand of the task's expert, who looks at the follower."""

    spec = SPEC

    def __init__(self, robot: SimRobot, expert: Agent) -> None:
        self._robot, self._expert = robot, expert
        self._has_begun = False

    def observe(self) -> Observation:
        if not self._has_begun:
            self._expert.reset()
            self._has_begun = True
        return look(self._expert.decide(look(self._robot.positions().astype(np.float32))))


class Replay:
    """Decides what was recorded."""

    def __init__(self, actions: np.ndarray) -> None:
        self._actions = actions

    def reset(self) -> None:
        self._next: Iterator[Action] = iter(self._actions)

    def decide(self, observation: Observation) -> Action:
        return next(self._next)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One demonstration by a leader arm."""
    root = tmp_path_factory.mktemp("teleop") / "dataset"
    robot = make_robot("pick_place", [SEED], spec=SPEC)
    leader = Leader(SkilledHand(robot, robot.task.make_expert(robot, 0)), SPEC)
    task = robot.task.instruction
    with (
        DatasetWriter(root, SPEC) as writer,
        EpisodeRecorder(root, task=task, seed=SEED, waits=True) as recorder,
    ):
        run_episode(robot, leader, robot.max_steps, recorder, is_over=robot.succeeded)
        writer.commit(recorder.finish(success=robot.succeeded()))
    robot.close()
    return root


def test_a_skilled_hand_solves_the_task_by_its_leader(recorded: Path) -> None:
    assert open_dataset(recorded).episode(0).success


def test_replaying_a_demonstration_reproduces_its_states(recorded: Path) -> None:
    episode = open_dataset(recorded).episode(0)
    robot = make_robot("pick_place", [SEED], spec=replace(SPEC, cameras=()))
    states = []
    run_episode(
        robot, Replay(episode.actions), len(episode), lambda o, _: states.append(o.proprioception)
    )
    np.testing.assert_array_equal(np.array(states), episode.proprioception)
    assert robot.succeeded()
