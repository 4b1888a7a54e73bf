"""What keys cost: `python benchmarks/curve.py`.

Two pictures of 224x224 go to another process over TCP on loopback and come back as a chunk of 50
actions, between our own client and server, once plain and once with CURVE, and, where
`../shared/bench` is there, between a client and a server that do on the wire what openpi's do,
plain. Turns of a few round trips alternate in a new order each time, so that other load hits all
alike. Every server looks at each picture. CPU is that of both processes, all threads.
"""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from demoloop.deploy import ActionChunk
from demoloop.deploy.auth import Pin
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.server import PolicyServer
from demoloop.robot import CameraSpec, JointSpec, Observation, RobotSpec

PEER = Path(__file__).parents[2] / "shared" / "bench" / "deploy" / "transport.py"
HEIGHT = WIDTH = 224
HORIZON, NUM_JOINTS = 50, 6
NUM_TURNS, NUM_TRIPS, NUM_WARM = 60, 10, 20
BARS = {"plain": 0.5, "curve": 1.0}  # of the openpi-like client's p50 and CPU

SPEC = RobotSpec(
    "six",
    tuple(JointSpec(f"joint_{i}", -3.0, 3.0, 10.0, 100.0) for i in range(NUM_JOINTS)),
    (CameraSpec("front", HEIGHT, WIDTH), CameraSpec("wrist", HEIGHT, WIDTH)),
    50.0,
)


@dataclass
class Lane:
    """One client, and the process of its server."""

    process: subprocess.Popen[str]
    round_trip: Callable[[], object]
    close: Callable[[], None]
    trips_ms: list[float] = field(default_factory=list)
    client_cpu_s: float = 0.0

    def server_cpu_s(self) -> float:
        """Asks the server's process for its CPU time so far."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


class Looking:
    """Looks at one pixel in 64, like the other servers, and has nothing to compute."""

    spec = SPEC

    def predict(self, observation: Observation) -> ActionChunk:
        """Answers with joints at rest."""
        for image in observation.images.values():
            image.reshape(-1)[::64].sum(dtype=np.uint32)
        return ActionChunk(np.zeros((HORIZON, NUM_JOINTS), np.float32), observation.time)


def peer_module() -> ModuleType:
    """Loads the peers' clients and servers."""
    spec = importlib.util.spec_from_file_location("transport", PEER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def openpi(tmp: str) -> Any:
    """Returns one end of the openpi-like line."""
    module = peer_module()
    return module.OpenPI(module.Cfg(HEIGHT, WIDTH, 2, HORIZON, NUM_JOINTS, tmp))


def serve(kind: str, tmp: str) -> None:
    """Runs a server process: its endpoint on the first line, then its CPU time when asked."""

    class Announce:
        def send(self, endpoint: str) -> None:
            print(endpoint, flush=True)
            threading.Thread(target=tell, daemon=True).start()

    def tell() -> None:
        for _ in sys.stdin:
            print(time.process_time(), flush=True)
        os._exit(0)

    if kind == "openpi":
        return openpi(tmp).serve(Announce())
    keys = KeyFolder(Path(tmp) / "server") if kind == "curve" else None
    with PolicyServer(Looking(), "tcp://127.0.0.1:*", keys=keys) as server:
        Announce().send(server.endpoint)
        server.serve(threading.Event())


def start(kind: str, tmp: str, images: dict[str, np.ndarray]) -> Lane:
    """Starts a server and connects to it."""
    command = [sys.executable, __file__, kind, tmp]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    endpoint = process.stdout.readline().strip()
    proprioception = np.zeros(2 * NUM_JOINTS, np.float32)
    if kind == "openpi":
        client = openpi(tmp)
        client.connect(endpoint)
        frames = list(images.values())
        return Lane(process, lambda: client.rt(frames, proprioception), client.close)
    pin = Pin(KeyFolder(Path(tmp) / "robot")) if kind == "curve" else None
    policy = RemotePolicy(endpoint, SPEC, pin=pin)
    policy.connect()

    def round_trip() -> None:
        now = time.monotonic()
        seen = Observation(now, proprioception, images, dict.fromkeys(images, now))
        session = -1  # a lane that rested may be greeted anew, and must ask anew
        while True:
            if session != policy.num_welcomes and policy.send(seen):
                session = policy.num_welcomes
            if any(arrival.chunk.time == now for arrival in policy.collect(wait_s=0.1)):
                return

    return Lane(process, round_trip, policy.close)


def make_keys(tmp: Path) -> None:
    """Makes two computers that trust each other."""
    server, robot = KeyFolder(tmp / "server"), KeyFolder(tmp / "robot")
    server.trust(robot.generate("robot")[0].public, "robot", "policy")
    robot.trust(server.generate("server")[0].public, "server", "policy")


def main() -> int:
    """Prints a line per lane; exit code 1 when a bar is missed."""
    kinds = ["plain", "curve", *(["openpi"] if PEER.exists() else [])]
    rng = np.random.default_rng(0)
    images = {c.name: rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for c in SPEC.cameras}
    with tempfile.TemporaryDirectory() as tmp:
        make_keys(Path(tmp))
        lanes = {kind: start(kind, tmp, images) for kind in kinds}
        try:
            before, after = measure(lanes)
        finally:
            for lane in lanes.values():
                lane.close()
                lane.process.kill()
                lane.process.wait()
    count = NUM_TURNS * (NUM_TRIPS + 1)
    p50 = {kind: float(np.median(lane.trips_ms)) for kind, lane in lanes.items()}
    cpu = {k: (lane.client_cpu_s + after[k] - before[k]) / count * 1e3 for k, lane in lanes.items()}
    load = os.getloadavg()[0]
    print(f"{NUM_TURNS * NUM_TRIPS} round trips each, load {load:.1f}, {os.cpu_count()} CPUs")
    is_met = True
    for kind, lane in lanes.items():
        line = f"{kind:<7} p50 {p50[kind]:.2f} ms, min {min(lane.trips_ms):.2f} ms, "
        line += f"CPU {cpu[kind]:.2f} ms"
        if "openpi" in lanes and kind in BARS:
            ratios = p50[kind] / p50["openpi"], cpu[kind] / cpu["openpi"]
            line += f"; of openpi-like: p50 {ratios[0]:.2f}, CPU {ratios[1]:.2f} (bar {BARS[kind]})"
            is_met &= max(ratios) <= BARS[kind]
        print(line)
    return 0 if is_met else 1


def measure(lanes: dict[str, Lane]) -> tuple[dict[str, float], dict[str, float]]:
    """Takes the turns; returns the servers' CPU times before and after [s]."""
    for lane in lanes.values():
        for _ in range(NUM_WARM):
            lane.round_trip()
    before = {kind: lane.server_cpu_s() for kind, lane in lanes.items()}
    order = list(lanes.values())
    dice = random.Random(0)
    for _ in range(NUM_TURNS):
        dice.shuffle(order)
        for lane in order:
            cpu_start = time.process_time()
            lane.round_trip()  # awake again
            for _ in range(NUM_TRIPS):
                start_s = time.perf_counter()
                lane.round_trip()
                lane.trips_ms.append((time.perf_counter() - start_s) * 1e3)
            lane.client_cpu_s += time.process_time() - cpu_start
    return before, {kind: lane.server_cpu_s() for kind, lane in lanes.items()}


if __name__ == "__main__":
    if len(sys.argv) == 3:
        serve(*sys.argv[1:])
    else:
        sys.exit(main())
