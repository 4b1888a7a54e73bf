"""What a policy costs onboard: `python benchmarks/onboard.py [POLICY.onnx ...]`.

Without a file it makes some with random weights, one as large as `chunk`, one as `act`, and one of
15.6 M parameters in float and int8 (random_policies.py), in a process of its own that needs the
extra `train`. Then, in fresh processes, several times each:

- first action: from the start of the process to the first action chunk, in the policy's process;
- the same of a signed copy, its signature checked;
- ready: from the start of `demoloop serve` to its `ready` line, the policy probed and warm;
- memory of `demoloop serve` after it answered, at its peak (VmHWM) and as it stays (VmRSS), and
  whether torch is mapped into it;
- the round trip of two pictures and their chunk between two processes over TCP on loopback.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.keys import KeyFolder
from demoloop.robot import Observation, RobotSpec
from demoloop.robot.card import read_card, verify_seal
from demoloop.robot.signature import sign, split, trailer

NUM_RUNS = 5
NUM_ROUND_TRIPS = 300
FIRST_ACTION_BAR_S, MEMORY_BAR_MB = 1.5, 250.0

# Python itself, the imports and the checks count: the clock starts before the process does.
FIRST_ACTION = """
import sys, time
from pathlib import Path
import numpy as np
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.robot import Observation

signers = None
if sys.argv[2:]:
    from demoloop.deploy.keys import KeyFolder
    from demoloop.deploy.signatures import Signers
    signers = Signers(KeyFolder(Path(sys.argv[2])))
policy = OnnxPolicy.load(Path(sys.argv[1]), signers=signers)
spec = policy.spec
images = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in spec.cameras}
proprioception = np.zeros(len(spec.proprioception_names), np.float32)
policy.predict(Observation(0.0, proprioception, images, dict.fromkeys(images, 0.0)))
print(time.monotonic(), "torch" in sys.modules)
"""


@dataclass(frozen=True)
class Served:
    """One server process and what it was asked."""

    ready_s: float
    peak_mb: float
    stays_mb: float
    has_torch: bool
    round_trips_ms: list[float]
    inferences_ms: list[float]


def main(words: list[str]) -> int:
    """Prints a few lines per file; exit code 1 when a bar is missed."""
    with tempfile.TemporaryDirectory() as folder:
        is_met = [measure(path) for path in map(Path, words or make(Path(folder)))]
    return 0 if all(is_met) else 1


def make(folder: Path) -> list[str]:
    """Exports one random policy of each kind and returns the files."""
    command = [sys.executable, Path(__file__).with_name("random_policies.py"), folder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [line for line in done.stdout.splitlines() if line.endswith(".onnx")]


def measure(path: Path) -> bool:
    """Measures one file, prints, and returns whether it meets the bars."""
    spec = read_card(path.read_bytes()).spec
    first = [first_action(path) for _ in range(NUM_RUNS)]
    with tempfile.TemporaryDirectory() as name:
        copy, keys = signed_copy(path, Path(name))
        checked = [first_action(copy, keys)[0] for _ in range(NUM_RUNS)]
    served = [serve(path, spec) for _ in range(NUM_RUNS)]
    seconds = [value for value, _ in first]
    peak = [one.peak_mb for one in served]
    has_torch = any(flag for _, flag in first) or any(one.has_torch for one in served)
    trips = [median(one.round_trips_ms) for one in served]
    inferences = [median(one.inferences_ms) for one in served]
    sizes = " and ".join(f"{c.name} {c.height}x{c.width}" for c in spec.cameras)
    print(
        f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, {sizes}, load {os.getloadavg()[0]:.1f}"
    )
    for what, values, unit, bar in (
        ("start of the process to first action", seconds, "s", f" (bar: {FIRST_ACTION_BAR_S} s)"),
        ("the same of a signed copy", checked, "s", f" (bar: {FIRST_ACTION_BAR_S} s)"),
        ("start of `demoloop serve` to ready", [one.ready_s for one in served], "s", ""),
        ("peak memory of `demoloop serve`", peak, "MB", f" (bar: {MEMORY_BAR_MB:.0f} MB)"),
        ("memory it stays at", [one.stays_mb for one in served], "MB", ""),
        (f"round trip, p50 of {NUM_ROUND_TRIPS}", trips, "ms", ""),
        ("  of which inference", inferences, "ms", ""),
    ):
        print(f"  {what}: min {min(values):.2f}, median {median(values):.2f} {unit}{bar}")
    print(f"  torch loaded: {'yes' if has_torch else 'no'}")
    slowest = max(median(seconds), median(checked))
    return slowest <= FIRST_ACTION_BAR_S and max(peak) <= MEMORY_BAR_MB and not has_torch


def signed_copy(path: Path, folder: Path) -> tuple[Path, Path]:
    """Returns a copy of a policy file with a signature, and the folder of who signed it."""
    signer, _ = KeyFolder(folder / "keys").generate_signer("bench")
    data = path.read_bytes()
    body, _ = split(memoryview(data))
    copy = folder / path.name
    copy.write_bytes(bytes(body) + trailer(sign(verify_seal(data).sha256, signer.secret)))
    return copy, folder / "keys"


def first_action(path: Path, *keys: Path) -> tuple[float, bool]:
    """Returns the seconds from a process's start to its first action, and whether it has torch."""
    start = time.monotonic()  # one clock for all processes of a Linux computer
    command = [sys.executable, "-c", FIRST_ACTION, path, *keys]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    at, has_torch = done.stdout.split()
    return float(at) - start, has_torch == "True"


def serve(path: Path, spec: RobotSpec) -> Served:
    """Starts a server, asks it many questions, looks at its memory, and ends it."""
    command = [sys.executable, "-m", "demoloop", "serve", str(path), "--bind", "tcp://127.0.0.1:*"]
    start = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            endpoint = server.stdout.readline().split()[1]
            ready_s = time.monotonic() - start
            with RemotePolicy(endpoint, spec) as policy:
                trips, inferences = ask(policy)
            process = Path(f"/proc/{server.pid}")
            lines = dict(
                line.split(":", 1) for line in (process / "status").read_text().splitlines()
            )
            peak_mb, stays_mb = (int(lines[n].split()[0]) / 1024 for n in ("VmHWM", "VmRSS"))
            has_torch = "libtorch" in (process / "maps").read_text()
        finally:
            server.terminate()
    return Served(ready_s, peak_mb, stays_mb, has_torch, trips, inferences)


def ask(policy: RemotePolicy) -> tuple[list[float], list[float]]:
    """Returns the round trips and the server's shares of them [ms]."""
    spec = policy.spec
    rng = np.random.default_rng(0)
    images = {c.name: rng.integers(0, 256, (c.height, c.width, 3), np.uint8) for c in spec.cameras}
    proprioception = np.zeros(len(spec.proprioception_names), np.float32)
    trips: list[float] = []
    inferences: list[float] = []
    while len(trips) < NUM_ROUND_TRIPS:
        now = time.monotonic()
        policy.send(Observation(now, proprioception, images, dict.fromkeys(images, now)))
        for arrival in policy.collect(wait_s=0.1):
            trips.append(arrival.round_trip_ms)
            inferences.append(arrival.inference_ms)
    return trips, inferences


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
