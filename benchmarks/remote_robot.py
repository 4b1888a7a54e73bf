"""How quick a robot at the other end of a line is: `python benchmarks/remote_robot.py`.

A host in a process of its own, a robot without physics, loopback TCP: what is measured is the line
alone. For two cameras of 96x96 and of 480x640, in turn so that both meet the same machine:

- look: `observe()` with pictures that are new each time; look, old pictures: with none that is;
- act: `act()`, from the call until what was really sent is back;
- step: one of each, as a control loop does them.

Bars: a step at 96x96 within 8 ms and at 480x640 within 20 ms, p50: a fifth and a half of a
control period of 40 ms. With --curve both ends have keys, as between two computers.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import tyro

from demoloop.deploy.arm_loop import ArmLoop
from demoloop.deploy.auth import Pin
from demoloop.deploy.host_line import HostLine
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.remote_robot import RemoteRobot
from demoloop.deploy.robot_server import RobotServer
from demoloop.deploy.robot_wire import Seat
from demoloop.robot import Action, CameraSpec, Observation, RobotSpec
from demoloop.robot.arms.so101 import SO101

SIZES = ((96, 96), (480, 640))
BARS_MS = {(96, 96): 8.0, (480, 640): 20.0}


@dataclass(frozen=True)
class Options:
    """Measure the round trips of a hosted robot."""

    steps: int = 1000
    """Of each kind and size."""
    hz: float = 100.0
    """Looks per second of the host's loop."""
    step_hz: float = 25.0
    """Steps per second of this side; 0: as many as there can be."""
    curve: bool = False
    """Whether both ends have keys."""


class Pictures:
    """A robot that is where it was sent, and whose pictures are new at each look, if they are."""

    state, fault = "ARMED", ""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self.is_filming = True
        self._at = np.zeros(spec.action_dim, np.float32)
        self._taken_at = 0.0
        rng = np.random.default_rng(0)
        self._images = {
            c.name: rng.integers(0, 256, (c.height, c.width, 3), np.uint8) for c in spec.cameras
        }

    def succeeded(self) -> bool | None:
        """Nobody knows."""
        return None

    def observe(self) -> Observation:
        """Looks, at new pictures if it films."""
        now = time.monotonic()
        if self.is_filming:
            self._taken_at = now
        proprioception = np.concatenate([self._at, np.zeros_like(self._at)])
        return Observation(
            now, proprioception, self._images, dict.fromkeys(self._images, self._taken_at)
        )

    def act(self, action: Action) -> Action:
        """Is there at once."""
        self._at = action
        return action

    def hold(self) -> None:
        """It stands."""

    def reset(self, seed: int | None) -> None:
        """Films, unless the seed is 0."""
        self.is_filming = seed != 0

    def arm(self) -> None:
        """Nothing to switch on."""

    def reset_fault(self) -> None:
        """It has none."""

    def estop(self, reason: str) -> None:
        """It stands."""


def host(spec: RobotSpec, hz: float, keys: Path | None, line: Connection) -> None:
    """Hosts until the other side closes the line."""
    stop = threading.Event()
    folder = None if keys is None else KeyFolder(keys)
    server = RobotServer(ArmLoop(Pictures(spec), hz), Seat(spec), "tcp://127.0.0.1:*", folder)
    with server:
        line.send(server.endpoint)

        def wait() -> None:
            line.poll(None)
            stop.set()

        threading.Thread(target=wait, daemon=True).start()
        server.serve(stop)


def spread(name: str, seconds: list[float]) -> str:
    """One row: p50 and p99 in ms."""
    p50, p99 = np.percentile(np.array(seconds) * 1e3, [50, 99])
    return f"  {name:<20} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms"


def measure(options: Options, size: tuple[int, int], keys: tuple[Path, Path] | None) -> float:
    """Prints the rows of one size; returns the median step [s]."""
    height, width = size
    spec = RobotSpec(
        SO101.name, SO101.joints,
        (CameraSpec("front", height, width), CameraSpec("wrist", height, width)), 25.0,
    )  # fmt: skip
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(
        target=host, args=(spec, options.hz, keys[0] if keys else None, there), daemon=True
    )
    process.start()
    pin = None if keys is None else Pin(KeyFolder(keys[1]))
    times: dict[str, list[float]] = {"look": [], "act": [], "step": [], "look, old pictures": []}
    with RemoteRobot(HostLine(here.recv(), pin, "benchmark")) as robot:
        target = np.zeros(spec.action_dim, np.float32).clip(spec.low, spec.high)
        for seed, look in ((1, "look"), (0, "look, old pictures")):
            robot.reset(seed)
            robot.observe()
            due_at = time.monotonic()
            for _ in range(options.steps):
                begun = time.monotonic()
                robot.observe()
                seen = time.monotonic()
                robot.act(target)
                done = time.monotonic()
                times[look].append(seen - begun)
                if look == "look":
                    times["act"].append(done - seen)
                    times["step"].append(done - begun)
                if options.step_hz:
                    due_at = max(due_at + 1.0 / options.step_hz, done)
                    time.sleep(max(0.0, due_at - time.monotonic()))
    here.close()
    process.terminate()
    process.join()
    print(f"2 cameras of {height}x{width}, {2 * height * width * 3:,} bytes a look")
    for name, seconds in times.items():
        print(spread(name, seconds))
    return float(np.median(times["step"]))


def make_keys(folder: Path) -> tuple[Path, Path]:
    """Makes a host and a desk that trust each other."""
    host_keys, desk = KeyFolder(folder / "host"), KeyFolder(folder / "desk")
    host_keys.generate("host")
    desk.generate("desk")
    host_keys.trust(desk.own().public, "desk", "operator")
    desk.trust(host_keys.own().public, "host", "policy")
    return host_keys.path, desk.path


def main(options: Options) -> int:
    """Measures; exit code 1 when a bar is missed."""
    kind = "TCP with CURVE" if options.curve else "TCP"
    rate = f"{options.step_hz:g} steps/s" if options.step_hz else "back to back"
    print(f"{kind} over loopback, the host looks {options.hz:g} times/s, {rate}, n={options.steps}")
    is_met = True
    with ExitStack() as entered:
        keys = None
        if options.curve:
            keys = make_keys(Path(entered.enter_context(tempfile.TemporaryDirectory())))
        for size in SIZES:
            step_ms = measure(options, size, keys) * 1e3
            met = step_ms <= BARS_MS[size]
            is_met = is_met and met
            print(
                f"  step p50 {step_ms:.2f} ms, bar {BARS_MS[size]:g} ms: "
                f"{'met' if met else 'MISSED'}"
            )
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
