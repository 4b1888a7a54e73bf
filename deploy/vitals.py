"""What a run is doing at this moment, for a table or a dashboard that looks from elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import get_args

from demoloop.deploy.client import Arrival, RemotePolicy
from demoloop.deploy.metrics import (
    LATENCY_BOUNDS_S,
    LATENESS_BOUNDS_S,
    Histogram,
    Labels,
    Metric,
    counter,
    counters,
    gauge,
    histogram,
)
from demoloop.deploy.motion import State
from demoloop.deploy.notes import Mode, Status
from demoloop.deploy.remote_agent import RemoteAgent


class Vitals:
    """Values of one run. Its loop alone writes them; `status` is what others get."""

    def __init__(self, policy: RemotePolicy, guard_hz: float, num_episodes: int) -> None:
        self.policy = policy
        self.guard_hz = guard_hz
        self.num_episodes = num_episodes
        self.state: State = "waiting"
        self.reason = ""
        self.since = time.monotonic()  # s, when it came into that state
        self.fault = ""  # the last reason to hold
        self.num_begun = self.num_over = self.num_successes = 0  # episodes
        self.began_at = time.monotonic()  # s, of the present episode
        self.num_ticks = self.num_late = self.num_skipped = 0
        self.chunk_age_s = 0.0
        self.num_stale = 0
        self.entered: Counter[str] = Counter({state: 0 for state in get_args(State)})
        self.lateness = Histogram(LATENESS_BOUNDS_S)
        self.round_trip = Histogram(LATENCY_BOUNDS_S)
        self.inference = Histogram(LATENCY_BOUNDS_S)

    def begin(self) -> None:
        """Another episode begins."""
        self.num_begun += 1
        self.began_at = time.monotonic()

    def end(self, success: bool | None) -> None:
        """The episode is over."""
        self.num_over += 1
        self.num_successes += success is True

    def enter(self, state: State, reason: str) -> None:
        """The agent is in another state, or in the same for another reason."""
        self.state, self.reason, self.since = state, reason, time.monotonic()
        self.entered[state] += 1
        if state in ("holding", "stopped"):
            self.fault = reason

    def tick(self, agent: RemoteAgent, lateness_s: float, num_skipped: int, is_late: bool) -> None:
        """One tick was made."""
        self.num_ticks += 1
        self.num_late += is_late
        self.num_skipped += num_skipped
        self.lateness.add(max(0.0, lateness_s))
        self.chunk_age_s = agent.age_s if agent.state == "running" else 0.0
        self.num_stale = agent.num_stale

    def arrive(self, arrival: Arrival) -> None:
        """A chunk has come."""
        self.round_trip.add(arrival.round_trip_ms / 1e3)
        self.inference.add(arrival.inference_ms / 1e3)

    def status(self, mode: Mode = "go", operator: str = "") -> Status:
        """Returns all of it as it is at this moment, with what an operator has ordered."""
        policy = self.policy
        return Status(
            time=time.monotonic(),
            robot=policy.spec.name[:64],
            policy=policy.policy[:1000],
            endpoint=policy.endpoint[:1000],
            is_connected=policy.is_connected,
            session=policy.session,
            num_welcomes=policy.num_welcomes,
            credit=policy.credit,
            mode=mode,
            operator=operator,
            state=self.state,
            reason=self.reason[:1000],
            since=self.since,
            fault=self.fault[:1000],
            guard_hz=self.guard_hz,
            num_episodes=self.num_episodes,
            num_begun=self.num_begun,
            num_over=self.num_over,
            num_successes=self.num_successes,
            began_at=self.began_at,
            num_ticks=self.num_ticks,
            num_late=self.num_late,
            num_skipped=self.num_skipped,
            chunk_age_s=self.chunk_age_s,
            num_stale=self.num_stale,
            num_dropped=policy.num_dropped,
            entered=dict(self.entered),
            lateness=self.lateness.at_once(),
            round_trip=self.round_trip.at_once(),
            inference=self.inference.at_once(),
        )

    def metrics(self) -> Iterator[Metric]:
        """Yields what Prometheus is told."""
        return status_metrics(self.status())


def status_metrics(status: Status) -> Iterator[Metric]:
    """Yields what Prometheus is told of a run."""
    states: list[tuple[str, Labels, float]] = [
        ("", {"state": state}, float(status.state == state)) for state in get_args(State)
    ]
    yield Metric("demoloop_run_state", "gauge", "1 for the state the agent is in.", states)
    yield counters(
        "demoloop_run_transitions_total", "Changes into a state.", "to", dict(status.entered)
    )
    yield counter("demoloop_run_episodes_total", "Episodes that are over.", status.num_over)
    yield counter("demoloop_run_successes_total", "Of these, successes.", status.num_successes)
    yield gauge("demoloop_run_guard_hz", "Ticks per second asked for.", status.guard_hz)
    yield counter("demoloop_run_ticks_total", "Ticks made.", status.num_ticks)
    yield counter("demoloop_run_late_ticks_total", "Began after a deadline.", status.num_late)
    yield counter("demoloop_run_skipped_ticks_total", "Deadlines passed.", status.num_skipped)
    yield histogram("demoloop_run_lateness_seconds", "Deadline to waking.", status.lateness)
    yield histogram(
        "demoloop_run_round_trip_seconds", "From a look to its chunk.", status.round_trip
    )
    yield histogram("demoloop_run_inference_seconds", "The server's share.", status.inference)
    yield gauge("demoloop_run_chunk_age_seconds", "Of the look followed.", status.chunk_age_s)
    yield counter("demoloop_run_stale_chunks_total", "Came too late to use.", status.num_stale)
    yield counter(
        "demoloop_run_dropped_messages_total", "Garbled or unasked for.", status.num_dropped
    )
    yield counter("demoloop_run_sessions_total", "Welcomes by a server.", status.num_welcomes)
    yield gauge("demoloop_run_credits", "Looks that may be sent now.", status.credit)
    yield gauge("demoloop_run_connected", "Whether the server is heard.", status.is_connected)
