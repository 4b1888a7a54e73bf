"""Laws of asking a policy that answers late, on a clock that is handed in."""

from __future__ import annotations

import numpy as np
import pytest

from demoloop.deploy import ActionChunk
from demoloop.deploy.client import Arrival
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.robot import Observation, RobotSpec

START = np.array([0.1, 0.2, 0.3], np.float32)
SPEED = 0.2  # rad/s, with which every chunk moves on
PERIOD_S = 1 / 50


class LateLine:
    """Answers one question at a time, `delay_s` after it came: move on from there at SPEED."""

    refusal = ""
    silence_s = 0.0

    def __init__(self, spec: RobotSpec, delay_s: float) -> None:
        self.spec, self.delay_s = spec, delay_s
        self.now = 0.0  # s
        self.asked: list[tuple[float, Observation]] = []
        self._is_busy = False

    def send(self, observation: Observation) -> bool:
        if self._is_busy:
            return False
        self.asked.append((self.now, observation))
        self._is_busy = True
        return True

    def collect(self, wait_s: float = 0.0) -> list[Arrival]:
        if not self._is_busy or self.now < self.asked[-1][0] + self.delay_s - 1e-6:
            return []
        self._is_busy = False
        seen = self.asked[-1][1]
        rows = seen.proprioception[:3] + SPEED * PERIOD_S * np.arange(40)[:, None]
        return [Arrival(ActionChunk(rows.astype(np.float32), seen.time), 0.0, 0.0)]

    def forget(self) -> None:
        self._is_busy = False


def run(agent: RemoteAgent, line: LateLine, seconds: float, hz: float) -> list[np.ndarray]:
    """Ticks a robot whose joints are at once where they are sent; pictures come at 50 Hz."""
    positions, velocity, sent = START, np.zeros(3, np.float32), []
    for tick in range(round(seconds * hz)):
        line.now = tick / hz
        picture_at = np.floor(line.now / PERIOD_S + 1e-6) * PERIOD_S
        seen = np.concatenate([positions, velocity])
        target = agent.decide(Observation(line.now, seen, {}, {"front": float(picture_at)}))
        positions, velocity = target, (target - positions) * np.float32(hz)
        sent.append(target)
    return sent


@pytest.mark.parametrize("hz", [50.0, 100.0, 200.0])
def test_questions_keep_to_the_control_periods_and_to_new_pictures(
    spec: RobotSpec, hz: float
) -> None:
    line = LateLine(spec, 0.0)
    run(RemoteAgent(line, replan_every=4), line, 2.0, hz)
    times = np.array([at for at, _ in line.asked[2:]])
    assert len(times) > 20
    np.testing.assert_allclose(np.diff(times), 4 * PERIOD_S, atol=1e-6)
    assert all(at == pytest.approx(seen.image_times["front"]) for at, seen in line.asked[2:])


def test_quick_answers_are_asked_for_with_what_was_seen(spec: RobotSpec) -> None:
    line = LateLine(spec, 0.0)
    run(RemoteAgent(line), line, 1.0, 50.0)
    assert all(seen.time == at for at, seen in line.asked)


def test_late_answers_are_asked_for_with_the_joints_as_they_will_be(spec: RobotSpec) -> None:
    line = LateLine(spec, 0.16)
    sent = run(RemoteAgent(line, servo_lag_s=0.0), line, 3.0, 100.0)
    for at, seen in line.asked[4:-1]:
        assert seen.time == pytest.approx(at + 0.16, abs=0.011)  # a tick
        # They will be where the last tick before that moment sends them.
        then = sent[round(seen.time * 100) - 1]
        np.testing.assert_allclose(seen.proprioception[:2], then[:2], atol=0.005)


def test_a_gripper_is_not_foreseen(spec: RobotSpec) -> None:
    line = LateLine(spec, 0.16)
    sent = run(RemoteAgent(line, servo_lag_s=0.0), line, 3.0, 100.0)
    for at, seen in line.asked[4:-1]:
        assert seen.proprioception[2] == sent[round(at * 100) - 1][2]


def test_answers_within_a_tenth_of_a_second_slow_no_motion_down(spec: RobotSpec) -> None:
    line = LateLine(spec, 0.08)
    sent = np.array(run(RemoteAgent(line, servo_lag_s=0.0), line, 3.0, 100.0))
    assert ((sent[-1] - sent[100])[:2] / 1.99 > 0.95 * SPEED).all()


@pytest.mark.parametrize(("latency_s", "pace"), [(0.0, 1.0), (0.16, 0.1 / 0.17), (0.3, 0.5)])
def test_motion_slows_down_with_latencies_above_a_tenth_of_a_second_to_half_at_most(
    spec: RobotSpec, latency_s: float, pace: float
) -> None:
    # An answer is used at the tick after it came: 10 ms more than the line takes.
    line = LateLine(spec, latency_s)
    sent = np.array(run(RemoteAgent(line, servo_lag_s=0.0), line, 3.0, 100.0))
    speed = (sent[-1] - sent[100]) / 1.99  # rad/s, after the start
    np.testing.assert_allclose(speed[:2], pace * SPEED, rtol=0.1)


def test_age_is_that_of_the_look_and_not_of_the_moment_foreseen(spec: RobotSpec) -> None:
    line = LateLine(spec, 0.16)
    agent = RemoteAgent(line)
    run(agent, line, 2.0, 100.0)
    assert 0.15 < agent.age_s < 0.45


def test_an_answer_later_than_the_longest_age_is_not_used(spec: RobotSpec) -> None:
    line = LateLine(spec, 0.6)
    agent = RemoteAgent(line)
    sent = run(agent, line, 3.0, 100.0)
    assert agent.num_stale >= 3
    np.testing.assert_array_equal(sent, np.tile(START, (300, 1)))
