"""A robot believes a server only what it asked for, whatever else comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from demoloop.deploy import ActionChunk
from demoloop.deploy.client import Arrival, RemotePolicy
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.deploy.translate import chunk_message
from demoloop.deploy.transports import open_listener
from demoloop.deploy.wire import (
    Body,
    Bye,
    Heartbeat,
    Hello,
    Message,
    ObservationBody,
    Welcome,
    decode,
)
from demoloop.robot import Observation, RobotSpec

Observe = Callable[..., Observation]
MakeSteps = Callable[[RemoteAgent], Any]


class Liar:
    """A server that says exactly what a test tells it to."""

    def __init__(self, endpoint: str) -> None:
        self._channel = open_listener(endpoint, None)
        self.endpoint = self._channel.endpoint
        self._to = b""

    def hear(self, kind: type[Body]) -> Message:
        """Returns the next message of a kind, past all others."""
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            letter = self._channel.receive()
            if letter is None:
                self._channel.wait(0.02)
                continue
            self._to = letter.identity
            message = decode(letter.parts)
            if isinstance(message.body, kind):
                return message
        raise AssertionError(f"no {kind.__name__} came")

    def say(self, message: Message) -> None:
        assert self._channel.send(message, self._to)

    def close(self) -> None:
        self._channel.close()


@pytest.fixture(params=["tcp", "unix"])
def liar(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Liar]:
    is_tcp = request.param == "tcp"
    server = Liar("tcp://127.0.0.1:*" if is_tcp else f"unix://{tmp_path}/s.sock")
    yield server
    server.close()


@pytest.fixture
def welcomed(liar: Liar, spec: RobotSpec) -> Iterator[RemotePolicy]:
    """A connection in session 5 that may send one observation."""
    policy = RemotePolicy(liar.endpoint, spec)

    def welcome() -> None:
        greeting = liar.hear(Hello)
        body = Welcome("liar", spec.fingerprint(), up_to=1)
        liar.say(Message(body, session=5, time_ns=greeting.time_ns))

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


def test_after_a_goodbye_no_chunk_is_taken_be_it_of_no_session(
    liar: Liar, welcomed: RemotePolicy, observe: Observe
) -> None:
    assert welcomed.send(observe(time=3.0))
    question = liar.hear(ObservationBody)
    liar.say(Message(Bye(), session=5))
    liar.say(answer(question, session=0))
    assert not collect_until(welcomed, lambda: welcomed.num_dropped == 1)


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
    liar: Liar, welcomed: RemotePolicy, make_steps: MakeSteps
) -> None:
    steps = make_steps(RemoteAgent(welcomed, silence_s=1e6))
    steps.step()
    liar.say(answer(liar.hear(ObservationBody)))
    steps.until("running")
    liar.say(Message(Bye(), session=5))
    steps.until("holding", "no sign of life")


def test_life_without_a_new_chunk_does_not_bring_the_old_one_back(
    liar: Liar, welcomed: RemotePolicy, make_steps: MakeSteps
) -> None:
    long = np.linspace(0, 0.5, 1000, dtype=np.float32)[:, None].repeat(3, axis=1)  # 20 s
    steps = make_steps(RemoteAgent(welcomed, silence_s=0.3))
    steps.step()
    liar.say(answer(liar.hear(ObservationBody), long))
    steps.until("running")
    steps.until("holding", "no sign of life")
    held = steps.until_still()
    liar.say(Message(Heartbeat(progress=7), session=5))
    np.testing.assert_array_equal(steps.until("waiting"), held)


def test_silence_counts_from_when_the_inference_began_that_hangs(
    liar: Liar, spec: RobotSpec
) -> None:
    now = 100.0
    policy = RemotePolicy(liar.endpoint, spec, clock=lambda: now)
    thread = threading.Thread(target=policy.connect)
    thread.start()
    greeting = liar.hear(Hello)
    body = Welcome("liar", spec.fingerprint(), up_to=1)
    liar.say(Message(body, session=5, time_ns=greeting.time_ns))
    thread.join()
    now += 10.0
    liar.say(Message(Heartbeat(progress=1, still_ms=30.0), session=5))
    collect_until(policy, lambda: policy.is_connected)
    assert policy.silence_s == pytest.approx(0.03)
    now += 0.05
    liar.say(Message(Heartbeat(progress=1, still_ms=80.0), session=5))
    policy.collect(wait_s=0.05)
    assert policy.silence_s == pytest.approx(0.08)
    policy.close()


def test_closing_says_goodbye(liar: Liar, welcomed: RemotePolicy) -> None:
    welcomed.close()
    assert liar.hear(Bye).session == 5
