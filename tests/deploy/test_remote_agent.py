"""Whatever happens to the server, the robot holds, and goes on only with what is new and asked."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from numpy.typing import NDArray

from demoloop.deploy import ActionChunk, DeployError
from demoloop.deploy.client import Arrival, RemotePolicy
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.deploy.server import PolicyServer
from demoloop.deploy.sockets import bind, make_socket
from demoloop.deploy.translate import chunk_message
from demoloop.deploy.wire import (
    Body,
    Bye,
    Heartbeat,
    Hello,
    Message,
    ObservationBody,
    Welcome,
    decode,
    encode,
)
from demoloop.robot import Observation, RobotSpec

Serving = Callable[..., AbstractContextManager[PolicyServer]]
Observe = Callable[..., Observation]
Eventually = Callable[[Callable[[], object]], None]
PERIOD_S = 1 / 50
BEFORE, AFTER = (0.1, 0.2, 0.3), (-0.5, 1.0, 0.6)
SHORT_CHUNK = 0.35  # a tiny policy's chunk moves no joint further than this from where it began

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


class Steps:
    """Takes a robot's steps one by one and keeps the targets."""

    def __init__(self, agent: RemoteAgent, observe: Observe) -> None:
        self.agent = agent
        self.positions = BEFORE
        self.targets: list[NDArray[np.float32]] = []
        self._observe = observe

    def step(self) -> NDArray[np.float32]:
        seen = self._observe(time=time.monotonic(), positions=self.positions)
        self.targets.append(self.agent.decide(seen).copy())
        time.sleep(PERIOD_S / 4)
        return self.targets[-1]

    def until(self, state: str, reason: str = "") -> NDArray[np.float32]:
        """Steps until the agent is in a state; returns the target of that step."""
        deadline = time.monotonic() + 10.0
        while True:
            target = self.step()
            if self.agent.state == state and reason in self.agent.reason:
                return target
            assert time.monotonic() < deadline, f"{self.agent.state}: {self.agent.reason}"


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "goodbye"])
@needs_signals
def test_robot_holds_when_its_server_dies_and_goes_on_with_a_new_one(
    start_server: Callable[..., Any],
    policy_file: Path,
    spec: RobotSpec,
    observe: Observe,
    death: int,
) -> None:
    first = start_server(policy_file)
    with RemotePolicy(first.endpoint, spec) as policy:
        steps = Steps(RemoteAgent(policy), observe)
        steps.until("running")
        first.signal(death)
        first.process.wait(10)
        held = steps.until("holding", "no sign of life")
        steps.positions = AFTER  # as if somebody had moved the arm meanwhile
        for _ in range(20):
            np.testing.assert_array_equal(steps.step(), held)
        start_server(policy_file, first.endpoint)
        steps.targets.clear()
        resumed = steps.until("running")
        for target in steps.targets[:-1]:
            np.testing.assert_array_equal(target, held)
        # The first new target belongs to where the arm is now, not to any chunk of before.
        assert np.abs(resumed - AFTER).max() < SHORT_CHUNK


@needs_signals
def test_robot_holds_while_its_server_is_frozen_and_goes_on_after(
    start_server: Callable[..., Any], policy_file: Path, spec: RobotSpec, observe: Observe
) -> None:
    server = start_server(policy_file)
    with RemotePolicy(server.endpoint, spec) as policy:
        steps = Steps(RemoteAgent(policy), observe)
        steps.until("running")
        server.signal(signal.SIGSTOP)
        held = steps.until("holding", "no sign of life")
        steps.positions = AFTER
        for _ in range(100):  # long enough for several greetings to pile up
            np.testing.assert_array_equal(steps.step(), held)
        server.signal(signal.SIGCONT)
        resumed = steps.until("running")
        assert np.abs(resumed - AFTER).max() < SHORT_CHUNK


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
    serving: Serving, gated: Gated, spec: RobotSpec, observe: Observe
) -> None:
    gated.gate.set()
    with serving(gated) as server, RemotePolicy(server.endpoint, spec) as policy:
        steps = Steps(RemoteAgent(policy, silence_s=0.3), observe)
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
        agent = RemoteAgent(policy, silence_s=60.0, max_age_s=0.2)
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


def test_exhausted_chunk_is_held_at_its_end(
    serving: Serving, gated: Gated, spec: RobotSpec, observe: Observe
) -> None:
    gated.gate.set()
    with serving(gated) as server, RemotePolicy(server.endpoint, spec) as policy:
        steps = Steps(RemoteAgent(policy, silence_s=60.0), observe)
        steps.until("running")
        gated.gate.clear()
        held = steps.until("holding", "the last chunk ran out")
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
        agent = RemoteAgent(policy, replan_every=4)
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
    observe: Observe,
) -> None:
    first = start_server(policy_file)
    other = make_policy(policy_file.with_name("other.onnx"), other_spec)
    with RemotePolicy(first.endpoint, spec) as policy:
        steps = Steps(RemoteAgent(policy), observe)
        steps.until("running")
        first.process.kill()
        first.process.wait(10)
        steps.until("holding")
        start_server(other, first.endpoint)
        with pytest.raises(DeployError, match=r"other\.onnx does not fit .* lift: high 1\.4"):
            steps.until("running")


