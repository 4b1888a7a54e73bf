"""Laws of the metrics: what is scraped over a real socket parses and says what was counted."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

import pytest

from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.errors import DeployError
from demoloop.deploy.metrics import (
    Histogram,
    Metric,
    counter,
    counters,
    exposition,
    gauge,
    histogram,
)
from demoloop.deploy.metrics_server import MetricsServer, parse_address
from demoloop.deploy.run import run_remote
from demoloop.deploy.server import PolicyServer
from demoloop.deploy.server_metrics import Events, server_metrics
from demoloop.deploy.vitals import Vitals
from demoloop.robot import Action, Observation, RobotSpec

Serving = Callable[..., AbstractContextManager[PolicyServer]]
Samples = dict[str, float]

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME}(?:\{{{LABEL}(?:,{LABEL})*\}})?) ([+-]Inf|NaN|[-+.e0-9]+)")
HELP = re.compile(rf"# HELP ({NAME}) .+")
TYPE = re.compile(rf"# TYPE ({NAME}) (counter|gauge|histogram)")


def parse(text: str) -> Samples:
    """A strict reader of format 0.0.4: each family has HELP, TYPE, then its samples."""
    assert text.endswith("\n")
    samples: Samples = {}
    families: list[str] = []
    for line in text.splitlines():
        if said := HELP.fullmatch(line):
            assert said[1] not in families
            families.append(said[1])
        elif said := TYPE.fullmatch(line):
            assert said[1] == families[-1]
        else:
            said = SAMPLE.fullmatch(line)
            assert said, line
            assert said[1].startswith(families[-1])
            assert said[1] not in samples
            samples[said[1]] = float(said[2])
    return samples


def scrape(url: str, path: str = "/metrics", method: str = "GET") -> tuple[int, str, str]:
    """Returns status, content type and text."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, response.headers["Content-Type"], text


def test_scrape_is_text_0_0_4_with_the_values_of_that_moment() -> None:
    seen = Histogram((0.001, 0.01))
    values: list[Metric] = []
    with MetricsServer("127.0.0.1:0", lambda: values) as server:
        for seconds in (0.0005, 0.001, 0.005, 3.0):
            seen.add(seconds)
        values += [counter("a_total", "Of a.", 7), gauge("b", "Of b.", -0.5)]
        values += [counters("c_total", "Of c.", "to", {"x": 1, "y": 2})]
        values += [histogram("d_seconds", "Of d.", seen)]
        status, content_type, text = scrape(server.url)
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert parse(text) == {
        **{"a_total": 7, "b": -0.5, 'c_total{to="x"}': 1, 'c_total{to="y"}': 2},
        **{'d_seconds_bucket{le="0.001"}': 2, 'd_seconds_bucket{le="0.01"}': 3},
        **{'d_seconds_bucket{le="+Inf"}': 4, "d_seconds_sum": 3.0065, "d_seconds_count": 4},
    }


def test_text_of_a_label_cannot_break_a_line() -> None:
    text = exposition([counters("a_total", "Of a.\nb", "to", {'"x\\"\n} 9': 1})])
    assert list(parse(text).values()) == [1]


def test_run_counts_what_its_report_says(
    serving: Serving, still: Any, robot: Any, spec: RobotSpec
) -> None:
    with (
        serving(still) as server,
        RemotePolicy(server.endpoint, spec) as policy,
    ):
        vitals = Vitals(policy, 50.0, num_episodes=2)
        with MetricsServer("127.0.0.1:0", vitals.metrics) as metrics:
            report = run_remote(robot, policy, num_episodes=2, max_steps=25, vitals=vitals)
            seen = parse(scrape(metrics.url)[2])
    episodes = report.episodes
    assert seen["demoloop_run_episodes_total"] == 2
    assert seen["demoloop_run_ticks_total"] == sum(it.num_steps for it in episodes) == 50
    assert seen["demoloop_run_skipped_ticks_total"] == sum(it.num_skipped for it in episodes)
    assert seen["demoloop_run_round_trip_seconds_count"] == report.num_chunks >= 1
    assert seen["demoloop_run_lateness_seconds_count"] == 50
    stretches = [stretch.state for it in episodes for stretch in it.timeline]
    for state in ("waiting", "running", "holding"):
        entered = seen[f'demoloop_run_transitions_total{{to="{state}"}}']
        assert entered == stretches.count(state)
    assert sum(seen[f'demoloop_run_state{{state="{s}"}}'] for s in set(stretches)) == 1


