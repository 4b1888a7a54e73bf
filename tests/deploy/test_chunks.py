"""The laws of executing chunks by time."""

from collections.abc import Callable

import numpy as np
import pytest

from demoloop.deploy import ActionChunk, ChunkExecution, PolicyError, TemporalEnsemble
from demoloop.robot import Observation, RobotSpec

HZ = 50.0


def ramp(time: float = 0.0, start: float = 0.0, horizon: int = 6) -> ActionChunk:
    """A chunk whose step k asks for start + k on every joint."""
    rows = start + np.arange(horizon, dtype=np.float32)[:, None].repeat(3, axis=1)
    return ActionChunk(rows, time)


class CountingPolicy:
    """Answers the n-th question with ramp(start=100 * n), so a target tells its chunk and step."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self.times: list[float] = []

    def predict(self, observation: Observation) -> ActionChunk:
        self.times.append(observation.time)
        return ramp(observation.time, start=100.0 * (len(self.times) - 1))


def test_step_k_is_the_target_k_periods_after_the_observation() -> None:
    chunk = ramp(time=3.0)
    sampled = [chunk.sample(3.0 + k / HZ, HZ)[0] for k in range(6)]
    np.testing.assert_allclose(sampled, range(6), atol=1e-4)


def test_between_two_steps_the_target_is_linear() -> None:
    times = 3.0 + np.linspace(0, 5, 41) / HZ
    sampled = [ramp(time=3.0).sample(t, HZ)[0] for t in times]
    np.testing.assert_allclose(sampled, np.linspace(0, 5, 41), atol=1e-4)


def test_at_half_its_pace_a_chunk_takes_twice_its_time() -> None:
    chunk = ActionChunk(ramp().actions, 3.0, pace=0.5)
    sampled = [chunk.sample(3.0 + 2 * k / HZ, HZ)[0] for k in range(6)]
    np.testing.assert_allclose(sampled, range(6), atol=1e-4)
    np.testing.assert_allclose(chunk.velocity(3.0, HZ), HZ / 2)
    assert not chunk.is_exhausted(3.0 + 10.5 / HZ, HZ)
    assert chunk.is_exhausted(3.0 + 11.5 / HZ, HZ)


@pytest.mark.parametrize("late_s", [0.1, 1.0, 1e6])
def test_exhausted_chunk_holds_its_last_target(late_s: float) -> None:
    chunk = ramp(time=3.0)
    np.testing.assert_array_equal(chunk.sample(3.0 + 5 / HZ + late_s, HZ), chunk.actions[-1])


def test_before_its_start_a_chunk_gives_its_first_target() -> None:
    np.testing.assert_array_equal(ramp(time=3.0).sample(2.0, HZ), [0, 0, 0])


def test_sampling_never_leaves_the_range_of_the_chunk() -> None:
    rng = np.random.default_rng(0)
    chunk = ActionChunk(rng.uniform(-1, 1, (6, 3)).astype(np.float32), 0.0)
    sampled = np.stack([chunk.sample(t, HZ) for t in rng.uniform(-1, 1, 300)])
    assert (sampled <= chunk.actions.max(axis=0)).all()
    assert (sampled >= chunk.actions.min(axis=0)).all()


def test_a_skipped_step_does_not_shift_the_motion(
    spec: RobotSpec, observe: Callable[..., Observation]
) -> None:
    agent = ChunkExecution(CountingPolicy(spec), replan_every=5)
    agent.decide(observe(time=0.0))
    assert agent.decide(observe(time=3 / HZ))[0] == pytest.approx(3.0)


@pytest.mark.parametrize("replan_every", [1, 2, 5])
def test_replans_every_so_many_periods_whatever_the_jitter(
    spec: RobotSpec, observe: Callable[..., Observation], replan_every: int
) -> None:
    policy = CountingPolicy(spec)
    agent = ChunkExecution(policy, replan_every)
    jitter = np.random.default_rng(1).uniform(-0.2, 0.2, 20) / HZ
    for step in range(20):
        agent.decide(observe(time=1.0 + step / HZ + jitter[step]))
    assert len(policy.times) == -(-20 // replan_every)


def test_exhausted_chunk_is_replanned_however_rarely_replanning_was_asked(
    spec: RobotSpec, observe: Callable[..., Observation]
) -> None:
    agent = ChunkExecution(CountingPolicy(spec), replan_every=1000)
    targets = [agent.decide(observe(time=step / HZ))[0] for step in range(8)]
    np.testing.assert_allclose(targets, [0, 1, 2, 3, 4, 5, 100, 101], atol=1e-3)


def test_a_clock_that_starts_again_makes_the_old_chunk_worthless(
    spec: RobotSpec, observe: Callable[..., Observation]
) -> None:
    agent = ChunkExecution(CountingPolicy(spec))
    agent.decide(observe(time=10.0))
    assert agent.decide(observe(time=0.0))[0] == 100.0


def test_reset_forgets_the_chunk(spec: RobotSpec, observe: Callable[..., Observation]) -> None:
    agent = ChunkExecution(CountingPolicy(spec))
    agent.decide(observe(time=0.0))
    agent.reset()
    assert agent.decide(observe(time=1 / HZ))[0] == 100.0


def test_replanning_every_zero_steps_is_refused(spec: RobotSpec) -> None:
    with pytest.raises(PolicyError, match="replan_every is 0"):
        ChunkExecution(CountingPolicy(spec), replan_every=0)


def test_ensemble_weighs_the_oldest_prediction_most(
    spec: RobotSpec, observe: Callable[..., Observation]
) -> None:
    agent = TemporalEnsemble(CountingPolicy(spec), m=0.5)
    targets = [agent.decide(observe(time=step / HZ))[0] for step in range(3)]
    # At step 2 the chunks, the oldest first, say 2, 101 and 200.
    weights = np.exp([0.0, -0.5, -1.0])
    assert targets[2] == pytest.approx(weights @ [2, 101, 200] / weights.sum(), abs=1e-3)


def test_ensemble_leaves_out_exhausted_chunks(
    spec: RobotSpec, observe: Callable[..., Observation]
) -> None:
    agent = TemporalEnsemble(CountingPolicy(spec))
    agent.decide(observe(time=0.0))
    assert agent.decide(observe(time=6 / HZ))[0] == 100.0


def test_ensemble_forgets_what_was_said_before_the_clock_began_again(
    spec: RobotSpec, observe: Callable[..., Observation]
) -> None:
    agent = TemporalEnsemble(CountingPolicy(spec))
    agent.decide(observe(time=10.0))
    assert agent.decide(observe(time=0.0))[0] == 100.0
