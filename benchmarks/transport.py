"""What the way from an observation to its chunk costs: `python benchmarks/transport.py [HxW ...]`.

Two pictures go from one process to another, which touches each once, and a chunk of 50 x 6 comes
back. Ours is all of `RemotePolicy` and `PolicyServer`: encoding, credits, every check. Beside it,
in the same run and in turn, so that the machine's load hits all alike: a copy of the pictures
within one process (the floor), and, where ../shared/bench is present, re-implementations of what
others do. Those need `pip install websockets msgpack`. Microseconds of wall time, and of CPU time
of both sides.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from demoloop.deploy import ActionChunk
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.server import PolicyServer
from demoloop.robot import CameraSpec, JointSpec, Observation, RobotSpec

NUM_ROUNDS, BURST, WARM_UP = 40, 10, 20
HORIZON, NUM_JOINTS = 50, 6
PEERS = Path(__file__).parents[2] / "shared" / "bench" / "deploy" / "transport.py"
PEER_CLASSES = {"openpi-like": "OpenPI", "GR00T-like": "Gr00t"}
OURS = {"shared memory": "unix://{folder}/s.sock", "tcp plain": "tcp://127.0.0.1:*"}
FLOOR = "memcpy"

# (size, ours, measure, of whom, at most times as much)
BARS = (
    ("224x224", "shared memory", "wall", FLOOR, 8.0),
    ("224x224", "shared memory", "wall", "openpi-like", 0.1),
    ("224x224", "tcp plain", "wall", "openpi-like", 0.5),
    ("224x224", "tcp plain", "cpu", "openpi-like", 0.5),
)


@dataclass
class Way:
    """One way to a chunk, and what its round trips took."""

    name: str
    ask: Callable[[], Any]
    server_cpu_s: Callable[[], float]
    wall_us: list[float] = field(default_factory=list)
    client_cpu_s: float = 0.0
    server_cpu_before_s: float = 0.0

    def values(self) -> dict[str, float]:
        """Microseconds per round trip."""
        count = len(self.wall_us)
        server_s = self.server_cpu_s() - self.server_cpu_before_s
        return {
            "min": min(self.wall_us),
            "wall": float(np.median(self.wall_us)),
            "p99": float(np.percentile(self.wall_us, 99)),
            "cpu": (self.client_cpu_s + server_s) / count * 1e6,
        }


class Touch:
    """A policy that takes one look at each picture and always says the same."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self._actions = np.zeros((HORIZON, NUM_JOINTS), np.float32)

    def predict(self, observation: Observation) -> ActionChunk:
        """Returns the same chunk."""
        for image in observation.images.values():
            image.reshape(-1)[::64].sum(dtype=np.uint32)
        return ActionChunk(self._actions, observation.time)


def spec_of(height: int, width: int) -> RobotSpec:
    """Returns a robot of six joints and two cameras of that size."""
    joints = tuple(JointSpec(f"joint_{i}", -2.0, 2.0, 2.0, 10.0) for i in range(NUM_JOINTS))
    cameras = (CameraSpec("front", height, width), CameraSpec("wrist", height, width))
    return RobotSpec("bench", joints, cameras, 50.0)


def peers() -> Any:
    """Imports the others' re-implementations under a name of their own."""
    found = importlib.util.spec_from_file_location("peers", PEERS)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def peer(name: str, height: int, width: int, folder: str) -> Any:
    """Returns one of them, which can serve or ask."""
    module = peers()
    config = module.Cfg(height, width, 2, HORIZON, NUM_JOINTS, folder)
    return getattr(module, PEER_CLASSES[name])(config)


def serve(name: str, height: int, width: int, folder: str, pipe: Connection) -> None:
    """A server's process: says where it is, then its CPU time whenever it is asked."""

    class Ready:
        def send(self, address: Any) -> None:
            pipe.send(address)
            threading.Thread(target=tell, daemon=True).start()

    def tell() -> None:
        try:
            while True:
                pipe.recv()
                pipe.send(time.process_time())
        except EOFError:
            os._exit(0)

    if name in OURS:
        policy = Touch(spec_of(height, width))
        with PolicyServer(policy, OURS[name].format(folder=folder)) as server:
            Ready().send(server.endpoint)
            server.serve(threading.Event())
    else:
        peer(name, height, width, folder).serve(Ready())


