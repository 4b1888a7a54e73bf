"""Whatever happens to the server, the robot holds, and goes on only with what is new and asked."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from demoloop.deploy import ActionChunk, DeployError
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.motion import Motion
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.deploy.server import PolicyServer
from demoloop.robot import Observation, RobotSpec

Serving = Callable[..., AbstractContextManager[PolicyServer]]
Observe = Callable[..., Observation]
MakeSteps = Callable[[RemoteAgent], Any]
Eventually = Callable[[Callable[[], object]], None]
PERIOD_S = 1 / 50
BEFORE, AFTER = (0.1, 0.2, 0.3), (-0.5, 1.0, 0.6)
SHORT_CHUNK = 0.35  # a tiny policy's chunk moves no joint further than this from where it began
A_TICK = 0.05  # a joint at rest does not get further in one of these tests' ticks

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "goodbye"])
@needs_signals
def test_robot_holds_when_its_server_dies_and_goes_on_with_a_new_one(
    start_server: Callable[..., Any],
    policy_file: Path,
    spec: RobotSpec,
    make_steps: MakeSteps,
    death: int,
) -> None:
    first = start_server(policy_file)
    with RemotePolicy(first.endpoint, spec) as policy:
        steps = make_steps(RemoteAgent(policy))
        steps.until("running")
        first.signal(death)
        first.process.wait(10)
        steps.until("holding", "no sign of life")
        held = steps.until_still()
        steps.positions = AFTER  # as if somebody had moved the arm meanwhile
        for _ in range(20):
            np.testing.assert_array_equal(steps.step(), held)
        start_server(policy_file, first.endpoint)
        steps.targets.clear()
        resumed = steps.until("running")
        for target in steps.targets[:-1]:
            np.testing.assert_array_equal(target, held)
        # It sets out from where it held, and gets to where the new chunks are.
        assert np.abs(resumed - held).max() < A_TICK
        steps.until_near(AFTER, SHORT_CHUNK)


@needs_signals
def test_robot_holds_while_its_server_is_frozen_and_goes_on_after(
    start_server: Callable[..., Any], policy_file: Path, spec: RobotSpec, make_steps: MakeSteps
) -> None:
    server = start_server(policy_file)
    with RemotePolicy(server.endpoint, spec) as policy:
        steps = make_steps(RemoteAgent(policy))
        steps.until("running")
        server.signal(signal.SIGSTOP)
        steps.until("holding", "no sign of life")
        held = steps.until_still()
        steps.positions = AFTER
        for _ in range(100):  # long enough for several greetings to pile up
            np.testing.assert_array_equal(steps.step(), held)
        server.signal(signal.SIGCONT)
        resumed = steps.until("running")
        assert np.abs(resumed - held).max() < A_TICK
        steps.until_near(AFTER, SHORT_CHUNK)


class Gated:
    """Answers once the gate is open, asking for the joints to stay where they are."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self.gate = threading.Event()
        self.num_begun = 0

    def predict(self, observation: Observation) -> ActionChunk:
        self.num_begun += 1
        assert self.gate.wait(20)
        positions = observation.proprioception[: self.spec.action_dim]
        return ActionChunk(np.tile(positions, (6, 1)), observation.time)


@pytest.fixture
def gated(spec: RobotSpec) -> Iterator[Gated]:
    policy = Gated(spec)
    yield policy
    policy.gate.set()  # so that the server's thread ends


def test_hanging_inference_is_noticed_though_heartbeats_come(
    serving: Serving, gated: Gated, spec: RobotSpec, make_steps: MakeSteps
) -> None:
    gated.gate.set()
    with serving(gated) as server, RemotePolicy(server.endpoint, spec) as policy:
        steps = make_steps(RemoteAgent(policy, silence_s=0.3))
        steps.until("running")
        gated.gate.clear()
        steps.until("holding", "no sign of life")
        assert policy.is_connected
        gated.gate.set()
        steps.until("running")


def test_stale_chunk_is_not_executed(
    serving: Serving, gated: Gated, spec: RobotSpec, observe: Observe, eventually: Eventually
) -> None:
    with serving(gated) as server, RemotePolicy(server.endpoint, spec) as policy:
        agent = RemoteAgent(policy, silence_s=60.0, motion=Motion(spec, max_age_s=0.2))
        start = agent.decide(observe(time=10.0))
        eventually(lambda: gated.num_begun == 1)
        gated.gate.set()
        targets: list[NDArray[np.float32]] = []

        def is_stale_chunk_here() -> bool:
            targets.append(agent.decide(observe(time=10.3, positions=AFTER)))
            return agent.num_stale == 1

        eventually(is_stale_chunk_here)
        assert agent.state == "waiting"
        for target in targets:
            np.testing.assert_array_equal(target, start)


