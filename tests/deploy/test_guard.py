"""Laws of the guard, on a clock that only moves when somebody takes time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from demoloop.deploy import DeployError
from demoloop.deploy.guard import check_guard_hz, guard_episode
from demoloop.robot import Action, ActionError, Observation, RobotSpec, WallClock


class FakeClock(WallClock):
    """Sleeps at once and exactly."""

    def __init__(self) -> None:
        self.time = 50.0  # s

    def now(self) -> float:
        return self.time

    def sleep_until(self, deadline: float) -> None:
        self.time = max(self.time, deadline)


class Sweep:
    """Moves the first joint at 1 rad/s; then does what `then` says."""

    def __init__(self, num_steps: int, then: Callable[[], Action]) -> None:
        self.num_steps, self.then = num_steps, then
        self.step = 0

    def reset(self) -> None:
        self.step = 0

    def decide(self, observation: Observation) -> Action:
        self.step += 1
        if self.step > self.num_steps:
            return self.then()
        return np.array([0.1 + 0.01 * self.step, 0.2, 0.3], np.float32)


def fail() -> Action:
    raise DeployError("the line is cut")


def too_far() -> Action:
    return np.array([5.0, 0.0, 0.0], np.float32)


@pytest.mark.parametrize(("then", "error"), [(fail, DeployError), (too_far, ActionError)])
def test_whatever_breaks_the_arm_slows_down_within_its_limits_and_rests(
    robot: Any, spec: RobotSpec, then: Callable[[], Action], error: type[Exception]
) -> None:
    with pytest.raises(error):
        guard_episode(robot, Sweep(20, then), 1.0, guard_hz=100.0, clock=FakeClock())
    velocities = np.diff(np.array(robot.sent, np.float64), axis=0) * 100.0
    assert velocities[18, 0] == pytest.approx(1.0, abs=1e-4)
    assert len(velocities) > 19
    assert np.abs(velocities[-1]).max() < spec.joints[0].max_acceleration / 100.0 + 1e-4
    rounding = 0.01  # rad/s^2: of float32 targets, twice differentiated
    changes = np.abs(np.diff(velocities, axis=0)) * 100.0
    assert (changes.max(axis=0) <= [j.max_acceleration + rounding for j in spec.joints]).all()


def test_an_arm_at_rest_gets_no_command_after_its_episode(robot: Any) -> None:
    still = Sweep(0, lambda: np.array([0.1, 0.2, 0.3], np.float32))
    report = guard_episode(robot, still, 0.5, guard_hz=100.0, clock=FakeClock())
    assert report.loop.num_steps == len(robot.sent) == 50


def test_an_action_beyond_a_limit_never_reaches_the_robot(robot: Any) -> None:
    with pytest.raises(ActionError, match="pan"):
        guard_episode(robot, Sweep(0, too_far), 1.0, clock=FakeClock())
    assert robot.sent == []


@pytest.mark.parametrize("hz", [0.0, 49.0, 1e6, float("nan")])
def test_rate_that_makes_no_sense_is_refused_in_a_sentence(spec: RobotSpec, hz: float) -> None:
    with pytest.raises(DeployError, match="50 Hz, the control rate of tiny"):
        check_guard_hz(spec, hz)
