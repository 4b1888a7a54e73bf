"""From the end of a policy to an arm that holds: `python benchmarks/liveness.py [options]`.

A guard in a process of its own ticks a swinging stand-in arm at 100 Hz; `demoloop serve` in another
is killed (SIGKILL), frozen (SIGSTOP) or hangs: its `predict`, once told so by a signal, never
returns. Each time, the clock runs from the signal, or from the beginning of the inference that
hangs, to the first command of a guard that holds; then the server is started again or thawed, and
the clock runs from its `ready` line, or SIGCONT, to the first command of a guard that runs.

Bars: hold within 250 ms every time; run again within 1 s; velocity and acceleration of the commands
within the limits of every joint all the time. Other holds are counted: a false alarm is one too.
"""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro
from swing import SPEC, Swinger, write_policy

from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.guard import GUARD_HZ, guard_episode
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.deploy.run import ListeningClock
from demoloop.robot import Action, Observation

HOLD_BAR_S, RESUME_BAR_S = 0.25, 1.0
ENDS = ("SIGKILL", "SIGSTOP", "hang")
_TICK = struct.Struct("<dBd2d")  # time it was sent, whether it runs, time it is for, command
_PATIENCE_S = 15.0

# The real verb; its inference hangs once SIGUSR1 has come, and says when.
SERVE = """
import signal, sys, time
from pathlib import Path
from demoloop.cli import serve
from demoloop.deploy.onnx_policy import OnnxPolicy

predict, told = OnnxPolicy.predict, []

def predict_or_hang(self, observation):
    if told:
        print("hangs", time.monotonic(), flush=True)
        while True:
            time.sleep(1.0)
    return predict(self, observation)

OnnxPolicy.predict = predict_or_hang
signal.signal(signal.SIGUSR1, lambda *_: told.append(True))
sys.exit(serve.main(serve.Options(Path(sys.argv[1]), bind=sys.argv[2])))
"""


@dataclass(frozen=True)
class Options:
    """Kill, freeze and hang a policy server; measure how long the arm goes on."""

    times: int = 100
    """Of each end."""
    seed: int = 0
    """Of the moments."""
    transports: tuple[str, ...] = ("tcp", "unix")
    """Of the line between guard and server; the times are divided among them."""


