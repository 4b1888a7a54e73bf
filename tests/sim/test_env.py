"""Laws of the Gymnasium face: it passes Gymnasium's own checker and is the same world."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from demoloop.robot import ActionError, run_episode
from demoloop.robot.arms.so101 import SO101
from demoloop.sim import SimError, TaskEnv, make_robot
from demoloop.sim.randomize import MODERATE

IDS = ["demoloop/PickPlace-v0", "demoloop/Stack-v0", "demoloop/Push-v0"]
HOLD = np.array([0, -1.15, 0.95, 1.45, 0, 0.43], np.float32)


# The checker would like actions within -1..1 and finite proprioception; joints are in radians.
@pytest.mark.filterwarnings("ignore:.*(symmetric and normalized|probably too).*")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", IDS)
def test_environment_passes_gymnasiums_checker(name: str) -> None:
    env = gymnasium.make(name, render_mode="rgb_array")
    check_env(env.unwrapped)
    env.close()


def test_same_seed_gives_the_same_observations_to_the_bit() -> None:
    env = TaskEnv("pick_place")
    rows = []
    for _ in range(2):
        first, _ = env.reset(seed=5)
        rows.append([first, *(env.step(HOLD)[0] for _ in range(3))])
    env.close()
    for one, other in zip(*rows, strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_resets_without_a_seed_go_through_different_worlds_that_the_first_seed_decides() -> None:
    env = TaskEnv("stack")
    seeds = []
    for _ in range(2):
        env.reset(seed=5)
        seeds.append([env.reset()[1]["seed"] for _ in range(3)])
    env.close()
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 3


def test_seed_of_the_environment_is_the_seed_of_an_evaluation() -> None:
    env, robot = TaskEnv("pick_place"), make_robot("pick_place", [5])
    robot.reset()
    seen, _ = env.reset(seed=5)
    np.testing.assert_array_equal(seen["front"], robot.observe().images["front"])
    env.close()
    robot.close()


def test_actions_of_a_solved_episode_earn_one_reward_at_its_end() -> None:
    robot = make_robot("pick_place", [5])
    actions: list[np.ndarray] = []
    expert = robot.task.make_expert(robot, 0)
    run_episode(
        robot, expert, robot.max_steps, lambda _, a: actions.append(a), is_over=robot.succeeded
    )
    robot.close()
    env = TaskEnv("pick_place")
    env.reset(seed=5)
    steps = [env.step(action)[1:4] for action in actions]
    env.close()
    assert steps[-1] == (1.0, True, False)
    assert set(steps[:-1]) == {(0.0, False, False)}


def test_worlds_of_a_randomised_environment_look_different() -> None:
    plain = TaskEnv("pick_place")
    env = gymnasium.make("demoloop/PickPlace-v0", randomization=MODERATE)
    one, other, again = (e.reset(seed=5)[0]["front"] for e in (plain, env, env))
    plain.close()
    env.close()
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(other, again)


def test_episode_is_truncated_when_its_time_is_over() -> None:
    env = TaskEnv("pick_place")
    env.reset(seed=5)
    max_steps = round(12.0 * SO101.control_hz)
    truncated = [env.step(HOLD)[3] for _ in range(max_steps)]
    env.close()
    assert truncated == [False] * (max_steps - 1) + [True]


def test_spectator_is_rendered_on_demand() -> None:
    env = TaskEnv("push", render_mode="rgb_array")
    env.reset(seed=5)
    picture = env.render()
    env.close()
    assert picture is not None
    assert picture.shape == (240, 320, 3)
    assert picture.std() > 20


def test_unknown_render_mode_is_refused_by_name() -> None:
    with pytest.raises(SimError, match="'human'"):
        TaskEnv("push", render_mode="human")


def test_action_beyond_a_limit_is_refused() -> None:
    env = TaskEnv("pick_place")
    env.reset(seed=5)
    with pytest.raises(ActionError, match="gripper"):
        env.step(np.array([0, 0, 0, 0, 0, 1.5], np.float32))
    env.close()
