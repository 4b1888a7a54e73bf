"""What a server grants, refuses and answers, over real sockets and whoever is at the other end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from demoloop.deploy import ActionChunk, DeployError
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.server import MAX_ROBOTS, PolicyServer
from demoloop.deploy.translate import observation_message
from demoloop.deploy.transports import open_connection
from demoloop.deploy.wire import (
    Bye,
    ChunkBody,
    Credit,
    Fault,
    Heartbeat,
    Hello,
    Message,
    Welcome,
    decode,
)
from demoloop.robot import Observation, RobotSpec

Serving = Callable[..., AbstractContextManager[PolicyServer]]
BodyT = TypeVar("BodyT")


@pytest.fixture(params=["tcp", "unix"])
def serving(request: pytest.FixtureRequest, serving: Serving, tmp_path: Path) -> Serving:
    """Serves over each transport in turn."""
    is_tcp = request.param == "tcp"
    endpoint = "tcp://127.0.0.1:*" if is_tcp else f"unix://{tmp_path}/s.sock"
    return lambda policy, name="policy": serving(policy, endpoint, name)


class Peer:
    """A bare end of a connection that says exactly what a test tells it to."""

    def __init__(self, endpoint: str) -> None:
        self._channel = open_connection(endpoint, None)

    def say(self, message: Message) -> None:
        deadline = time.monotonic() + 10.0
        while not self._channel.send(message):  # a connection is not there at once
            assert time.monotonic() < deadline
            self._channel.wait(0.01)

    def next(self, timeout_s: float = 10.0) -> Message | None:
        """Returns the next message, None when none comes in time."""
        deadline = time.monotonic() + timeout_s
        while (parts := self._channel.receive()) is None:
            if time.monotonic() > deadline:
                return None
            self._channel.wait(0.01)
        return decode(parts)

    def hear(self, kind: type[BodyT], timeout_s: float = 10.0) -> tuple[Message, BodyT]:
        """Returns the next message of a kind, past all others."""
        while (message := self.next(timeout_s)) is not None:
            if isinstance(message.body, kind):
                return message, message.body
        raise AssertionError(f"no {kind.__name__} came")

    def greet(self, spec: RobotSpec) -> int:
        self.say(Message(Hello(spec, spec.fingerprint()), time_ns=time.monotonic_ns()))
        return self.hear(Welcome)[0].session

    def heard_before_a_heartbeat(self) -> list[Message]:
        """Whatever comes up to the second heartbeat from now: what was sent before is answered."""
        heard: list[Message] = []
        while sum(isinstance(message.body, Heartbeat) for message in heard) < 2:
            message = self.next()
            assert message is not None
            heard.append(message)
        return heard

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def connect() -> Iterator[Callable[[PolicyServer], Peer]]:
    peers: list[Peer] = []

    def make(server: PolicyServer) -> Peer:
        peers.append(Peer(server.endpoint))
        return peers[-1]

    yield make
    for peer in peers:
        peer.close()


def num_chunks(messages: list[Message]) -> int:
    return sum(isinstance(message.body, ChunkBody) for message in messages)


def test_answer_belongs_to_its_observation(
    serving: Serving, still: Any, spec: RobotSpec, observe: Callable[..., Observation]
) -> None:
    with serving(still) as server, RemotePolicy(server.endpoint, spec) as policy:
        for time, position in [(5.0, 0.1), (5.5, 0.2), (4.0, 0.3)]:
            chunk = policy.predict(observe(time=time, positions=(position, 0.0, 0.5)))
            assert chunk.time == time
            np.testing.assert_allclose(chunk.actions[0], [position + 0.01, 0.01, 0.51], atol=1e-6)


def test_the_server_sees_what_the_robot_saw(
    serving: Serving, still: Any, spec: RobotSpec, observe: Callable[..., Observation]
) -> None:
    seen = observe(time=3.0)
    with serving(still) as server, RemotePolicy(server.endpoint, spec) as policy:
        policy.predict(seen)
    assert still.seen[0].image_times == seen.image_times
    np.testing.assert_array_equal(still.seen[0].images["wrist"], seen.images["wrist"])


@pytest.mark.parametrize("copies", [2, 5])
def test_observation_is_answered_at_most_once(
    serving: Serving,
    still: Any,
    spec: RobotSpec,
    observe: Callable[..., Observation],
    connect: Callable[[PolicyServer], Peer],
    copies: int,
) -> None:
    with serving(still) as server:
        peer = connect(server)
        session = peer.greet(spec)
        for _ in range(copies):
            peer.say(observation_message(observe(), session, seq=1))
        peer.hear(ChunkBody)
        peer.say(observation_message(observe(), session, seq=1))  # and once it was answered
        assert num_chunks(peer.heard_before_a_heartbeat()) == 0
    assert len(still.seen) == 1


def test_observation_without_credit_is_not_answered(
    serving: Serving,
    still: Any,
    spec: RobotSpec,
    observe: Callable[..., Observation],
    connect: Callable[[PolicyServer], Peer],
) -> None:
    with serving(still) as server:
        peer = connect(server)
        session = peer.greet(spec)
        for seq in (2, 3, 2**63):
            peer.say(observation_message(observe(), session, seq))
        assert num_chunks(peer.heard_before_a_heartbeat()) == 0


def test_observation_of_another_session_is_refused_with_that_sessions_number(
    serving: Serving,
    still: Any,
    spec: RobotSpec,
    observe: Callable[..., Observation],
    connect: Callable[[PolicyServer], Peer],
) -> None:
    with serving(still) as server:
        peer = connect(server)
        foreign = peer.greet(spec) ^ 1
        peer.say(observation_message(observe(), foreign, seq=1))
        message, fault = peer.hear(Fault)
        assert (message.session, fault.code) == (foreign, "unknown_session")
    assert not still.seen


def test_each_session_has_a_number_of_its_own(
    serving: Serving, still: Any, spec: RobotSpec, connect: Callable[[PolicyServer], Peer]
) -> None:
    with serving(still) as server:
        peer = connect(server)
        assert len({peer.greet(spec) for _ in range(10)} - {0}) == 10


def test_lost_credit_is_made_up_for_by_a_heartbeat(
    serving: Serving,
    still: Any,
    spec: RobotSpec,
    observe: Callable[..., Observation],
    connect: Callable[[PolicyServer], Peer],
) -> None:
    with serving(still) as server:
        peer = connect(server)
        peer.say(observation_message(observe(), peer.greet(spec), seq=1))
        peer.hear(ChunkBody)  # and what it says of credit is taken for lost
        _, beat = peer.hear(Heartbeat)
        assert beat.up_to == 2


def test_lost_observation_is_made_up_for_by_a_new_credit(
    serving: Serving, still: Any, spec: RobotSpec, connect: Callable[[PolicyServer], Peer]
) -> None:
    with serving(still) as server:
        peer = connect(server)
        session = peer.greet(spec)
        peer.say(Message(Heartbeat(), session, seq=1))  # observation 1 was sent and never came
        _, credit = peer.hear(Credit)
        assert credit.up_to == 2


def test_another_robots_policy_is_refused_in_one_sentence(
    serving: Serving, still: Any, other_spec: RobotSpec
) -> None:
    with (
        serving(still, name="policy.onnx") as server,
        pytest.raises(
            DeployError,
            match=r"^\w+:\S+: .*policy\.onnx does not fit .* lift: high 1\.5, the robot has 1\.4",
        ) as refusal,
    ):
        RemotePolicy(server.endpoint, other_spec).connect()
    assert "\n" not in str(refusal.value)


def test_robot_beyond_the_greatest_number_is_told_so(
    serving: Serving, still: Any, spec: RobotSpec, connect: Callable[[PolicyServer], Peer]
) -> None:
    with serving(still) as server:
        for _ in range(MAX_ROBOTS):
            connect(server).greet(spec)
        with pytest.raises(DeployError, match="robots are connected already"):
            RemotePolicy(server.endpoint, spec, timeout_s=1.0).connect()


def test_goodbye_makes_room(
    serving: Serving,
    still: Any,
    spec: RobotSpec,
    connect: Callable[[PolicyServer], Peer],
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    with serving(still) as server:
        peer = connect(server)
        peer.say(Message(Bye(), peer.greet(spec)))
        eventually(lambda: server.num_robots == 0)


def test_server_that_ends_says_goodbye(
    serving: Serving, still: Any, spec: RobotSpec, connect: Callable[[PolicyServer], Peer]
) -> None:
    with serving(still) as server:
        peer = connect(server)
        session = peer.greet(spec)
    assert peer.hear(Bye)[0].session == session


def test_robots_do_not_hear_each_others_answers(
    serving: Serving, still: Any, spec: RobotSpec, observe: Callable[..., Observation]
) -> None:
    with serving(still) as server, ExitStack() as stack:
        robots = [stack.enter_context(RemotePolicy(server.endpoint, spec)) for _ in range(3)]
        answers: list[set[float]] = [set() for _ in robots]

        def ask(index: int) -> None:
            for step in range(20):
                position = 0.1 * (index + 1)
                seen = observe(time=float(step), positions=(position, 0.0, 0.5))
                answers[index].add(round(float(robots[index].predict(seen).actions[0, 0]), 4))

        threads = [threading.Thread(target=ask, args=(index,)) for index in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [{0.11}, {0.21}, {0.31}]
        assert [robot.num_dropped for robot in robots] == [0, 0, 0]


class Slow:
    """Answers nothing until it is let go, and counts its questions."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self.go_on = threading.Event()
        self.num_asked = 0

    def predict(self, observation: Observation) -> ActionChunk:
        self.num_asked += 1
        self.go_on.wait(20)
        return ActionChunk(np.zeros((6, 3), np.float32), observation.time)