class Server:
    """`demoloop serve` in a process."""

    def __init__(self, policy: Path, bind: str) -> None:
        command = [sys.executable, "-c", SERVE, str(policy), bind]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.endpoint = self.await_line("ready")[1]
        self.ready_at = time.monotonic()

    def await_line(self, word: str) -> list[str]:
        """Returns the words of the next line that begins with `word`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.split()[:1] == [word]:
                return line.split()
        raise SystemExit(f"demoloop serve ended without saying {word!r}")

    def end(self) -> None:
        """Kills it, frozen or not."""
        self.process.kill()
        self.process.wait()


def guard(endpoint: str, pipe: int) -> None:
    """Runs an arm for as long as somebody reads; writes each tick into the pipe."""
    robot = Swinger()
    with RemotePolicy(endpoint, SPEC, timeout_s=30.0) as policy:
        agent = RemoteAgent(policy)

        def write(seen: Observation, sent: Action) -> None:
            is_running = agent.state == "running"
            os.write(pipe, _TICK.pack(time.monotonic(), is_running, seen.time, *sent.tolist()))

        clock = ListeningClock(agent, GUARD_HZ)
        guard_episode(robot, agent, 1e5, guard_hz=GUARD_HZ, on_step=write, clock=clock)


@dataclass
class Ticks:
    """Reads what a guard writes."""

    pipe: int
    all: list[tuple[float, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with open(self.pipe, "rb") as file:
            while data := file.read(_TICK.size):
                self.all.append(_TICK.unpack(data))

    def first_after(self, moment: float, *, is_running: bool) -> float:
        """Waits for a tick in that state; returns its time."""
        deadline, at = time.monotonic() + _PATIENCE_S, len(self.all) and self._index(moment)
        while time.monotonic() < deadline:
            while at < len(self.all):
                tick = self.all[at]
                at += 1
                if tick[0] > moment and bool(tick[1]) == is_running:
                    return tick[0]
            time.sleep(0.005)
        raise SystemExit(
            f"after {_PATIENCE_S:g} s the guard {'still holds' * is_running or 'runs'}"
        )

    def _index(self, moment: float) -> int:
        at = len(self.all)
        while at > 0 and self.all[at - 1][0] > moment:
            at -= 1
        return at


@dataclass
class Results:
    """Times by end, and what was commanded."""

    hold_s: dict[str, list[float]] = field(default_factory=lambda: {end: [] for end in ENDS})
    resume_s: list[float] = field(default_factory=list)
    num_false: int = 0  # holds that nobody caused
    seconds: float = 0.0
    worst_velocity: float = 0.0  # of the limit
    worst_acceleration: float = 0.0
    longest_tick_s: float = 0.0


def run(transport: str, times: int, luck: random.Random, folder: Path, results: Results) -> None:
    """Ends a server so many times in each way, under one guard that goes on."""
    policy = write_policy(folder / "swing.onnx")
    bind = "tcp://127.0.0.1:*" if transport == "tcp" else f"unix://{folder}/policy.sock"
    server = Server(policy, bind)
    reading, writing = os.pipe()
    command = [sys.executable, __file__, "--guard", server.endpoint, str(writing)]
    guarding = subprocess.Popen(command, pass_fds=[writing])
    os.close(writing)
    ticks = Ticks(reading)
    caused = 0
    try:
        running_at = ticks.first_after(0.0, is_running=True)
        for end in [end for _ in range(times) for end in ENDS]:
            time.sleep(luck.uniform(0.5, 0.8))
            running_at = ticks.first_after(time.monotonic(), is_running=True)
            ended_at = _end(server, end)
            held_at = ticks.first_after(max(ended_at, running_at), is_running=False)
            results.hold_s[end].append(held_at - ended_at)
            caused += 1
            time.sleep(0.3)
            if end == "SIGSTOP":
                back_at = time.monotonic()
                server.process.send_signal(signal.SIGCONT)
            else:
                server.end()
                server = Server(policy, server.endpoint)
                back_at = server.ready_at
            results.resume_s.append(ticks.first_after(back_at, is_running=True) - back_at)
            print(f"\r{transport} {caused}/{3 * times}", end="", file=sys.stderr, flush=True)
    finally:
        guarding.kill()
        guarding.wait()
        server.end()
    judge(ticks.all, caused, results)


def _end(server: Server, end: str) -> float:
    if end == "hang":
        server.process.send_signal(signal.SIGUSR1)
        return float(server.await_line("hangs")[1])
    ended_at = time.monotonic()
    server.process.send_signal(signal.SIGKILL if end == "SIGKILL" else signal.SIGSTOP)
    return ended_at


def judge(ticks: list[tuple[float, ...]], caused: int, results: Results) -> None:
    """Looks at all commands."""
    table = np.array(ticks)
    results.num_false += int((np.diff(table[:, 1]) < 0).sum()) - caused
    results.seconds += table[-1, 0] - table[0, 0]
    results.longest_tick_s = max(results.longest_tick_s, float(np.diff(table[:, 0]).max()))
    dt = np.diff(table[:, 2])[:, None]
    velocity = np.diff(table[:, 3:], axis=0) / dt
    limits = [(joint.max_velocity, joint.max_acceleration) for joint in SPEC.joints]
    fastest, quickest = (np.array(it) for it in zip(*limits, strict=True))
    acceleration = np.diff(velocity, axis=0) / dt[1:]
    results.worst_velocity = max(results.worst_velocity, float((np.abs(velocity) / fastest).max()))
    results.worst_acceleration = max(
        results.worst_acceleration, float((np.abs(acceleration) / quickest).max())
    )


def report(results: Results) -> bool:
    """Prints all; returns whether the bars are reached."""
    is_well = True
    for end, times in results.hold_s.items():
        if not times:
            continue
        p50, p99 = np.quantile(times, [0.5, 0.99]) * 1e3
        within = sum(it <= HOLD_BAR_S for it in times)
        is_well = is_well and within == len(times)
        print(
            f"{end:8s} to HOLD: min {min(times) * 1e3:.0f}, p50 {p50:.0f}, p99 {p99:.0f}, "
            f"max {max(times) * 1e3:.0f} ms; {within} of {len(times)} within "
            f"{HOLD_BAR_S * 1e3:g} ms"
        )
    is_well = is_well and max(results.worst_velocity, results.worst_acceleration) < 1.01
    resumed = sum(it <= RESUME_BAR_S for it in results.resume_s)
    is_well = is_well and resumed == len(results.resume_s)
    print(
        f"to RUN again: p50 {np.median(results.resume_s) * 1e3:.0f}, max "
        f"{max(results.resume_s) * 1e3:.0f} ms; {resumed} of {len(results.resume_s)} within 1 s"
    )
    print(
        f"commands over {results.seconds:.0f} s: at most {results.worst_velocity:.2f} of a joint's "
        f"velocity limit, {results.worst_acceleration:.2f} of its acceleration limit; longest tick "
        f"{results.longest_tick_s * 1e3:.0f} ms; {results.num_false} holds that nobody caused"
    )
    return is_well


def main(options: Options) -> int:
    """Runs; exit code 1 on a missed bar."""
    results, luck = Results(), random.Random(options.seed)
    share = -(-options.times // len(options.transports))
    for transport in options.transports:
        with tempfile.TemporaryDirectory() as name:
            os.chmod(name, 0o700)
            run(transport, share, luck, Path(name), results)
    print(file=sys.stderr)
    return 0 if report(results) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--guard"]:
        guard(sys.argv[2], int(sys.argv[3]))
    else:
        raise SystemExit(main(tyro.cli(Options, description=__doc__)))