class Liar:
    """A server that says exactly what a test tells it to."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = make_socket(self._context, zmq.ROUTER)
        self.endpoint = bind(self._socket, "tcp://127.0.0.1:*")
        self._to = b""

    def hear(self, kind: type[Body]) -> Message:
        """Returns the next message of a kind, past all others."""
        while self._socket.poll(10_000):
            self._to, *parts = self._socket.recv_multipart()
            message = decode(parts)
            if isinstance(message.body, kind):
                return message
        raise AssertionError(f"no {kind.__name__} came")

    def say(self, message: Message) -> None:
        self._socket.send_multipart([self._to, *encode(message)])

    def close(self) -> None:
        self._context.destroy(linger=0)


@pytest.fixture
def liar() -> Iterator[Liar]:
    server = Liar()
    yield server
    server.close()


@pytest.fixture
def welcomed(liar: Liar, spec: RobotSpec) -> Iterator[RemotePolicy]:
    """A connection in session 5 that may send one observation."""
    policy = RemotePolicy(liar.endpoint, spec)

    def welcome() -> None:
        liar.hear(Hello)
        liar.say(Message(Welcome("liar", spec.fingerprint(), up_to=1), session=5))

    thread = threading.Thread(target=welcome)
    thread.start()
    policy.connect()
    thread.join()
    yield policy
    policy.close()


STILL = np.zeros((6, 3), np.float32)


def answer(question: Message, actions: NDArray[np.float32] = STILL, **changes: Any) -> Message:
    message = chunk_message(ActionChunk(actions, question.time_ns * 1e-9), 1.0, question, seq=1)
    return replace(message, **changes)


def collect_until(policy: RemotePolicy, is_done: Callable[[], bool]) -> list[Arrival]:
    arrivals: list[Arrival] = []
    deadline = time.monotonic() + 10.0
    while not is_done():
        arrivals += policy.collect(wait_s=0.01)
        assert time.monotonic() < deadline
    return arrivals


def test_only_the_answer_that_was_asked_for_is_taken_and_only_once(
    liar: Liar, welcomed: RemotePolicy, observe: Observe
) -> None:
    assert welcomed.send(observe(time=3.0))
    question = liar.hear(ObservationBody)
    lies = [
        answer(question, session=6),  # of another session
        answer(question, ack_seq=2),  # of an observation that was never sent
        answer(question, time_ns=question.time_ns + 1),  # of another time
    ]
    for lie in lies:
        liar.say(lie)
    assert not collect_until(welcomed, lambda: welcomed.num_dropped == 3)
    assert welcomed.send(observe(time=3.5)) is False  # no credit
    liar.say(Message(Heartbeat(progress=1, up_to=2), session=5))
    arrivals = collect_until(welcomed, lambda: welcomed.send(observe(time=4.0)))
    question = liar.hear(ObservationBody)
    true = answer(question)
    liar.say(true)
    liar.say(true)
    arrivals += collect_until(welcomed, lambda: welcomed.num_dropped == 4)
    assert [arrival.chunk.time for arrival in arrivals] == [4.0]


def test_chunk_beyond_the_limits_is_dropped(
    liar: Liar, welcomed: RemotePolicy, observe: Observe
) -> None:
    assert welcomed.send(observe())
    question = liar.hear(ObservationBody)
    liar.say(answer(question, np.full((6, 3), 9.0, np.float32)))
    assert not collect_until(welcomed, lambda: welcomed.num_dropped == 1)


def test_credit_that_was_lost_comes_with_a_heartbeat(
    liar: Liar, welcomed: RemotePolicy, observe: Observe
) -> None:
    assert welcomed.send(observe(time=1.0))
    assert not welcomed.send(observe(time=2.0))
    liar.hear(ObservationBody)
    liar.say(Message(Heartbeat(progress=1, up_to=2), session=5))
    collect_until(welcomed, lambda: welcomed.send(observe(time=3.0)))
    assert liar.hear(ObservationBody).time_ns == 3_000_000_000


def test_heartbeat_tells_the_server_what_was_sent_last(
    liar: Liar, welcomed: RemotePolicy, observe: Observe
) -> None:
    welcomed.send(observe())
    heard: list[Message] = []
    thread = threading.Thread(target=lambda: heard.append(liar.hear(Heartbeat)))
    thread.start()
    collect_until(welcomed, lambda: not thread.is_alive())
    assert (heard[0].session, heard[0].seq) == (5, 1)


def test_robot_holds_at_once_after_the_servers_goodbye(
    liar: Liar, welcomed: RemotePolicy, observe: Observe
) -> None:
    steps = Steps(RemoteAgent(welcomed, silence_s=1e6), observe)
    steps.step()
    liar.say(answer(liar.hear(ObservationBody)))
    steps.until("running")
    liar.say(Message(Bye(), session=5))
    steps.until("holding", "no sign of life")


def test_life_without_a_new_chunk_does_not_bring_the_old_one_back(
    liar: Liar, welcomed: RemotePolicy, observe: Observe
) -> None:
    long = np.linspace(0, 0.5, 1000, dtype=np.float32)[:, None].repeat(3, axis=1)  # 20 s
    steps = Steps(RemoteAgent(welcomed, silence_s=0.3), observe)
    steps.step()
    liar.say(answer(liar.hear(ObservationBody), long))
    steps.until("running")
    held = steps.until("holding", "no sign of life")
    liar.say(Message(Heartbeat(progress=7), session=5))
    np.testing.assert_array_equal(steps.until("waiting"), held)


def test_closing_says_goodbye(liar: Liar, welcomed: RemotePolicy) -> None:
    welcomed.close()
    assert liar.hear(Bye).session == 5


@pytest.mark.parametrize("module", ["demoloop.deploy.run", "demoloop.cli.run"])
def test_robot_that_asks_a_server_does_not_load_onnxruntime(module: str) -> None:
    code = f"import sys, {module}; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
