"""Laws of motion: within every limit whatever comes, without a jump, and at rest without news."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from demoloop.deploy import ActionChunk
from demoloop.deploy.motion import Motion
from demoloop.robot import RobotSpec

HZ = 50.0  # of the chunks: the tiny robot's control rate
HORIZON = 16
ROUNDING = 1e-9  # of sums of doubles
START = np.array([0.1, 0.2, 0.3])
Positions = NDArray[np.float64]


class Arm:
    """Ticks a motion and keeps what it commanded; starts at rest at START."""

    def __init__(self, motion: Motion, time: float = 100.0) -> None:
        self.motion = motion
        self.times = [time]
        self.positions: list[Positions] = [self._tick()]

    def _tick(self) -> Positions:
        self.motion.tick(self.times[-1], START)
        return self.motion.limiter.position.copy()

    @property
    def now(self) -> float:
        return self.times[-1]

    def run(self, seconds: float, hz: float = 100.0) -> Positions:
        """Returns the positions (n, 3) commanded meanwhile."""
        count = round(seconds * hz)
        first = self.now
        for tick in range(1, count + 1):
            self.tick_at(first + tick / hz)
        return np.array(self.positions[-count:])

    def tick_at(self, time: float) -> None:
        self.times.append(time)
        self.positions.append(self._tick())

    def velocities(self) -> Positions:
        """(n, 3), the first 0: it starts at rest."""
        moved = np.diff(np.array(self.positions), axis=0)
        return np.concatenate([np.zeros((1, 3)), moved / np.diff(self.times)[:, None]])

    def accelerations(self) -> Positions:
        return np.diff(self.velocities(), axis=0) / np.diff(self.times)[:, None]


@pytest.fixture
def arm(spec: RobotSpec) -> Arm:
    return Arm(Motion(spec))


def one_tick_from_rest(spec: RobotSpec) -> Positions:
    """How far (3,) each joint may get in the first tick of 10 ms."""
    return np.array([joint.max_acceleration * 0.01**2 + ROUNDING for joint in spec.joints])


def constant(target: ArrayLike, time: float, horizon: int = HORIZON) -> ActionChunk:
    return ActionChunk(np.tile(np.array(target, np.float32), (horizon, 1)), time)


def wave(time: float, period_s: float = 2.0) -> ActionChunk:
    """What a policy that knows where to go says at `time`: the same path, seen from there on."""
    at = time + np.arange(HORIZON)[:, None] / HZ
    path = START + 0.15 * np.sin(2 * np.pi * at / period_s + np.arange(3))
    return ActionChunk(path.astype(np.float32), time)


def random_chunk(rng: np.random.Generator, spec: RobotSpec, time: float) -> ActionChunk:
    """Somewhere between reasonable and mad: noise, jumps from limit to limit, ramps."""
    kind = rng.integers(4)
    if kind == 0:
        rows = rng.uniform(spec.low, spec.high, (HORIZON, 3))
    elif kind == 1:
        rows = np.where(rng.random((HORIZON, 3)) < 0.5, spec.low, spec.high)
    elif kind == 2:
        rows = np.tile(np.where(rng.random(3) < 0.5, spec.low, spec.high), (HORIZON, 1))
    else:
        ends = rng.uniform(spec.low, spec.high, (2, 3))
        rows = ends[0] + np.linspace(0, 1, HORIZON)[:, None] * (ends[1] - ends[0])
    return ActionChunk(rows.astype(np.float32), time)


def assert_within_limits(arm: Arm, spec: RobotSpec) -> None:
    positions, rounding = np.array(arm.positions), 1e-6  # of differences of doubles over 1 ms
    assert (positions >= spec.low).all()
    assert (positions <= spec.high).all()
    fastest = np.abs(arm.velocities()).max(axis=0)
    hardest = np.abs(arm.accelerations()).max(axis=0)
    assert (fastest <= [j.max_velocity + rounding for j in spec.joints]).all(), fastest
    assert (hardest <= [j.max_acceleration + rounding for j in spec.joints]).all(), hardest


@pytest.mark.parametrize("ensemble", [None, 0.01])
@pytest.mark.parametrize("seed", range(4))
def test_no_chunk_moves_a_joint_beyond_its_limits(
    spec: RobotSpec, seed: int, ensemble: float | None
) -> None:
    rng = np.random.default_rng(seed)
    arm = Arm(Motion(spec, ensemble=ensemble))
    under_way: list[ActionChunk] = []
    for _ in range(3000):
        if rng.random() < 0.08:
            under_way.append(random_chunk(rng, spec, arm.now - rng.uniform(-0.05, 0.6)))
        while under_way and rng.random() < 0.3:  # late, and in any order
            arm.motion.offer(under_way.pop(rng.integers(len(under_way))), arm.now)
        if rng.random() < 0.01:
            arm.motion.hold("the test says so")
        arm.tick_at(arm.now + rng.uniform(0.001, 0.04))
    assert {0.0} != set(np.abs(arm.velocities()).max(axis=1))
    assert_within_limits(arm, spec)


def test_a_loop_that_stalls_leaves_the_arm_at_rest_and_goes_on_from_there(
    spec: RobotSpec, arm: Arm
) -> None:
    arm.motion.offer(wave(arm.now), arm.now)
    arm.run(0.15)
    assert arm.velocities()[-1].any()
    arm.motion.offer(wave(arm.now + 3.0), arm.now)
    before = arm.positions[-1]
    arm.tick_at(arm.now + 3.0)
    step = np.abs(arm.positions[-1] - before)
    longest = 2.5 / HZ  # s: no tick counts for more
    assert (step <= [j.max_acceleration * longest**2 + ROUNDING for j in spec.joints]).all()


def test_a_chunk_that_says_the_same_changes_nothing(spec: RobotSpec) -> None:
    once, again = Arm(Motion(spec)), Arm(Motion(spec))
    for arm in (once, again):
        arm.motion.offer(constant([0.4, 0.4, 0.4], arm.now), arm.now)
        for tick in range(20):
            if arm is again and tick % 3 == 1:
                arm.motion.offer(constant([0.4, 0.4, 0.4], arm.now), arm.now)
            arm.tick_at(arm.now + 0.01)
    np.testing.assert_allclose(again.positions, once.positions, atol=1e-12)


@pytest.mark.parametrize("hz", [25.0, 100.0, 250.0])
def test_a_constant_chunk_is_reached_and_held_to_the_bit(spec: RobotSpec, hz: float) -> None:
    arm = Arm(Motion(spec))
    target = np.array([-0.9, 1.5, 0.0], np.float32)  # two of them at a limit
    for _ in range(30):
        arm.motion.offer(constant(target, arm.now), arm.now)
        arm.run(0.08, hz)
    np.testing.assert_array_equal(np.array(arm.positions[-5:], np.float32), np.tile(target, (5, 1)))


def test_a_target_at_rest_is_never_overshot(spec: RobotSpec, arm: Arm) -> None:
    target = np.array([0.9, -0.4, 0.9], np.float32)
    for _ in range(30):
        arm.motion.offer(constant(target, arm.now), arm.now)
        arm.run(0.08)
    towards = np.sign(target - START)
    assert ((target - np.array(arm.positions)) * towards >= -1e-9).all()


def test_ticks_of_any_rate_end_in_the_same_place(spec: RobotSpec) -> None:
    ends = []
    for hz in (25.0, 100.0, 250.0):
        arm = Arm(Motion(spec))
        for _ in range(25):
            arm.motion.offer(wave(arm.now), arm.now)
            arm.run(0.2, hz)
        ends.append(arm.positions[-1])
    np.testing.assert_allclose(ends, np.tile(ends[0], (3, 1)), atol=2e-3)


def test_a_policy_slower_than_the_ticks_is_followed_on_its_path(arm: Arm) -> None:
    for _ in range(25):
        arm.motion.offer(wave(arm.now), arm.now)
        arm.run(0.2)
    path = np.array([wave(time).actions[0] for time in arm.times[200:]])
    np.testing.assert_allclose(arm.positions[200:], path, atol=2e-3)


def test_the_first_chunk_begins_where_the_joints_are(spec: RobotSpec, arm: Arm) -> None:
    np.testing.assert_array_equal(arm.positions[0], START)
    arm.motion.offer(constant([0.9, 1.4, 0.9], arm.now), arm.now)
    first = arm.run(0.01)[0]
    assert (
        np.abs(first - START) <= [j.max_acceleration * 0.01**2 + ROUNDING for j in spec.joints]
    ).all()


def test_blending_in_takes_its_time(spec: RobotSpec) -> None:
    arm = Arm(Motion(spec, start_blend_s=0.3))
    target = START + 0.05
    arm.motion.offer(constant(target, arm.now, 30), arm.now)
    arm.run(0.29)
    assert (arm.positions[-1] < target - 1e-6).all()
    arm.run(0.1)
    np.testing.assert_allclose(arm.positions[-1], target, atol=1e-6)


@pytest.mark.parametrize("ended_by", ["hold", "exhaustion"])
def test_without_news_the_arm_slows_down_as_it_may_and_stays(
    spec: RobotSpec, arm: Arm, ended_by: str
) -> None:
    arm.motion.offer(wave(arm.now), arm.now)
    arm.run(0.16)
    moving = np.abs(arm.velocities()[-1])
    assert moving.max() > 0.1
    if ended_by == "hold":
        arm.motion.hold("no news")
    else:
        arm.run(0.2)
    arm.run(0.2)
    assert arm.motion.state == "holding"
    stopped = arm.positions[-1]
    np.testing.assert_array_equal(arm.run(1.0), np.tile(stopped, (100, 1)))
    assert_within_limits(arm, spec)


def test_going_on_after_a_hold_is_no_jump(spec: RobotSpec, arm: Arm) -> None:
    arm.motion.offer(wave(arm.now), arm.now)
    arm.run(0.2)
    arm.motion.hold("no news")
    arm.run(1.0)
    held = arm.positions[-1]
    arm.motion.offer(constant([-0.9, 1.4, 0.9], arm.now), arm.now)
    first = arm.run(0.01)[0]
    assert arm.motion.state == "running"
    assert (
        np.abs(first - held) <= [j.max_acceleration * 0.01**2 + ROUNDING for j in spec.joints]
    ).all()


def test_a_handover_keeps_position_and_velocity(spec: RobotSpec, arm: Arm) -> None:
    arm.motion.offer(wave(arm.now), arm.now)
    arm.run(0.2)
    before = arm.velocities()[-1]
    later = wave(arm.now)
    arm.motion.offer(ActionChunk(later.actions + np.float32(0.05), arm.now), arm.now)
    arm.run(0.01)
    np.testing.assert_allclose(arm.velocities()[-1], before, atol=0.05)


def test_state_and_reason_tell_what_it_does(arm: Arm) -> None:
    motion = arm.motion
    assert (motion.state, motion.reason) == ("waiting", "no chunk yet")
    motion.offer(constant(START, arm.now), arm.now)
    arm.run(0.01)
    assert (motion.state, motion.reason) == ("running", "")
    arm.run(0.5)
    assert (motion.state, motion.reason) == ("holding", "the last chunk ran out")
    motion.reset()
    assert (motion.state, motion.reason) == ("waiting", "no chunk yet")


def test_old_exhausted_and_overtaken_chunks_are_not_followed(arm: Arm) -> None:
    motion = arm.motion
    assert not motion.offer(constant(START, arm.now - 0.6, 100), arm.now)
    assert not motion.offer(constant(START, arm.now - 0.4), arm.now)
    assert motion.num_stale == 2
    assert motion.offer(constant(START, arm.now), arm.now)
    assert not motion.offer(constant(START, arm.now - 0.02), arm.now)


def test_an_ensemble_follows_the_weighed_mean_of_what_is_valid(spec: RobotSpec) -> None:
    arm = Arm(Motion(spec, ensemble=0.5))
    for offset in (0.0, 0.1, 0.2):
        arm.motion.offer(constant(START + offset, arm.now, 50), arm.now)
        arm.run(0.02)
    arm.run(0.5)
    weights = np.exp([0.0, -0.5, -1.0])
    mean = START + weights @ [0.0, 0.1, 0.2] / weights.sum()
    np.testing.assert_allclose(arm.positions[-1], mean, atol=1e-6)
    arm.run(0.46)  # until the first two are exhausted, and what they said has faded
    assert arm.motion.state == "running"


def test_the_same_tick_twice_changes_nothing(arm: Arm) -> None:
    arm.motion.offer(wave(arm.now), arm.now)
    arm.run(0.1)
    first = arm.motion.tick(arm.now, START)
    np.testing.assert_array_equal(arm.motion.tick(arm.now, START), first)