def test_who_greets_again_and_again_piles_up_no_questions(
    serving: Serving,
    spec: RobotSpec,
    observe: Callable[..., Observation],
    connect: Callable[[PolicyServer], Peer],
) -> None:
    policy = Slow(spec)
    with serving(policy) as server:
        peer = connect(server)
        for _ in range(10):
            peer.say(observation_message(observe(), peer.greet(spec), seq=1))
        policy.go_on.set()
        peer.hear(ChunkBody)
        assert num_chunks(peer.heard_before_a_heartbeat()) == 0
    assert policy.num_asked <= 2  # the one it may have begun, and the last


def test_heartbeats_go_on_while_the_policy_answers_and_say_that_it_does_not_get_on(
    serving: Serving,
    spec: RobotSpec,
    observe: Callable[..., Observation],
    connect: Callable[[PolicyServer], Peer],
) -> None:
    policy = Slow(spec)
    with serving(policy) as server:
        peer = connect(server)
        peer.say(observation_message(observe(), peer.greet(spec), seq=1))
        while policy.num_asked == 0:
            peer.hear(Heartbeat)
        peer.hear(Heartbeat)
        assert len({peer.hear(Heartbeat)[1].progress for _ in range(3)}) == 1
        policy.go_on.set()
        peer.hear(ChunkBody)
        assert len({peer.hear(Heartbeat)[1].progress for _ in range(3)}) == 3
