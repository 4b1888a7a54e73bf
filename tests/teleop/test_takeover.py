"""Laws of taking over: who decided is known of every step, and the arm never leaps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.teleop.hands import BLIND, DT, MIDDLE, HandheldLeader, look

from demoloop.datasets import DatasetWriter, EpisodeRecorder, open_dataset
from demoloop.robot import Action, Observation, run_episode
from demoloop.teleop import Leader, Takeover, marking
from demoloop.teleop.takeover import HANDOVER_SPEED

STEP = HANDOVER_SPEED * DT + 1e-6


class Drifting:
    """A policy that wants to be elsewhere, and after a reset somewhere else again."""

    def __init__(self) -> None:
        self.num_resets = -1  # that of the episode is none

    def reset(self) -> None:
        self.num_resets += 1

    def decide(self, observation: Observation) -> Action:
        target = MIDDLE.copy()
        target[0] += 0.8 * self.num_resets
        return target


class StiffArm:
    """Is at once where it is sent, as far as its limits on speed allow."""

    spec = BLIND

    def __init__(self, fastest: float = 10.0) -> None:
        self.position, self.time, self.fastest = MIDDLE.copy(), 0.0, fastest

    def reset(self) -> None:
        self.position, self.time = MIDDLE.copy(), 0.0

    def observe(self) -> Observation:
        return look(self.position, self.time)

    def act(self, action: Action) -> Action:
        reach = self.fastest * DT
        step = np.clip(action - self.position, -reach, reach)
        self.position = (self.position + step).astype(np.float32)
        self.time += DT
        return self.position

    def close(self) -> None:
        return


@pytest.fixture
def leader_arm() -> HandheldLeader:
    elsewhere = MIDDLE.copy()
    elsewhere[2] -= 0.7
    return HandheldLeader(elsewhere)


def run(
    takeover: Takeover, at: dict[int, Callable[[], None]], num_steps: int = 100
) -> tuple[np.ndarray, list[bool]]:
    """Returns commands (T, 6) and who decided; before step t a person does `at[t]`."""
    commands, flags = [], []

    def listen(observation: Observation, action: Action) -> None:
        takeover.sent(action)
        commands.append(action.copy())
        flags.append(takeover.is_takeover)
        at.get(len(flags), lambda: None)()

    run_episode(StiffArm(), takeover, num_steps, listen)
    return np.array(commands), flags


@pytest.mark.parametrize("is_relative", [False, True])
def test_nothing_leaps_in_either_direction(leader_arm: HandheldLeader, is_relative: bool) -> None:
    leader = Leader(leader_arm, BLIND, is_relative=is_relative)
    takeover = Takeover(Drifting(), leader)
    at = {20: takeover.take, 40: takeover.give_back, 70: takeover.take, 80: takeover.give_back}
    commands, _ = run(takeover, at, 150)
    assert np.abs(np.diff(commands, axis=0)).max() <= STEP


def test_policy_gets_its_say_in_the_end(leader_arm: HandheldLeader) -> None:
    takeover = Takeover(policy := Drifting(), Leader(leader_arm, BLIND))
    commands, _ = run(takeover, {10: takeover.take, 20: takeover.give_back}, 150)
    assert policy.num_resets == 1  # what it had planned before is of another world
    assert commands[-1] == pytest.approx(policy.decide(look(MIDDLE)))


def test_who_decided_is_known_of_every_step(leader_arm: HandheldLeader) -> None:
    takeover = Takeover(Drifting(), Leader(leader_arm, BLIND, is_relative=True))
    _, flags = run(takeover, {3: takeover.take, 5: takeover.give_back, 8: takeover.take}, 10)
    assert flags == [step in (3, 4, 8, 9) for step in range(10)]


def test_person_moves_the_arm_from_where_it_was_sent(leader_arm: HandheldLeader) -> None:
    takeover = Takeover(Drifting(), Leader(leader_arm, BLIND, is_relative=True))

    def push() -> None:
        leader_arm.pose[1] += 0.1

    commands, _ = run(takeover, {5: takeover.take, 8: push}, 12)
    assert (commands[:8] == MIDDLE).all()
    assert commands[8] - MIDDLE == pytest.approx([0, 0.1, 0, 0, 0, 0], abs=1e-6)


def test_it_begins_where_the_robot_was_really_sent(leader_arm: HandheldLeader) -> None:
    policy = Drifting()
    policy.num_resets = 0  # wants 0.8 rad further, which a slow arm has not reached
    takeover = Takeover(policy, Leader(leader_arm, BLIND, is_relative=True))
    robot, commands = StiffArm(fastest=1.0), []

    def listen(observation: Observation, action: Action) -> None:
        takeover.sent(action)
        commands.append(action.copy())
        if len(commands) == 5:
            takeover.take()

    run_episode(robot, takeover, 10, listen)
    assert (commands[5:] == commands[4]).all()


def test_a_new_episode_begins_with_the_policy(leader_arm: HandheldLeader) -> None:
    takeover = Takeover(Drifting(), Leader(leader_arm, BLIND))
    run(takeover, {3: takeover.take}, 6)
    _, flags = run(takeover, {}, 3)
    assert flags == [False] * 3


def test_taken_at_the_first_step_begins_where_the_arm_is(leader_arm: HandheldLeader) -> None:
    takeover = Takeover(Drifting(), Leader(leader_arm, BLIND, is_relative=True))
    takeover.take()
    assert takeover.decide(look(MIDDLE)) == pytest.approx(MIDDLE)


def test_takeover_is_recorded_with_the_steps(leader_arm: HandheldLeader, tmp_path: Path) -> None:
    takeover = Takeover(Drifting(), Leader(leader_arm, BLIND, is_relative=True))
    root = tmp_path / "dataset"
    with DatasetWriter(root, BLIND) as writer, EpisodeRecorder(root, task="t") as recorder:
        record = marking(takeover, recorder)

        def listen(observation: Observation, action: Action) -> None:
            record(observation, action)
            {4: takeover.take, 7: takeover.give_back}.get(len(recorder), lambda: None)()

        run_episode(StiffArm(), takeover, 10, listen)
        writer.commit(recorder.finish())
    taken = open_dataset(root).episode(0).is_takeover
    assert taken is not None
    assert taken.tolist() == [step in (4, 5, 6) for step in range(10)]