def test_neither_loop_nor_end_waits_for_one_who_connects_and_says_nothing(
    serving: Serving, still: Any, robot: Any, spec: RobotSpec
) -> None:
    def connect(observation: Observation, action: Action) -> None:
        if len(robot.sent) % 10 == 1:  # and says nothing, ever
            silent.append(socket.create_connection(("127.0.0.1", port), timeout=10))

    silent: list[socket.socket] = []
    with serving(still) as server, RemotePolicy(server.endpoint, spec) as policy:
        vitals = Vitals(policy, 50.0, num_episodes=1)
        with MetricsServer("127.0.0.1:0", vitals.metrics) as metrics:
            port = urlsplit(metrics.url).port
            report = run_remote(
                robot, policy, num_episodes=1, max_steps=30, vitals=vitals, on_step=connect
            )
    for each in silent:
        each.close()
    assert len(silent) >= 3
    assert report.episodes[0].num_steps == 30


def test_server_counts_robots_chunks_and_refusals(
    serving: Serving, still: Any, spec: RobotSpec, other_spec: RobotSpec, observe: Any
) -> None:
    told: list[str] = []
    events = Events(lambda event, session=0, **details: told.append(event))
    with (
        serving(still, on_event=events) as server,
        MetricsServer("127.0.0.1:0", lambda: server_metrics(server, events)) as metrics,
    ):
        with RemotePolicy(server.endpoint, spec) as policy:
            policy.predict(observe(time=1.0))
            seen = parse(scrape(metrics.url)[2])
        with pytest.raises(DeployError), RemotePolicy(server.endpoint, other_spec):
            pass
        later = parse(scrape(metrics.url)[2])
    assert (seen["demoloop_serve_robots"], seen["demoloop_serve_chunks_total"]) == (1, 1)
    assert seen["demoloop_serve_inference_seconds_count"] == 1
    assert seen['demoloop_serve_events_total{event="welcomed"}'] == 1
    assert later['demoloop_serve_events_total{event="refused"}'] >= 1
    assert later["demoloop_serve_turns_total"] >= seen["demoloop_serve_turns_total"]
    assert told.count("welcomed") == 1


def test_nothing_else_is_served() -> None:
    with MetricsServer("127.0.0.1:0", lambda: []) as server:
        assert scrape(server.url, "/")[0] == 404
        assert scrape(server.url, "/metrics/../x")[0] == 404
        assert scrape(server.url, method="POST")[0] == 501


@pytest.mark.parametrize("address", ["0.0.0.0:9100", "10.0.0.7:9100", "robot.local:9100", ":9100"])
def test_metrics_are_served_on_loopback_alone(address: str) -> None:
    with pytest.raises(DeployError, match=r"neither encrypted nor locked, so name 127\.0\.0\.1"):
        parse_address(address)


@pytest.mark.parametrize("address", ["", "9100", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536"])
def test_what_is_no_address_is_one_sentence(address: str) -> None:
    with pytest.raises(DeployError, match="--metrics is"):
        MetricsServer(address, lambda: [])


def test_busy_port_is_one_sentence() -> None:
    with MetricsServer("127.0.0.1:0", lambda: []) as server:
        address = urlsplit(server.url).netloc
        with (
            pytest.raises(DeployError, match=r"in use; choose another port with --metrics"),
            MetricsServer(address, lambda: []),
        ):
            pass