def test_exhausted_chunk_ends_at_rest(
    serving: Serving, gated: Gated, spec: RobotSpec, make_steps: MakeSteps
) -> None:
    gated.gate.set()
    with serving(gated) as server, RemotePolicy(server.endpoint, spec) as policy:
        steps = make_steps(RemoteAgent(policy, silence_s=60.0))
        steps.until("running")
        gated.gate.clear()
        steps.until("holding", "the last chunk ran out")
        held = steps.until_still()
        steps.positions = AFTER
        np.testing.assert_array_equal(steps.step(), held)


def test_without_a_chunk_the_joints_stay_where_they_were_first_seen(
    serving: Serving, gated: Gated, spec: RobotSpec, observe: Observe
) -> None:
    with serving(gated) as server, RemotePolicy(server.endpoint, spec) as policy:
        agent = RemoteAgent(policy)
        first = agent.decide(observe(time=1.0, positions=BEFORE))
        sunk = agent.decide(observe(time=1.1, positions=(0.1, 0.15, 0.3)))
        np.testing.assert_allclose(first, BEFORE)
        np.testing.assert_array_equal(sunk, first)
        assert agent.state == "waiting"


def test_answer_for_the_last_episode_is_not_used_in_this_one(
    serving: Serving, gated: Gated, spec: RobotSpec, observe: Observe, eventually: Eventually
) -> None:
    with serving(gated) as server, RemotePolicy(server.endpoint, spec) as policy:
        used: list[float] = []
        agent = RemoteAgent(policy, silence_s=60.0, on_arrival=lambda a: used.append(a.chunk.time))
        agent.decide(observe(time=0.0, positions=BEFORE))
        eventually(lambda: gated.num_begun == 1)
        agent.reset()
        gated.gate.set()
        # The clock of a simulation begins again: by its time alone the old answer would fit.

        def is_running() -> bool:
            agent.decide(observe(time=0.02, positions=AFTER))
            return agent.state == "running"

        eventually(is_running)
        assert used == [0.02]
        assert policy.num_dropped == 1


def test_questions_are_replan_every_periods_apart(
    serving: Serving, still: Any, spec: RobotSpec, observe: Observe
) -> None:
    with serving(still) as server, RemotePolicy(server.endpoint, spec) as policy:
        agent = RemoteAgent(policy, replan_every=4, silence_s=60.0)
        for step in range(60):
            agent.decide(observe(time=1 + step * PERIOD_S))
            agent.listen(time.monotonic() + 0.005)
    gaps = np.diff([seen.time for seen in still.seen]) / PERIOD_S
    assert len(gaps) >= 5
    assert gaps.min() > 3.5


def test_replanning_every_zero_steps_is_refused(spec: RobotSpec) -> None:
    with pytest.raises(DeployError, match="replan_every is 0"):
        RemoteAgent(RemotePolicy("tcp://127.0.0.1:5555", spec), replan_every=0)


def test_new_server_with_another_robots_policy_ends_the_run_in_one_sentence(
    start_server: Callable[..., Any],
    policy_file: Path,
    make_policy: Callable[..., Path],
    spec: RobotSpec,
    other_spec: RobotSpec,
    make_steps: MakeSteps,
) -> None:
    first = start_server(policy_file)
    other = make_policy(policy_file.with_name("other.onnx"), other_spec)
    with RemotePolicy(first.endpoint, spec) as policy:
        steps = make_steps(RemoteAgent(policy))
        steps.until("running")
        first.process.kill()
        first.process.wait(10)
        steps.until("holding")
        start_server(other, first.endpoint)
        with pytest.raises(DeployError, match=r"other\.onnx does not fit .* lift: high 1\.4"):
            steps.until("running")


@pytest.mark.parametrize("module", ["demoloop.deploy.run", "demoloop.cli.run"])
def test_robot_that_asks_a_server_does_not_load_onnxruntime(module: str) -> None:
    code = f"import sys, {module}; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