def open_way(name: str, height: int, width: int, folder: str, looks: list[Observation]) -> Way:
    """Starts a server process and connects to it; it ends with this process."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    context.Process(target=serve, args=(name, height, width, folder, theirs), daemon=True).start()
    theirs.close()
    address = mine.recv()

    def server_cpu_s() -> float:
        mine.send(None)
        return float(mine.recv())

    if name in OURS:
        policy = RemotePolicy(address, spec_of(height, width))
        policy.connect()
        return Way(name, lambda: policy.predict(looks[0]), server_cpu_s)
    other = peer(name, height, width, folder)
    other.connect(address)
    images = list(looks[0].images.values())
    state = looks[0].proprioception[:NUM_JOINTS]
    return Way(name, lambda: other.rt(images, state), server_cpu_s)


def measure(size: str) -> bool:
    """Measures one size of pictures, prints, and returns whether the bars are met."""
    height, width = map(int, size.split("x"))
    rng = np.random.default_rng(0)
    spec = spec_of(height, width)
    images = {c.name: rng.integers(0, 256, (height, width, 3), np.uint8) for c in spec.cameras}
    look = Observation(
        1.0, np.zeros(2 * NUM_JOINTS, np.float32), images, dict.fromkeys(images, 1.0)
    )
    copies = {name: np.empty_like(image) for name, image in images.items()}

    def copy() -> None:
        for name, image in images.items():
            np.copyto(copies[name], image)

    names = [*OURS, *(PEER_CLASSES if PEERS.exists() else ())]
    with tempfile.TemporaryDirectory() as folder:
        ways = [open_way(name, height, width, folder, [look]) for name in names]
        ways.append(Way(FLOOR, copy, lambda: 0.0))
        for way in ways:
            for _ in range(WARM_UP):
                way.ask()
            way.server_cpu_before_s = way.server_cpu_s()
        for _ in range(NUM_ROUNDS):
            for index in rng.permutation(len(ways)):
                burst(ways[index])
        values = {way.name: way.values() for way in ways}
    count = NUM_ROUNDS * BURST
    print(f"2 x {size}, {count} round trips each, load {os.getloadavg()[0]:.1f}; us")
    print(f"{'':16}{'min':>8}{'p50':>8}{'p99':>9}{'cpu':>8}{'x memcpy':>10}")
    for name, row in values.items():
        ratio = row["wall"] / values[FLOOR]["wall"]
        print(
            f"{name:16}{row['min']:8.0f}{row['wall']:8.0f}{row['p99']:9.0f}{row['cpu']:8.0f}"
            f"{ratio:10.1f}"
        )
    return all([is_met(bar, values) for bar in BARS if bar[0] == size])


def burst(way: Way) -> None:
    """A few round trips in a row, so that caches and clocks are as warm as in use."""
    cpu_before = time.process_time()
    for _ in range(BURST):
        before = time.perf_counter()
        way.ask()
        way.wall_us.append((time.perf_counter() - before) * 1e6)
    way.client_cpu_s += time.process_time() - cpu_before


def is_met(bar: tuple[str, str, str, str, float], values: dict[str, dict[str, float]]) -> bool:
    """Prints one bar and returns whether it is met; one without its peer is not asked for."""
    _, name, what, of, most = bar
    if of not in values:
        print(f"  {name}, {what}: not compared with {of}, whose re-implementation is not here")
        return True
    ratio = values[name][what] / values[of][what]
    verdict = "met" if ratio <= most else "MISSED"
    print(f"  {name}, {what}: {ratio:.2f} times {of} (bar: {most:g}) {verdict}")
    return ratio <= most


def main(sizes: list[str]) -> int:
    """Measures each size; exit code 1 when a bar is missed."""
    return 0 if all([measure(size) for size in sizes or ["224x224", "480x640"]]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
