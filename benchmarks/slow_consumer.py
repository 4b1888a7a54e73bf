"""How old what a slow policy sees is: `python benchmarks/slow_consumer.py [options]`.

A robot in a process of its own looks 50 times a second (two pictures of 224 px, 301 kB); the policy
takes 100 ms for each answer. Measured is the age of each look when the policy gets it, over TCP on
loopback; beside it, in turns, the same stream over PUB/SUB with ZeroMQ's own high-water marks, as
is often done. Bar: p99 at most one period of the robot and 20 ms.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from dataclasses import dataclass

import numpy as np
import tyro
import zmq

from demoloop.deploy.chunks import ActionChunk
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.server import PolicyServer
from demoloop.robot import CameraSpec, JointSpec, Observation, RobotSpec

SPEC = RobotSpec(
    "watcher",
    (JointSpec("pan", -1.0, 1.0, 2.0, 10.0),),
    (CameraSpec("front", 224, 224), CameraSpec("wrist", 224, 224)),
    50.0,
)
PERIOD_S, ANSWER_S = 1 / SPEC.control_hz, 0.1
BAR_MS = PERIOD_S * 1e3 + 20.0


@dataclass(frozen=True)
class Options:
    """Measure the age of what a slow policy sees, beside PUB/SUB."""

    seconds: float = 10.0
    """Of each round of each."""
    rounds: int = 3
    """In turns."""


class SlowPolicy:
    """Notes how old what it sees is, and takes its time."""

    spec = SPEC

    def __init__(self) -> None:
        self.ages_ms: list[float] = []

    def predict(self, observation: Observation) -> ActionChunk:
        """Answers after `ANSWER_S`."""
        self.ages_ms.append((time.monotonic() - observation.time) * 1e3)
        time.sleep(ANSWER_S)
        return ActionChunk(np.zeros((16, 1), np.float32), observation.time)


def look() -> Observation:
    """What the robot sees now."""
    now = time.monotonic()
    images = {c.name: np.full((c.height, c.width, 3), 7, np.uint8) for c in SPEC.cameras}
    return Observation(now, np.zeros(2, np.float32), images, dict.fromkeys(images, now))


def run_robot(endpoint: str, seconds: float) -> None:
    """Looks at its rate, and sends each look there is room for."""
    with RemotePolicy(endpoint, SPEC) as policy:
        end = due = time.monotonic()
        end += seconds
        while due < end:
            policy.collect()
            policy.send(look())
            due += PERIOD_S
            time.sleep(max(0.0, due - time.monotonic()))


def with_credits(seconds: float) -> list[float]:
    """Returns the ages [ms] of what a real server gets."""
    policy, stop = SlowPolicy(), threading.Event()
    with PolicyServer(policy, "tcp://127.0.0.1:*") as server:
        serving = threading.Thread(target=server.serve, args=(stop,))
        serving.start()
        robot = multiprocessing.get_context("spawn").Process(
            target=run_robot, args=(server.endpoint, seconds)
        )
        robot.start()
        robot.join()
        stop.set()
        serving.join()
    return policy.ages_ms


def publish(endpoint: str, seconds: float) -> None:
    """Publishes each look, whoever reads."""
    with zmq.Context() as context, context.socket(zmq.PUB) as socket:
        socket.linger = 0
        socket.connect(endpoint)
        end = due = time.monotonic()
        end += seconds
        while due < end:
            seen = look()
            pictures = [np.ascontiguousarray(image).data for image in seen.images.values()]
            socket.send_multipart([np.float64(seen.time).tobytes(), *pictures])
            due += PERIOD_S
            time.sleep(max(0.0, due - time.monotonic()))


def with_publishing(seconds: float) -> list[float]:
    """Returns the ages [ms] of what a subscriber gets that takes as long as the policy."""
    ages_ms = []
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.linger = 0
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        socket.subscribe(b"")
        robot = multiprocessing.get_context("spawn").Process(
            target=publish, args=(f"tcp://127.0.0.1:{port}", seconds)
        )
        robot.start()
        while robot.is_alive():
            if socket.poll(100):
                parts = socket.recv_multipart()
                ages_ms.append((time.monotonic() - np.frombuffer(parts[0])[0]) * 1e3)
                time.sleep(ANSWER_S)
        robot.join()
    return ages_ms


def main(options: Options) -> int:
    """Runs; exit code 1 on a missed bar."""
    ages: dict[str, list[float]] = {"credits": [], "PUB/SUB": []}
    for _ in range(options.rounds):
        ages["credits"] += with_credits(options.seconds)
        ages["PUB/SUB"] += with_publishing(options.seconds)
    for name, values in ages.items():
        p50, p99 = np.quantile(values, [0.5, 0.99])
        print(f"{name:8s} age p50 {p50:.1f}, p99 {p99:.1f}, max {max(values):.1f} ms of "
              f"{len(values)} looks")  # fmt: skip
    is_well = bool(np.quantile(ages["credits"], 0.99) <= BAR_MS)
    print(f"bar: p99 at most {BAR_MS:g} ms: " + ("reached" if is_well else "MISSED"))
    return 0 if is_well else 1


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options, description=__doc__)))
