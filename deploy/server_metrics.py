"""What Prometheus is told about a policy server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from demoloop.deploy.events import Detail, OnEvent
from demoloop.deploy.metrics import Metric, counter, counters, gauge, histogram
from demoloop.deploy.server import PolicyServer

_KINDS = ("welcomed", "left", "refused", "outside")


class Events:
    """Counts what a server tells, and passes it on."""

    def __init__(self, pass_on: OnEvent) -> None:
        self.count: Counter[str] = Counter(dict.fromkeys(_KINDS, 0))
        self._pass_on = pass_on

    def __call__(self, event: str, session: int = 0, **details: Detail) -> None:
        """Takes one event; the server lets one thread at a time tell."""
        self.count[event] += 1
        self._pass_on(event, session, **details)


def server_metrics(server: PolicyServer, events: Events) -> Iterator[Metric]:
    """Yields the present values, without waiting for the server."""
    yield gauge("demoloop_serve_robots", "Robots with a session.", server.num_robots)
    yield counter("demoloop_serve_chunks_total", "Observations answered.", server.num_answered)
    yield counter(
        "demoloop_serve_turns_total", "Turns of the inference loop; still: it hangs.", server.turns
    )
    yield histogram("demoloop_serve_inference_seconds", "Of each chunk.", server.inference)
    yield counters(
        "demoloop_serve_events_total", "Robots that came, left or were refused something.",
        "event", dict(events.count),
    )  # fmt: skip
