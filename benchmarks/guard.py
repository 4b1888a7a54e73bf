"""How punctual the guard is: `python benchmarks/guard.py [options]`.

Ticks a `RemoteAgent`'s motion at 100 Hz with real-time means while another process infers without
pause (numpy, one thread) and two more burn the processors. The io process of a run is there too,
and a viewer who takes its pictures, unless `--alone`. Prints lateness of the ticks and what the
system refused. The numbers are this machine's, and of what else runs on it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import tyro

from demoloop.deploy.chunks import ActionChunk
from demoloop.deploy.client import Arrival, RemotePolicy
from demoloop.deploy.guard import GUARD_HZ, guard_episode
from demoloop.deploy.io_desk import IoDesk
from demoloop.deploy.io_process import IoProcess
from demoloop.deploy.notes import Setup
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.deploy.standing import Standing
from demoloop.deploy.telemetry import Viewer
from demoloop.deploy.vitals import Vitals
from demoloop.robot import Action, Observation, OnStep, RobotSpec
from demoloop.robot.arms.so101 import SO101
from demoloop.robot.card import probe_input
from demoloop.robot.realtime import RealtimeClock


@dataclass(frozen=True)
class Options:
    """Tick beside inference and two processes that burn the processors."""

    policy: Path | None = None
    """ONNX file that the other process runs; without one it multiplies matrices."""
    seconds: float = 60.0
    """How long."""
    guard_hz: float = GUARD_HZ
    """Ticks per second."""
    hogs: int = 2
    """Processes that burn the processors."""
    alone: bool = False
    """Leave out the io process and its viewer."""


class WavingLine:
    """A line whose chunks wave the arm and come at once: what is measured is the guard's tick."""

    refusal = ""
    silence_s = 0.0

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self._waiting: list[Arrival] = []

    def send(self, observation: Observation) -> bool:
        """Answers with the next 16 steps of the wave."""
        at = observation.time + np.arange(16)[:, None] / self.spec.control_hz
        middle, half = (self.spec.low + self.spec.high) / 2, (self.spec.high - self.spec.low) / 2
        actions = middle + 0.3 * half * np.sin(at + np.arange(self.spec.action_dim))
        self._waiting.append(
            Arrival(ActionChunk(actions.astype(np.float32), observation.time), 0, 0)
        )
        return True

    def collect(self, wait_s: float = 0.0) -> Sequence[Arrival]:
        """Returns what has come."""
        arrivals, self._waiting = self._waiting, []
        return arrivals

    def forget(self) -> None:
        """Drops what is under way."""
        self._waiting.clear()


class StiffArm:
    """Is at once where it is sent to, and its cameras see one noise."""

    def __init__(self, spec: RobotSpec, clock: RealtimeClock) -> None:
        self.spec = spec
        self._clock = clock
        self._positions = ((spec.low + spec.high) / 2).astype(np.float32)
        rng = np.random.default_rng(0)
        self._images = {
            c.name: rng.integers(0, 256, (c.height, c.width, 3), np.uint8) for c in spec.cameras
        }

    def reset(self) -> None:
        """Stays."""

    def observe(self) -> Observation:
        """Reads the joints."""
        still = np.zeros_like(self._positions)
        now = self._clock.now()
        times = dict.fromkeys(self._images, now)
        return Observation(now, np.concatenate([self._positions, still]), self._images, times)

    def act(self, action: Action) -> Action:
        """Is there."""
        self._positions = action
        return action

    def close(self) -> None:
        """Nothing to let go of."""


class TimedClock(RealtimeClock):
    """Notes how long after its deadline each tick began."""

    def __init__(self) -> None:
        super().__init__()
        self.lateness_s: list[float] = []

    def sleep_until(self, deadline: float) -> None:
        """Returns at `deadline` [s]."""
        super().sleep_until(deadline)
        self.lateness_s.append(self.now() - deadline)


def burn() -> None:
    """Keeps a processor busy."""
    while True:
        sum(range(10_000))


def infer(path: Path | None) -> None:
    """Infers without pause."""
    if path is None:
        matrix = np.ones((300, 300), np.float32)
        while True:
            matrix = matrix @ matrix / 300
    policy = OnnxPolicy.load(path)
    images, proprioception = probe_input(policy.card)
    while True:
        policy.predict(Observation(0.0, proprioception, images, dict.fromkeys(images, 0.0)))


def watch(endpoint: str, count: Synchronized[int]) -> None:
    """Takes whatever pictures come, and counts them."""
    with Viewer(endpoint, wants_pictures=True) as viewer:
        while True:
            count.value += viewer.look(1.0) is not None


@contextmanager
def looked_on(robot: StiffArm, agent: RemoteAgent, guard_hz: float) -> Iterator[OnStep]:
    """Yields what a run does for its io process at each tick; a viewer is connected."""
    local = "tcp://127.0.0.1:*"
    nowhere = "unix:///nowhere"  # nobody is asked for a policy
    setup = Setup(server=nowhere, folder="", control=local, telemetry=local)
    with IoProcess("demoloop.cli.run_io", setup) as io:
        (endpoint,) = [it.split()[-1] for it in io.await_ready().lines if "viewers" in it]
        vitals = Vitals(RemotePolicy(nowhere, robot.spec), guard_hz, 1)
        desk = IoDesk(io.notes, io.pictures, Standing(robot), io.telling.note)
        context = multiprocessing.get_context("spawn")
        count = context.Value("i", 0)
        viewer = context.Process(target=watch, args=(endpoint, count))
        viewer.start()

        def listen(observation: Observation, _: Action) -> None:
            vitals.tick(agent, 0.0, 0, is_late=False)
            desk.look(vitals, observation)

        try:
            yield listen
        finally:
            viewer.kill()
            print(f"a viewer saw {count.value} looks", flush=True)


def main(options: Options) -> int:
    """Prints one line of lateness and one per refusal; exit code 1 when a bar was missed."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=infer, args=(options.policy,), daemon=True)]
    processes += [context.Process(target=burn, daemon=True) for _ in range(options.hogs)]
    for process in processes:
        process.start()
    try:
        clock = TimedClock()
        robot, agent = StiffArm(SO101, clock), RemoteAgent(WavingLine(SO101))
        hz = options.guard_hz
        with nullcontext() if options.alone else looked_on(robot, agent, hz) as listen:
            report = guard_episode(
                robot, agent, options.seconds, guard_hz=hz, on_step=listen, clock=clock
            )
    finally:
        for process in processes:
            process.kill()
    late_us = np.array(clock.lateness_s) * 1e6
    print(
        f"{report.loop.num_steps} ticks at {options.guard_hz:g} Hz, {options.hogs} hogs: lateness "
        f"p50 {np.quantile(late_us, 0.5):.0f} us, p99 {np.quantile(late_us, 0.99):.0f} us (bar: "
        f"1000), max {late_us.max():.0f} us; {report.loop.num_late} began after the next was due, "
        f"{report.loop.num_skipped} skipped (bar: 0); load {os.getloadavg()[0]:.1f}"
    )
    for sentence in report.refusals:
        print(sentence)
    return int(np.quantile(late_us, 0.99) > 1000 or report.loop.num_skipped > 0)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
