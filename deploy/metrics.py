"""Counters, gauges and histograms in the text format 0.0.4 that Prometheus reads.

Whoever counts only adds to a number; the text is made by the thread that was asked for it. Nothing
is locked, since a reader that is not real-time must never make a control loop wait.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import msgspec

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
LATENESS_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05)

Labels = Mapping[str, str]


Finite = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]


class Times(msgspec.Struct, frozen=True):
    """A histogram as it was at one moment, small enough to be sent."""

    bounds: Annotated[tuple[Finite, ...], msgspec.Meta(max_length=32)]  # s, rising
    counts: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)], ...], msgspec.Meta(max_length=33)
    ]  # one more than bounds: above them all
    sum: Finite  # s
    last: Finite  # s
    worst: Finite  # s

    @property
    def count(self) -> int:
        """How many times were added."""
        return sum(self.counts)

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """Yields (suffix, labels, value) of each line; the counts agree with each other."""
        total = 0
        for bound, count in zip([*self.bounds, math.inf], self.counts, strict=False):
            total += count
            yield "_bucket", {"le": _number(bound)}, total
        yield "_sum", {}, self.sum
        yield "_count", {}, total


class Histogram:
    """How often a time fell below each of some bounds.

    Args:
        bounds: s, rising; one above all of them is added.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.sum = 0.0  # s
        self.last = 0.0  # s
        self.worst = 0.0  # s
        self._counts = [0] * (len(self.bounds) + 1)

    @property
    def count(self) -> int:
        """How many times were added."""
        return sum(self._counts)

    def add(self, seconds: float) -> None:
        """Adds one time; of one thread alone."""
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds
        self.last = seconds
        self.worst = max(self.worst, seconds)

    def at_once(self) -> Times:
        """Returns what it is at this moment."""
        return Times(self.bounds, tuple(self._counts), self.sum, self.last, self.worst)

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """Yields (suffix, labels, value) of each line; the counts agree with each other."""
        return self.at_once().samples()


class _Sampled(Protocol):
    def samples(self) -> Iterator[tuple[str, Labels, float]]: ...


@dataclass(frozen=True)
class Metric:
    """One name with its values."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: Sequence[tuple[str, Labels, float]]  # (suffix of the name, labels, value)


def counter(name: str, text: str, value: float) -> Metric:
    """A number that only grows while the process lives; `name` ends in `_total`."""
    return Metric(name, "counter", text, [("", {}, value)])


def gauge(name: str, text: str, value: float) -> Metric:
    """A number that goes up and down."""
    return Metric(name, "gauge", text, [("", {}, value)])


def histogram(name: str, text: str, value: _Sampled) -> Metric:
    """A distribution; `name` ends in `_seconds`."""
    return Metric(name, "histogram", text, list(value.samples()))


def counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """One counter for each value of a label."""
    return Metric(name, "counter", text, [("", {label: key}, n) for key, n in values.items()])


def exposition(metrics: Iterable[Metric]) -> str:
    """Returns the text of all metrics."""
    lines = []
    for metric in metrics:
        lines.append(f"# HELP {metric.name} {_escape(metric.help)}")
        lines.append(f"# TYPE {metric.name} {metric.kind}")
        for suffix, labels, value in metric.samples:
            pairs = ",".join(
                f'{key}="{_escape(text)}"'.replace("\n", " ") for key, text in labels.items()
            )
            shown = f"{{{pairs}}}" if pairs else ""
            lines.append(f"{metric.name}{suffix}{shown} {_number(value)}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else f"{value:.12g}"
