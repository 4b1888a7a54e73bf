"""Laws of the task on the emulated arm: real bytes, real sockets, a real process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from demoloop.robot import Action, Observation, WallClock, run_episode
from demoloop.robot.safety import SafetyError
from demoloop.sim.emulated import EmulatedRobot
from demoloop.sim.evaluate_live import evaluate_emulated
from demoloop.sim.make import find_task, make_robot
from demoloop.sim.randomize import Disturbance
from demoloop.sim.robot import SimRobot
from demoloop.sim.world import is_at_rest

pytestmark = pytest.mark.realtime

SEED = 10_000


@pytest.fixture(scope="module")
def robot() -> Iterator[EmulatedRobot]:
    with EmulatedRobot(find_task("pick_place"), count(SEED)) as robot:
        yield robot


def begun(robot: EmulatedRobot) -> SimRobot:
    """The next seed on the emulated arm, and the same seed in simulation."""
    robot.reset()
    simulated = make_robot("pick_place", [robot.seed])
    simulated.reset()
    return simulated


def test_a_seed_has_its_objects_and_its_home_where_the_simulation_has_them(
    robot: EmulatedRobot,
) -> None:
    robot.reset()
    simulated = begun(robot)
    there, here = simulated.data.body("cube"), robot.data.body("cube")
    np.testing.assert_allclose(here.xpos, there.xpos, atol=1e-3)
    np.testing.assert_allclose(here.xmat, there.xmat, atol=1e-2)
    assert is_at_rest(robot.data, "cube")
    np.testing.assert_allclose(robot.positions(), simulated.positions(), atol=0.06)
    assert not robot.succeeded()


def test_its_pictures_are_those_of_the_simulation_at_the_same_joints(robot: EmulatedRobot) -> None:
    simulated = begun(robot)
    seen = robot.observe()  # everything is at rest, so that a moment ago looks the same
    simulated.data.qpos[:] = robot.data.qpos
    mujoco.mj_forward(simulated.model, simulated.data)
    for camera in robot.spec.cameras:
        expected = simulated.render(camera.name, camera.height, camera.width).astype(int)
        apart = np.abs(seen.images[camera.name] - expected)
        assert apart.mean() < 0.1, camera.name  # of 255; the last micrometre of coming to rest
        assert np.quantile(apart, 0.99) <= 2, camera.name
    simulated.close()


def test_an_arm_that_was_stopped_is_put_back_before_the_next_episode(robot: EmulatedRobot) -> None:
    robot.reset()
    assert robot.supervised.estop("test", 5.0)
    with pytest.raises(SafetyError, match="FAULT"):
        robot.act(np.array([0, 0, 0, 0, 0, 0.5], np.float32))
    simulated = begun(robot)
    assert robot.supervised.fault is None
    np.testing.assert_allclose(robot.positions(), simulated.positions(), atol=0.06)


def test_the_expert_solves_the_task_through_serial_bytes(robot: EmulatedRobot) -> None:
    expert = robot.task.make_expert(robot, 0)
    for _ in range(2):  # on a busy machine one may be late for everything
        steps = robot.max_steps
        run_episode(robot, expert, steps, is_over=robot.is_over, clock=WallClock())
        if robot.succeeded():
            return
    assert robot.succeeded()


def test_what_no_force_moves_is_placed_by_the_seed_too() -> None:
    with EmulatedRobot(find_task("push"), [SEED]) as robot:
        robot.reset()
        simulated = make_robot("push", [SEED])
        simulated.reset()
        front = robot.observe().images["front"].astype(int)
        simulated.data.qpos[:] = robot.data.qpos
        mujoco.mj_forward(simulated.model, simulated.data)
        expected = simulated.render("front", *front.shape[:2])
        simulated.close()
    assert np.abs(front - expected).mean() < 0.1


def test_a_nudge_moves_the_arm_and_never_stands_in_the_action() -> None:
    class Leans(Disturbance):
        def torque(self, dt: float) -> NDArray[np.float64]:
            return np.array([0.7, 0.0, 0.0, 0.0, 0.0])

    sent: list[Action] = []
    with EmulatedRobot(find_task("pick_place"), [SEED], disturbance=Leans()) as robot:
        robot.reset()
        pan = robot.positions()[0]
        command = np.array([pan, -1.15, 0.95, 1.45, 0.0, 0.43], np.float32)
        for _ in range(25):
            robot.observe()
            sent.append(robot.act(command))
            time.sleep(0.04)
        assert robot.positions()[0] > pan + 0.02  # rad
        assert np.abs(np.array(sent)[:, 0] - pan).max() < 0.01  # rad: half of what the nudge moved


def test_an_agent_that_leaps_is_stopped_and_judged_to_have_failed() -> None:
    class Leaper:
        def reset(self) -> None:
            self._num_steps = 0

        def decide(self, observation: Observation) -> Action:
            self._num_steps += 1
            pan = 0.0 if self._num_steps < 25 else 1.5
            return np.array([pan, -1.15, 0.95, 1.45, 0.0, 0.43], np.float32)

    result = evaluate_emulated("pick_place", lambda _: Leaper(), [0, 1], progress=False)
    assert result.num_successes == 0
    assert [episode.num_steps for episode in result.episodes] == [24, 24]
