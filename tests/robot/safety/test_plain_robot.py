"""Laws of a supervised robot without motors: what it cannot tell is not judged, the rest is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from demoloop.robot import run_episode
from demoloop.robot.arms.so101 import MJCF, SO101
from demoloop.robot.safety import Body, Limits, SafetyError, Supervised
from demoloop.sim import make_robot

NO_CAMERAS = replace(SO101, cameras=())


def test_the_expert_succeeds_under_supervision_and_is_never_stopped() -> None:
    inner = make_robot("pick_place", [0], spec=NO_CAMERAS)
    limits = Limits(max_velocity=4.7, max_acceleration=40.0)
    with Supervised(inner, limits=limits, body=Body(MJCF, SO101, limits)) as robot:
        robot.arm()
        expert = inner.task.make_expert(inner, 0)
        run_episode(robot, expert, inner.max_steps, is_over=inner.succeeded)
        assert robot.fault is None
        assert robot.state == "RUNNING"
    assert inner.succeeded()


def test_reset_begins_the_next_episode_and_holding_waits_for_it() -> None:
    inner = make_robot("pick_place", [3, 4], spec=NO_CAMERAS)
    with Supervised(inner) as robot:
        robot.arm()
        robot.reset()
        assert inner.seed == 3
        here = robot.observe().proprioception[:6]
        robot.act(here)
        robot.reset()
        assert inner.seed == 4 and robot.state == "ARMED"


def test_a_simulation_keeps_the_laws_of_commands_too() -> None:
    inner = make_robot("pick_place", [0], spec=NO_CAMERAS)
    robot = Supervised(inner)
    robot.connect()
    robot.arm()
    robot.reset()
    here = np.array(robot.observe().proprioception[:6])
    for _ in range(5):
        robot.observe()
        robot.act(here)
    here[0] += 1.0
    robot.observe()
    with pytest.raises(SafetyError, match=r"shoulder_pan was told to jump 1\.00 rad"):
        robot.act(here)
    time = inner.data.time
    robot.observe()
    assert inner.data.time == time  # looking moves nothing
    assert robot.estop("key")
    robot.reset_fault()
    assert robot.state == "IDLE"
    robot.close()
