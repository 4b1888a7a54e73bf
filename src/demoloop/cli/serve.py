"""`demoloop serve`: an exported policy answers robots over ZeroMQ."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.cli.stopping import stop_on_signals
from demoloop.cli.traces import logged, measured, warned
from demoloop.deploy.endpoints import check_endpoint
from demoloop.deploy.errors import DeployError
from demoloop.deploy.events import ignore
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.metrics_server import parse_address
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.deploy.providers import Provider
from demoloop.deploy.seen_range import WithinSeenRange
from demoloop.deploy.server import PolicyServer
from demoloop.deploy.server_metrics import Events, server_metrics
from demoloop.deploy.signatures import Signers

_STATUS_EVERY_S = 10.0
_NICE = 5


@dataclass(frozen=True)
class Options:
    """Serve an exported policy until Ctrl-C. Prints `ready ENDPOINT ...` when robots may come."""

    policy: tyro.conf.Positional[Path]
    """ONNX file that `demoloop export` wrote."""
    bind: str = "tcp://127.0.0.1:5555"
    """Where to listen; port * takes a free one. Other computers need keys to connect."""
    keys: Path | None = None
    """Folder of `demoloop keys`: let in who is trusted there as policy, and nobody else, and serve
    what a signer trusted there has signed, and nothing else."""
    allow_unsigned: bool = False
    """With --keys: serve a policy that nobody has signed, but never one that is signed wrongly."""
    provider: Provider = "auto"
    """What computes the policy; auto takes what is installed and answers the file's own probe."""
    threads: int = 1
    """CPU threads of one inference."""
    log: Path | None = None
    """File to append to, a JSON object a line: robots that come and go, refusals, faults."""
    metrics: str | None = None
    """HOST:PORT on loopback where Prometheus may ask, such as 127.0.0.1:9100."""


def main(options: Options) -> int:
    """Serves; exit code 0 when it was told to stop."""
    if options.threads < 1:
        raise DeployError(f"--threads is {options.threads}; an inference needs at least 1")
    check_endpoint(options.bind, "--bind", any_port=True, has_keys=options.keys is not None)
    if options.allow_unsigned and options.keys is None:
        raise DeployError("--allow-unsigned is for --keys FOLDER; without keys nobody asks for one")
    if options.metrics is not None:
        parse_address(options.metrics)
    with stop_on_signals() as stop, warned(_say), logged(options.log, "serve") as log:
        note = ignore if log is None else log.note
        keys = None if options.keys is None else KeyFolder(options.keys)
        _step_back()  # before inference has threads, each of which has a niceness of its own
        policy = OnnxPolicy.load(
            options.policy,
            threads=options.threads,
            signers=None if keys is None else Signers(keys, options.allow_unsigned),
            provider=options.provider,
        )
        events = Events(note)
        within = WithinSeenRange(policy, policy.card, events)
        name = options.policy.name
        with (
            PolicyServer(
                within, options.bind, name, keys, events, marks=policy.card.marks
            ) as server,
            measured(options.metrics, lambda: server_metrics(server, events)) as url,
        ):
            # Another process waits for this line and reads the endpoint off it.
            print(f"ready {server.endpoint} {_describe(options.policy, policy)}", flush=True)
            if url:
                print(f"metrics: {url}", flush=True)
            note("ready", endpoint=server.endpoint, policy=name)
            server.serve(stop, _Status(server).show)
            print(f"stopped after {server.num_answered} chunks")
    return 0


def _step_back() -> None:
    """Lets the loop that owns the arm go first, also where SCHED_FIFO is refused to it."""
    with contextlib.suppress(OSError, AttributeError):  # refused, or no such thing: as urgent then
        os.nice(max(0, _NICE - os.nice(0)))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _describe(path: Path, policy: OnnxPolicy) -> str:
    spec = policy.spec
    cameras = " and ".join(f"{c.name} {c.height}x{c.width}" for c in spec.cameras) or "no camera"
    marks = policy.card.marks
    told = "" if marks is None else f"told {' and '.join(marks.names)} in {marks.camera}, "
    return (
        f"{path.name}: {policy.card.policy} for {spec.name}, {cameras}, {told}"
        f"{policy.card.horizon} steps at {spec.control_hz:g} Hz, {policy.signed}, "
        f"computed by {policy.provider}"
    )


class _Status:
    """Prints a line now and then, and none while nothing happens."""

    def __init__(self, server: PolicyServer) -> None:
        self._server = server
        self._shown = (0, 0)
        self._due_at = time.monotonic()

    def show(self) -> None:
        """Called with each heartbeat."""
        news = (self._server.num_robots, self._server.num_answered)
        is_other_robot = news[0] != self._shown[0]
        if news == self._shown or (time.monotonic() < self._due_at and not is_other_robot):
            return
        self._shown, self._due_at = news, time.monotonic() + _STATUS_EVERY_S
        print(f"robots: {news[0]}, chunks so far: {news[1]}", flush=True)
