"""A policy that is told by marks gets them, wherever it is, and says so where they are missing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from demoloop.deploy import ActionChunk, PolicyError, WireError
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.server import PolicyServer
from demoloop.deploy.translate import marks_of, observation_message, observation_of
from demoloop.deploy.wire import MarksBody, Message, Welcome, decode, encode
from demoloop.robot import Marks, Observation, RobotSpec

MARKS = Marks(("object", "place"), "front")
GOAL = np.array([[0.25, 0.5], [0.125, 1.0]], np.float32)


class Echo:
    """Answers with what it was told: the goal as actions, and refuses without, as a file does."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self.heard: list[Observation] = []

    def predict(self, observation: Observation) -> ActionChunk:
        self.heard.append(observation)
        if observation.goal is None:
            raise PolicyError("this policy does what is pointed at, and nobody has pointed")
        return ActionChunk(np.full((2, 3), observation.goal[0, 0]), observation.time)


def ask(policy: Echo, marks: Marks | None, seen: Observation, folder: Path) -> ActionChunk:
    """One question through a real socket."""
    stop = threading.Event()
    with PolicyServer(policy, f"unix://{folder}/policy.sock", marks=marks) as server:
        thread = threading.Thread(target=server.serve, args=(stop,))
        thread.start()
        try:
            with RemotePolicy(server.endpoint, policy.spec, 10.0) as remote:
                assert remote.marks == marks
                return remote.predict(seen)
        finally:
            stop.set()
            thread.join()


def test_goal_reaches_a_policy_at_the_other_end_of_a_socket(
    spec: RobotSpec, observe: Callable[..., Observation], tmp_path: Path
) -> None:
    policy = Echo(spec)
    chunk = ask(policy, MARKS, replace(observe(), goal=GOAL), tmp_path)
    np.testing.assert_array_equal(policy.heard[0].goal, GOAL)
    assert np.all(chunk.actions == 0.25)


def test_missing_marks_are_refused_through_the_socket_in_the_policys_words(
    spec: RobotSpec, observe: Callable[..., Observation], tmp_path: Path
) -> None:
    with pytest.raises(Exception, match="does what is pointed at, and nobody has pointed"):
        ask(Echo(spec), MARKS, observe(), tmp_path)


def test_marks_are_not_sent_to_a_server_that_does_not_ask_for_them(
    spec: RobotSpec, observe: Callable[..., Observation], tmp_path: Path
) -> None:
    policy = Echo(spec)
    with pytest.raises(Exception, match="nobody has pointed"):
        ask(policy, None, replace(observe(), goal=GOAL), tmp_path)
    assert policy.heard[0].goal is None


def test_welcome_of_an_older_server_asks_for_no_marks() -> None:
    class OldWelcome(msgspec.Struct):
        policy: str
        fingerprint: str
        up_to: int
        minor: int = 0

    parts = encode(Message(Welcome("policy", "f" * 16, 1)))
    parts[1] = msgspec.msgpack.encode(OldWelcome("policy", "f" * 16, 1))
    body = decode(parts).body
    assert isinstance(body, Welcome)
    assert marks_of(body.marks) is None


@pytest.mark.parametrize(
    "goal",
    [
        np.zeros((9, 2), np.float32),
        np.zeros((2, 3), np.float32),
        np.zeros(4, np.float32),
        np.full((2, 2), -0.01, np.float32),
        np.full((2, 2), 1.01, np.float32),
        np.zeros((2, 2), np.uint8),
    ],
)
def test_marks_that_are_none_are_refused_on_the_wire(
    spec: RobotSpec, observe: Callable[..., Observation], goal: np.ndarray
) -> None:
    message = observation_message(observe(), 1, 1)
    arrays = {**message.arrays, "goal": goal}
    with pytest.raises(WireError, match="marks are 1 to 8 pairs of float32 from 0 to 1"):
        observation_of(replace(message, arrays=arrays), spec)


def test_two_marks_of_one_name_are_no_welcome() -> None:
    with pytest.raises(WireError, match="different names"):
        marks_of(MarksBody(("object", "object"), "front"))
