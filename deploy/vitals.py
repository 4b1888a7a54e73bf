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
from demoloop.deploy.remote_agent import RemoteAgent


class Vitals:
    """Values of one run. Its loop alone writes them; others may read at any time.

    There is no lock: one held by a watcher, which is not real-time, would hold up the loop. Each
    value is whole; two may be of neighbouring ticks.
    """

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
        if state == "holding":
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

    def metrics(self) -> Iterator[Metric]:
        """Yields what Prometheus is told."""
        states: list[tuple[str, Labels, float]] = [
            ("", {"state": state}, float(self.state == state)) for state in get_args(State)
        ]
        policy = self.policy
        yield Metric("demoloop_run_state", "gauge", "1 for the state the agent is in.", states)
        yield counters(
            "demoloop_run_transitions_total", "Changes into a state.", "to", dict(self.entered)
        )
        yield counter("demoloop_run_episodes_total", "Episodes that are over.", self.num_over)
        yield counter("demoloop_run_successes_total", "Of these, successes.", self.num_successes)
        yield gauge("demoloop_run_guard_hz", "Ticks per second asked for.", self.guard_hz)
        yield counter("demoloop_run_ticks_total", "Ticks made.", self.num_ticks)
        yield counter("demoloop_run_late_ticks_total", "Began after a deadline.", self.num_late)
        yield counter("demoloop_run_skipped_ticks_total", "Deadlines passed.", self.num_skipped)
        yield histogram("demoloop_run_lateness_seconds", "Deadline to waking.", self.lateness)
        yield histogram(
            "demoloop_run_round_trip_seconds", "From a look to its chunk.", self.round_trip
        )
        yield histogram("demoloop_run_inference_seconds", "The server's share.", self.inference)
        yield gauge("demoloop_run_chunk_age_seconds", "Of the look followed.", self.chunk_age_s)
        yield counter("demoloop_run_stale_chunks_total", "Came too late to use.", self.num_stale)
        yield counter(
            "demoloop_run_dropped_messages_total", "Garbled or unasked for.", policy.num_dropped
        )
        yield counter("demoloop_run_sessions_total", "Welcomes by a server.", policy.num_welcomes)
        yield gauge("demoloop_run_credits", "Looks that may be sent now.", policy.credit)
        yield gauge("demoloop_run_connected", "Whether the server is heard.", policy.is_connected)
