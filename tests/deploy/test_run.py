"""A run in real time, and what its report says."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.report import Quantiles, Sample
from demoloop.deploy.run import run_remote
from demoloop.deploy.server import PolicyServer
from demoloop.robot import Action, Observation, RobotSpec

pytestmark = pytest.mark.realtime

Serving = Callable[..., AbstractContextManager[PolicyServer]]


def test_run_executes_what_the_policy_says(
    serving: Serving, still: Any, robot: Any, spec: RobotSpec
) -> None:
    with (
        serving(still, name="policy.onnx") as server,
        RemotePolicy(server.endpoint, spec) as policy,
    ):
        report = run_remote(
            robot, policy, num_episodes=1, max_steps=1500,
            has_succeeded=lambda: robot.sent[-1][0] > 0.145,
        )  # fmt: skip
    episode = report.episodes[0]
    assert (report.policy, report.server, report.robot) == ("policy.onnx", server.endpoint, "tiny")
    assert episode.num_steps <= len(robot.sent)  # which then came to rest
    assert episode.timeline[-1].state == "running"
    assert report.num_chunks >= 5
    # Each answer asks all joints for 0.01 more than was seen, and nothing else moves them.
    np.testing.assert_allclose(robot.sent[0], [0.1, 0.2, 0.3], atol=1e-6)
    sent = np.array(robot.sent, np.float32)
    moved = sent[1:] - sent[:-1]
    assert moved.min() > -1e-6
    np.testing.assert_allclose(moved, moved[:, :1].repeat(3, axis=1), atol=1e-4)


def test_timeline_is_gapless_and_as_long_as_the_episode(
    serving: Serving, still: Any, robot: Any, spec: RobotSpec
) -> None:
    times: list[float] = []

    def on_step(observation: Observation, action: Action) -> None:
        times.append(time.monotonic())

    with serving(still) as server, RemotePolicy(server.endpoint, spec) as policy:
        report = run_remote(robot, policy, num_episodes=2, max_steps=20, on_step=on_step)
    for number, episode in enumerate(report.episodes):
        # Not "waiting": real time begins with a garbage collection, and in a process full of other
        # tests that keeps the server, which lives here too, silent for longer than is patient.
        assert (episode.timeline[0].state != "running", episode.timeline[0].start_s) == (True, 0.0)
        assert episode.success is None
        for before, after in zip(episode.timeline, episode.timeline[1:], strict=False):
            assert before.end_s == after.start_s
            assert (before.state, before.reason) != (after.state, after.reason)
        of_this = times[20 * number : 20 * (number + 1)]
        assert episode.seconds >= of_this[-1] - of_this[0] - 1e-4  # to which it is rounded


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_report_tells_of_a_server_that_died_and_came_back(
    start_server: Callable[..., Any], policy_file: Path, robot: Any, spec: RobotSpec
) -> None:
    first = start_server(policy_file)
    second = threading.Thread(target=lambda: start_server(policy_file, first.endpoint))
    targets: list[Action] = []
    silent_steps = 0

    with RemotePolicy(first.endpoint, spec) as policy:

        def on_step(observation: Observation, action: Action) -> None:
            nonlocal silent_steps
            targets.append(action)
            if len(targets) == 10:
                first.process.kill()
                first.process.wait(10)
            # A server that is back within `silence_s` is not missed, and some start that quickly:
            # the second waits until its absence has been noticed.
            silent_steps += policy.silence_s > 0.5
            if silent_steps == 3 and second.ident is None:
                second.start()

        def is_back() -> bool:
            return policy.num_welcomes == 2 and not np.array_equal(targets[-1], targets[-2])

        report = run_remote(
            robot, policy, num_episodes=1, max_steps=1500, on_step=on_step, has_succeeded=is_back
        )
    second.join()
    states = [stretch.state for stretch in report.episodes[0].timeline]
    reasons = [stretch.reason for stretch in report.episodes[0].timeline]
    assert report.episodes[0].success is True
    assert states[0] != "running"  # see above
    assert "no sign of life from the server" in reasons
    assert states[-1] == "running"


def test_log_of_a_run_is_its_timeline(
    serving: Serving, still: Any, robot: Any, spec: RobotSpec
) -> None:
    heard: list[tuple[str, int, dict[str, Any]]] = []

    def on_event(event: str, session: int = 0, **details: Any) -> None:
        heard.append((event, session, details))

    with serving(still) as server, RemotePolicy(server.endpoint, spec) as policy:
        session = policy.session
        report = run_remote(robot, policy, num_episodes=2, max_steps=20, on_event=on_event)
    expected: list[tuple[str, str]] = []
    for episode in report.episodes:
        expected += [("transition", stretch.state) for stretch in episode.timeline]
        expected.append(("episode", ""))
    assert [(event, details.get("to", "")) for event, _, details in heard] == expected
    assert {session for _, session, _ in heard} == {session}
    changes = [details for event, _, details in heard if event == "transition"]
    for before, after in pairwise(changes):
        assert after["from"] in (before["to"], "")  # empty where an episode begins


def test_success_ends_the_episode_and_is_counted(
    serving: Serving, still: Any, robot: Any, spec: RobotSpec
) -> None:
    steps: list[Any] = []
    with serving(still) as server, RemotePolicy(server.endpoint, spec) as policy:
        report = run_remote(
            robot, policy, num_episodes=3, max_steps=1000,
            has_succeeded=lambda: len(steps) % 5 == 0, on_step=lambda *step: steps.append(step),
        )  # fmt: skip
    assert [episode.num_steps for episode in report.episodes] == [5, 5, 5]
    assert report.num_successes == 3


def test_stop_ends_the_run_after_the_present_step_and_keeps_the_report(
    serving: Serving, still: Any, robot: Any, spec: RobotSpec
) -> None:
    stop = threading.Event()

    def on_step(observation: Observation, action: Action) -> None:
        if len(robot.sent) == 7:
            stop.set()

    with serving(still) as server, RemotePolicy(server.endpoint, spec) as policy:
        report = run_remote(
            robot, policy, num_episodes=5, max_steps=1000, stop=stop, on_step=on_step
        )
    assert report.was_interrupted
    assert [episode.num_steps for episode in report.episodes] == [7]


def test_report_is_plain_json_with_what_the_caller_adds(
    serving: Serving, still: Any, robot: Any, spec: RobotSpec
) -> None:
    with serving(still) as server, RemotePolicy(server.endpoint, spec) as policy:
        report = run_remote(robot, policy, num_episodes=1, max_steps=10)
    value = json.loads(report.dumps(task="wave"))
    assert value["task"] == "wave"
    assert value["episodes"][0]["num_steps"] == 10
    assert value["round_trip_ms"]["count"] == report.num_chunks
    assert value["num_successes"] == 0


def test_quantiles_of_nothing_are_none_and_of_numbers_in_order() -> None:
    sample = Sample()
    assert Quantiles.of(sample) is None
    for value in range(101):
        sample.add(float(value))
    assert Quantiles.of(sample) == Quantiles(101, 50, 95, 100)


def test_sample_of_a_long_run_keeps_its_size_and_its_spread() -> None:
    sample = Sample(1000)
    for value in range(100_001):
        sample.add(float(value))
    found = Quantiles.of(sample)
    assert len(sample.values) == 1000
    assert found is not None
    assert (found.count, found.max) == (100_001, 100_000)
    assert found.p50 == pytest.approx(50_000, abs=5_000)  # 3 standard errors of 1000 values
    assert found.p95 == pytest.approx(95_000, abs=2_100)
