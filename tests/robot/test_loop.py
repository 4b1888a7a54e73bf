"""Laws of the control loop, on a clock that only moves when somebody takes time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from demoloop.robot import (
    Action,
    ActionError,
    JointSpec,
    LoopReport,
    Observation,
    RobotSpec,
    WallClock,
    run_episode,
)

CONTROL_HZ = 10.0
PERIOD = 1 / CONTROL_HZ  # s
SPEC = RobotSpec(
    name="one-joint",
    joints=(JointSpec("shoulder", -1.0, 1.0, 3.0, 20.0),),
    cameras=(),
    control_hz=CONTROL_HZ,
)


class FakeClock(WallClock):
    """Starts at some odd time, sleeps at once and exactly."""

    def __init__(self) -> None:
        self.time = 1234.5  # s

    def now(self) -> float:
        return self.time

    def sleep_until(self, deadline: float) -> None:
        self.time = max(self.time, deadline)


class FakeArm:
    """Notes what is asked of it, and sends only half of what it is told."""

    def __init__(self, clock: FakeClock) -> None:
        self.spec = SPEC
        self.clock = clock
        self.calls: list[str] = []
        self.observed_at: list[float] = []  # s

    def reset(self) -> None:
        self.calls.append("reset arm")

    def observe(self) -> Observation:
        self.calls.append("observe")
        self.observed_at.append(self.clock.time)
        return Observation(self.clock.time, np.zeros(2, np.float32), {}, {})

    def act(self, action: Action) -> Action:
        self.calls.append("act")
        return action / np.float32(2)

    def close(self) -> None:
        self.calls.append("close")


class FakeAgent:
    """Takes `thinking[i]` periods for step i, then wants 0.5."""

    def __init__(self, arm: FakeArm, thinking: Sequence[float] = (), wants: float = 0.5) -> None:
        self.arm = arm
        self.thinking = list(thinking)
        self.wants = wants
        self.seen: list[Observation] = []

    def reset(self) -> None:
        self.arm.calls.append("reset agent")

    def decide(self, observation: Observation) -> Action:
        self.arm.calls.append("decide")
        self.seen.append(observation)
        if self.thinking:
            self.arm.clock.time += self.thinking.pop(0) * PERIOD
        return np.array([self.wants], np.float32)


@pytest.fixture
def arm() -> FakeArm:
    return FakeArm(FakeClock())


def run_in_real_time(arm: FakeArm, thinking: Sequence[float]) -> tuple[LoopReport, list[float]]:
    """Returns the report, and when each step looked, in periods since the start."""
    start = arm.clock.time
    report = run_episode(arm, FakeAgent(arm, thinking), len(thinking), clock=arm.clock)
    return report, [(time - start) / PERIOD for time in arm.observed_at]


def test_steps_begin_at_multiples_of_the_period(arm: FakeArm) -> None:
    _, looked = run_in_real_time(arm, [0.1, 0.9, 0.5, 0.0, 0.3])
    assert looked == pytest.approx([0, 1, 2, 3, 4], abs=1e-6)


def test_one_slow_step_does_not_delay_all_the_following(arm: FakeArm) -> None:
    _, looked = run_in_real_time(arm, [0.0, 2.75, 0.25, 0.25, 0.25, 0.25])
    # Step 1 ends at 3.75: those due at 2 and 3 are skipped, the next ones keep their deadlines.
    assert looked == pytest.approx([0, 1, 4, 5, 6, 7], abs=1e-6)


def test_after_a_stall_no_two_steps_are_closer_than_a_period(arm: FakeArm) -> None:
    _, looked = run_in_real_time(arm, [0.0, 7.3, 0.1, 3.6, 0.1, 0.1])
    assert np.diff(looked).min() > 1 - 1e-6


def test_skipped_deadlines_are_counted(arm: FakeArm) -> None:
    report, _ = run_in_real_time(arm, [0.0, 2.75, 0.25, 0.25, 0.25, 0.25])
    assert (report.num_steps, report.num_skipped) == (6, 2)


def test_each_late_step_is_counted_once(arm: FakeArm) -> None:
    report, _ = run_in_real_time(arm, [0.0, 2.75, 0.25, 1.25, 0.25, 0.25])
    assert report.num_late == 2  # at 4, that was due at 2; and at 6.25, that was due at 6


def test_loop_may_tick_faster_than_the_control_rate(arm: FakeArm) -> None:
    start = arm.clock.time
    run_episode(arm, FakeAgent(arm), 4, clock=arm.clock, hz=4 * CONTROL_HZ)
    looked = (np.array(arm.observed_at) - start) / PERIOD
    assert looked == pytest.approx([0, 0.25, 0.5, 0.75], abs=1e-6)


def test_worst_lateness_is_that_of_the_latest_step(arm: FakeArm) -> None:
    report, _ = run_in_real_time(arm, [0.0, 2.75, 0.25, 0.25, 0.25, 0.25])
    assert report.worst_lateness_s == pytest.approx(1.75 * PERIOD, abs=1e-6)


def test_loop_that_keeps_its_time_reports_nothing_late(arm: FakeArm) -> None:
    report, _ = run_in_real_time(arm, [0.5] * 20)
    assert report == LoopReport(num_steps=20, num_late=0, worst_lateness_s=0.0)


def test_simulated_time_is_never_late(arm: FakeArm) -> None:
    report = run_episode(arm, FakeAgent(arm, [5.0] * 4), 4)
    assert report == LoopReport(num_steps=4, num_late=0, worst_lateness_s=0.0)


def test_every_step_observes_then_decides_then_acts(arm: FakeArm) -> None:
    run_episode(arm, FakeAgent(arm), 3)
    assert arm.calls == ["reset arm", "reset agent"] + ["observe", "decide", "act"] * 3


def test_no_steps_still_reset(arm: FakeArm) -> None:
    assert run_episode(arm, FakeAgent(arm), 0).num_steps == 0
    assert arm.calls == ["reset arm", "reset agent"]


def test_listener_gets_the_action_really_sent(arm: FakeArm) -> None:
    heard: list[Action] = []
    run_episode(arm, FakeAgent(arm), 2, lambda _, action: heard.append(action))
    np.testing.assert_array_equal(heard, [[0.25], [0.25]])  # the arm halves the 0.5 it is told


def test_listener_gets_the_observation_that_was_decided_on(arm: FakeArm) -> None:
    agent = FakeAgent(arm)
    heard: list[Observation] = []
    run_episode(arm, agent, 3, lambda observation, _: heard.append(observation))
    assert [id(observation) for observation in heard] == [id(seen) for seen in agent.seen]


@pytest.mark.parametrize("wants", [1.5, np.nan])
def test_refused_action_never_reaches_the_robot(arm: FakeArm, wants: float) -> None:
    with pytest.raises(ActionError):
        run_episode(arm, FakeAgent(arm, wants=wants), 3)
    assert "act" not in arm.calls


def test_episode_ends_when_it_is_over(arm: FakeArm) -> None:
    report = run_episode(arm, FakeAgent(arm), 10, is_over=lambda: arm.calls.count("act") == 4)
    assert report.num_steps == 4
    assert arm.calls.count("observe") == 4


def test_last_step_of_an_episode_is_still_heard(arm: FakeArm) -> None:
    heard: list[Action] = []
    run_episode(
        arm, FakeAgent(arm), 10, lambda _, action: heard.append(action), is_over=lambda: bool(heard)
    )
    assert len(heard) == 1


def test_wall_clock_never_wakes_before_the_deadline() -> None:
    clock = WallClock()
    deadline = clock.now() + 0.002
    clock.sleep_until(deadline)
    assert clock.now() >= deadline


def test_wall_clock_accepts_a_deadline_that_has_passed() -> None:
    clock = WallClock()
    clock.sleep_until(clock.now() - 1.0)
