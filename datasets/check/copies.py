"""Episodes that stand in the dataset twice."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.check.defect import Defect
from demoloop.datasets.check.signals import Signals
from demoloop.datasets.lerobot_files import EpisodeInfo

SHARED = 0.5  # of the shorter one's different rows: a copy that was cut at one end
NEAR = 1e-3
"""Of a joint's span, at every look: a copy that was rounded or stored anew. Nobody's hand, and no
simulation with another seed, comes that near."""

LOOKS = 64  # places of an episode at which it is compared


@dataclass(frozen=True)
class Trace:
    """What an episode is recognised by."""

    info: EpisodeInfo
    rows: frozenset[bytes]  # hash of each different row of readings and actions
    looks: NDArray[np.float32]  # (LOOKS, P): shares of the joints' spans
    moves: bool  # an arm at rest looks like any other


def trace_of(signals: Signals) -> Trace:
    """Returns what is kept of an episode until all have been read."""
    table = np.stack(list(signals.columns.values()), axis=1).astype(np.float32)
    hashes = frozenset(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in table)
    places = np.linspace(0, len(signals) - 1, LOOKS).round().astype(int)
    spans = [(joint.actions, joint) for joint in signals.joints]
    spans += [(j.readings, j) for j in signals.joints if j.readings is not None]
    looks = np.stack([values[places] / max(j.span, 1e-9) for values, j in spans], axis=1)
    looks = looks.astype(np.float32)
    return Trace(signals.info, hashes, looks, float(np.ptp(looks, axis=0).max()) > 10 * NEAR)


def copy_defects(traces: Sequence[Trace]) -> Iterator[Defect]:
    """Names the later of two episodes that are the same, once."""
    told: set[int] = set()
    for earlier, later, how in _pairs(traces):
        if later.info.index in told:
            continue
        told.add(later.info.index)
        last = later.info.length - 1
        sentence = f"the same as episode {earlier.info.index}: {how}"
        yield Defect(later.info.index, later.info.uuid, "duplicate", 0, last, "", sentence)


def _pairs(traces: Sequence[Trace]) -> Iterator[tuple[Trace, Trace, str]]:
    by_hash: dict[str, Trace] = {}
    for trace in traces:
        sha256 = trace.info.sha256
        if sha256 and sha256 in by_hash:
            yield by_hash[sha256], trace, "data and videos are equal to the byte"
        elif sha256:
            by_hash[sha256] = trace
    moving = [trace for trace in traces if trace.moves]
    yield from _sharing_rows(moving)
    yield from _near(moving)


def _sharing_rows(traces: Sequence[Trace]) -> Iterator[tuple[Trace, Trace, str]]:
    holders: dict[bytes, list[int]] = defaultdict(list)
    for number, trace in enumerate(traces):
        shared: dict[int, int] = defaultdict(int)
        for row in trace.rows:
            for other in holders[row]:
                shared[other] += 1
            # A pose everybody starts from would make this quadratic; it says nothing either.
            if len(holders[row]) < 8:
                holders[row].append(number)
        for other, count in shared.items():
            shorter = min(len(trace.rows), len(traces[other].rows))
            if count > SHARED * shorter:
                yield traces[other], trace, f"{count} of {len(trace.rows)} different rows are equal"


def _near(traces: Sequence[Trace]) -> Iterator[tuple[Trace, Trace, str]]:
    if len({trace.looks.shape for trace in traces}) != 1:
        return
    looks = np.stack([trace.looks for trace in traces])  # (E, LOOKS, P)
    middle = looks[:, LOOKS // 2]
    for number in range(1, len(traces)):
        # One look tells nearly all apart; few pairs are compared in full.
        close = np.abs(middle[:number] - middle[number]).max(axis=1) <= NEAR
        for other in np.flatnonzero(close).tolist():
            if np.abs(looks[other] - looks[number]).max() <= NEAR:
                how = f"at {LOOKS} places all joints are within {NEAR:.1%} of their range"
                yield traces[other], traces[number], how
