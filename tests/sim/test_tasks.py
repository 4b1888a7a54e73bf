"""Laws of every task: who can do it, where things start, and what counts as done."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from demoloop.robot import run_episode
from demoloop.robot.arms.so101 import GRIPPER_CLOSED, GRIPPER_OPEN, MJCF, SO101
from demoloop.robot.kinematics import Kinematics
from demoloop.sim import TASKS, SimError, SimRobot, make_robot
from demoloop.sim.randomize import MODERATE, Disturbance
from demoloop.sim.robot import HOME
from demoloop.sim.tasks import pick_place, push, sort, stack
from demoloop.sim.world import set_free_body, touches_arm

BLIND = replace(SO101, cameras=())  # rendering is most of a step's time; an expert needs none
MOVABLE = {
    "pick_place": ["cube"], "stack": ["red", "green"], "push": ["block"], "sort": [*sort.CUBES]
}  # fmt: skip
AREAS = {"pick_place": pick_place.AREA, "stack": stack.AREA, "push": push.AREA, "sort": sort.AREA}


def starts(task: str, body: str, count: int) -> np.ndarray:
    """Where `body` lies at the start of `count` episodes, and its yaw: (count, 3) [m, m, rad]."""
    robot = make_robot(task, spec=BLIND)
    rows = []
    for seed in range(count):
        TASKS[task].place(robot.model, robot.data, np.random.default_rng(seed))
        mujoco.mj_kinematics(robot.model, robot.data)
        thing = robot.data.body(body)
        rows.append([*thing.xpos[:2], np.arctan2(thing.xmat[3], thing.xmat[0])])
    return np.array(rows)


def bring_to_the_end(robot: SimRobot) -> str:
    """Puts things where the task wants them, the arm at home; returns the one it put last."""
    model, data = robot.model, robot.data
    robot.reset()
    data.qpos[:6], data.qvel[:] = HOME, 0.0
    if robot.task.name == "pick_place":
        set_free_body(model, data, "cube", data.body("bin").xpos + np.array([0, 0, 0.019]), 0.0)
        body = "cube"
    elif robot.task.name == "stack":
        set_free_body(model, data, "green", np.array([0.22, 0.0, 0.015]), 0.0)
        set_free_body(model, data, "red", np.array([0.22, 0.0, 0.045]), 0.0)
        body = "red"
    elif robot.task.name == "sort":
        body, tray = sort.wanted(data)
        set_free_body(model, data, body, data.body(tray).xpos + np.array([0, 0, 0.019]), 0.0)
    else:
        set_free_body(model, data, "block", data.body("outline").xpos + np.array([0, 0, 0.01]), 0.0)
        data.mocap_quat[0] = 1.0, 0.0, 0.0, 0.0
        body = "block"
    mujoco.mj_forward(model, data)
    return body


@pytest.mark.parametrize("task", TASKS)
def test_task_is_solved_when_all_is_in_its_place_and_the_arm_is_away(task: str) -> None:
    robot = make_robot(task, spec=BLIND)
    bring_to_the_end(robot)
    assert TASKS[task].is_solved(robot.model, robot.data)


@pytest.mark.parametrize("task", TASKS)
def test_task_is_not_solved_while_the_arm_touches(task: str) -> None:
    robot = make_robot(task, spec=BLIND)
    body = bring_to_the_end(robot)
    where = np.array(robot.data.body(body).xpos)
    down = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    joints = Kinematics(MJCF, "grasp").inverse(where, down, HOME, num_iterations=100)
    robot.data.qpos[:5] = joints[:5]
    robot.data.qpos[5] = GRIPPER_CLOSED + 0.2 * (GRIPPER_OPEN - GRIPPER_CLOSED)
    mujoco.mj_forward(robot.model, robot.data)
    assert touches_arm(robot.model, robot.data, body)
    assert not TASKS[task].is_solved(robot.model, robot.data)


@pytest.mark.parametrize("task", TASKS)
def test_task_is_not_solved_while_something_moves(task: str) -> None:
    robot = make_robot(task, spec=BLIND)
    body = bring_to_the_end(robot)
    robot.data.joint(body).qvel[0] = 0.05  # m/s
    mujoco.mj_forward(robot.model, robot.data)
    assert not TASKS[task].is_solved(robot.model, robot.data)


@pytest.mark.parametrize("task", TASKS)
def test_task_does_not_start_solved(task: str) -> None:
    robot = make_robot(task, range(50), spec=BLIND)
    for _ in range(50):
        robot.reset()
        assert not TASKS[task].is_solved(robot.model, robot.data)


@pytest.mark.parametrize("disturbed", [False, True], ids=["calm", "disturbed"])
@pytest.mark.parametrize("task", TASKS)
def test_expert_solves(task: str, disturbed: bool) -> None:
    seeds = range(10_000, 10_005)
    robot = make_robot(task, seeds, spec=BLIND, disturbance=Disturbance() if disturbed else None)
    expert = TASKS[task].make_expert(robot, 0)
    for seed in seeds:
        run_episode(robot, expert, robot.max_steps, is_over=robot.succeeded)
        assert robot.succeeded(), f"seed {seed}"


@pytest.mark.parametrize("task", TASKS)
def test_expert_solves_randomised_worlds(task: str) -> None:
    seeds = range(10_000, 10_003)
    robot = make_robot(task, seeds, spec=BLIND, randomization=MODERATE)
    expert = TASKS[task].make_expert(robot, 0)
    for seed in seeds:
        run_episode(robot, expert, robot.max_steps, is_over=robot.succeeded)
        assert robot.succeeded(), f"seed {seed}"


@pytest.mark.parametrize(
    ("task", "body"), [(t, b) for t, bodies in MOVABLE.items() for b in bodies]
)
def test_things_start_anywhere_in_the_area(task: str, body: str) -> None:
    # Each of 4 x 4 cells gets 25 of 400 on average; a uniform draw leaves 6..56 with p < 1e-4.
    # The cubes of stack keep apart and the T keeps off its outline, which bends that a little.
    where = starts(task, body, 400)[:, :2]
    low, high = AREAS[task]
    assert np.all((where >= low) & (where <= high))
    cells = np.floor(4 * (where - low) / (high - low)).astype(int)
    counts = np.bincount(4 * cells[:, 0] + cells[:, 1], minlength=16)
    assert counts.min() >= 6
    assert counts.max() <= 56


@pytest.mark.parametrize(
    ("task", "body"), [(t, b) for t, bodies in MOVABLE.items() for b in bodies]
)
def test_things_start_turned_anyhow(task: str, body: str) -> None:
    # Eight sectors, 50 of 400 each on average; 20..80 is 4.5 sigma either way.
    yaw = starts(task, body, 400)[:, 2]
    counts, _ = np.histogram(yaw, bins=8, range=(-np.pi, np.pi))
    assert counts.min() >= 20
    assert counts.max() <= 80


def test_areas_are_at_least_12_by_16_cm() -> None:
    for task in (pick_place, stack, sort):
        size = task.AREA[1] - task.AREA[0]
        assert size[0] >= 0.12 - 1e-9
        assert size[1] >= 0.16 - 1e-9


def test_outline_of_the_t_lies_anywhere_too() -> None:
    outline = starts("push", "outline", 100)
    assert np.all(np.ptp(outline, axis=0) > [0.07, 0.14, 5.5])


def test_t_never_starts_on_its_outline() -> None:
    apart = starts("push", "block", 1000)[:, :2] - starts("push", "outline", 1000)[:, :2]
    assert np.linalg.norm(apart, axis=1).min() > push.MAX_OFFSET


def test_cubes_of_stack_are_apart_enough_to_be_grasped() -> None:
    apart = starts("stack", "red", 200)[:, :2] - starts("stack", "green", 200)[:, :2]
    assert np.linalg.norm(apart, axis=1).min() >= 0.055


def test_unknown_task_is_answered_with_those_there_are() -> None:
    with pytest.raises(SimError, match=r"no task 'pick'; there are pick_place, stack, push, sort"):
        make_robot("pick")
