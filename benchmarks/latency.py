"""What latency costs: `python benchmarks/latency.py POLICY.onnx [options]`.

Judges a policy file in the closed loop that a robot runs (`RemoteAgent`, one question under way,
as the server grants it), with answers that come some time after they were asked for. Simulated
time: the numbers do not depend on the machine. Prints a line per latency.
"""

from __future__ import annotations

import json
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")

import tyro

from demoloop.deploy.chunks import REPLAN_EVERY, ActionChunk
from demoloop.deploy.client import Arrival
from demoloop.deploy.guard import GUARD_HZ
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.robot import Action, Agent, Observation
from demoloop.sim.evaluate import evaluate
from demoloop.sim.robot import SimRobot
from demoloop.sim.seeds import EVALUATION_SEEDS


class DelayedPolicy:
    """A policy file at the end of a line that takes `delay_s` of the robot's time."""

    refusal = ""
    silence_s = 0.0

    def __init__(self, policy: OnnxPolicy, delay_s: float) -> None:
        self.spec = policy.spec
        self.now = 0.0  # s, on the robot's clock
        self._policy, self._delay_s = policy, delay_s
        self._under_way: deque[ActionChunk] = deque()
        self._sent_at = 0.0  # s

    def send(self, observation: Observation) -> bool:
        """Answers at once, to be collected when the time has come."""
        if self._under_way:
            return False
        self._sent_at = self.now
        self._under_way.append(self._policy.predict(observation))
        return True

    def collect(self, wait_s: float = 0.0) -> list[Arrival]:
        """Returns the chunk that has come by `now`."""
        # Half a substep of slack: times of the simulation are sums.
        if not self._under_way or self.now + 0.002 < self._sent_at + self._delay_s:
            return []
        return [Arrival(self._under_way.popleft(), self._delay_s * 1e3, 0.0)]

    def forget(self) -> None:
        """Drops what is under way."""
        self._under_way.clear()


class _LateAgent:
    """A `RemoteAgent` whose line knows what time it is; without latency it has its answer now."""

    def __init__(self, line: DelayedPolicy, replan_every: int) -> None:
        self._line = line
        self._agent = RemoteAgent(line, replan_every=replan_every)

    def reset(self) -> None:
        self._agent.reset()

    def decide(self, observation: Observation) -> Action:
        self._line.now = observation.time
        return self._agent.decide(observation)


@dataclass(frozen=True)
class _MakeAgent:
    path: Path
    delay_s: float
    replan_every: int

    def __call__(self, robot: SimRobot) -> Agent:
        policy = OnnxPolicy.load(self.path, robot.spec)
        return _LateAgent(DelayedPolicy(policy, self.delay_s), self.replan_every)


@dataclass(frozen=True)
class Options:
    """Success with answers that come late."""

    policy: tyro.conf.Positional[Path]
    """ONNX file."""
    latencies_ms: tuple[float, ...] = (0.0, 50.0, 150.0, 300.0)
    """Added to each answer."""
    task: str = "pick_place"
    """What to do."""
    episodes: int = 100
    """How many."""
    seed: int = 0
    """Of the first episode."""
    guard_hz: float = GUARD_HZ
    """Ticks per second, as in `demoloop run`."""
    replan_every: int = REPLAN_EVERY
    """Control periods from one question to the next."""
    workers: int = 2
    """Processes."""
    out: Path | None = None
    """JSON file to write."""


def main(options: Options) -> None:
    """Prints a line per latency."""
    successes = {}
    for latency_ms in options.latencies_ms:
        make = _MakeAgent(options.policy, latency_ms * 1e-3, options.replan_every)
        seeds = EVALUATION_SEEDS[options.seed : options.seed + options.episodes]
        result = evaluate(
            options.task, make, seeds, workers=options.workers, acting_hz=options.guard_hz
        )
        print(f"{latency_ms:g} ms: {result.summary()}", flush=True)
        successes[f"{latency_ms:g} ms"] = result.num_successes
    if options.out is not None:
        seeds = [options.seed, options.seed + options.episodes - 1]
        value: dict[str, object] = {
            "policy": str(options.policy),
            "guard_hz": options.guard_hz,
            "seeds": seeds,
        }
        value |= successes
        options.out.write_text(json.dumps(value, indent=2))


if __name__ == "__main__":
    main(tyro.cli(Options))
