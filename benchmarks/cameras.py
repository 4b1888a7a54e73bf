r"""How old pictures are when the loop gets them: `python benchmarks/cameras.py [options]`.

One fake USB camera in real time (640x480 at 30 Hz, jitter, four pictures queued as V4L2 does, each
picture decoded from a real JPEG), read by demoloop, by a `read()` in the loop, and by lerobot's
OpenCVCamera, in turn and each in a process of its own. Every picture carries its number, so its age
is what it is and not what somebody says. Then the camera hangs, and at last it is pulled out for a
second. Exit code 1 when demoloop misses a
bar. lerobot is left out where it is not installed; its cameras alone need a few MB, not its 5 GB:

    python3.11 -m venv /tmp/lerobot_cameras
    /tmp/lerobot_cameras/bin/pip install numpy opencv-python-headless
    /tmp/lerobot_cameras/bin/pip install --no-deps lerobot==0.4.4 draccus mergedeep \
        typing-inspect mypy-extensions typing-extensions pyyaml pyyaml-include toml

This file runs in both environments: what needs lerobot is imported where it is used.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from demoloop.robot import CameraSpec
from demoloop.robot.cameras import Camera, CameraError, CameraSetup
from demoloop.robot.cameras.fake import FakeCapture, FakeUVC, draw, read_number

SETUP = CameraSetup("front", "fake")
JITTER_S = 0.008
OLD_BAR_S = 1 / SETUP.fps + JITTER_S + 0.010  # a period, the way of the picture, and 10 ms of ours
CALL_BAR_S = 0.001
HUNG_BAR_S = 0.15
BACK_BAR_S = 2.5  # the longest patience, and half a second to open it
READERS = ("demoloop", "naive", "lerobot")

Read = Callable[[], np.ndarray]


class Textured(FakeCapture):
    """Costs what decoding a textured MJPG picture costs, and then shows its number."""

    def __init__(self, camera: FakeUVC) -> None:
        super().__init__(camera)
        noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
        _, self._jpeg = cv2.imencode(".jpg", cv2.resize(noise, (640, 480)))

    def retrieve(self) -> tuple[bool, np.ndarray]:
        """Returns (480, 640, 3) uint8 BGR."""
        image = cv2.imdecode(self._jpeg, cv2.IMREAD_COLOR)
        image[:, :320] = draw(self._shown, 640, 480)[:, :320]
        return True, image


def by_demoloop(fake: FakeUVC) -> Read:
    """The newest picture, or a refusal."""
    spec = CameraSpec("front", SETUP.height, SETUP.width)
    camera = Camera(spec, SETUP, opens=lambda _: Textured(fake)).__enter__()
    return lambda: camera.latest().image


def by_reading(fake: FakeUVC) -> Read:
    """What everybody writes first."""
    capture = Textured(fake)

    def read() -> np.ndarray:
        is_read, image = capture.read()
        if not is_read:
            raise TimeoutError("no picture")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    return read


def by_lerobot(fake: FakeUVC) -> Read:
    """`async_read` of its OpenCVCamera, as its record and teleoperate loops call it."""

    class Capture(cv2.VideoCapture):  # it asks whether it is one
        def __new__(cls, *_: object) -> Capture:
            return super().__new__(cls)

        def __init__(self, *_: object) -> None:
            super().__init__()
            self._fake = Textured(fake)

        def __getattribute__(self, name: str) -> object:
            inner = super().__getattribute__("_fake") if name != "_fake" else None
            return getattr(inner, name) if hasattr(inner, name) else super().__getattribute__(name)

    cv2.VideoCapture = Capture
    from lerobot.cameras.opencv import OpenCVCamera, OpenCVCameraConfig

    camera = OpenCVCamera(
        OpenCVCameraConfig("/dev/fake", fps=30, width=640, height=480, fourcc="MJPG")
    )
    camera.connect()
    return camera.async_read


def succeeds(read: Read) -> bool:
    """Whether there is a picture."""
    try:
        read()
    except (CameraError, OSError, RuntimeError):
        return False
    return True


def until(is_over: Callable[[], bool], period_s: float, patience_s: float) -> tuple[float, float]:
    """Asks once per period; returns when it was so (nan: never) and the longest question [s]."""
    start, longest_s = time.monotonic(), 0.0
    while time.monotonic() - start < patience_s:
        before = time.monotonic()
        has_come = is_over()
        longest_s = max(longest_s, time.monotonic() - before)
        if has_come:
            return time.monotonic() - start, longest_s
        time.sleep(period_s)
    return float("nan"), longest_s


def measure(reader: str, hz: float, seconds: float) -> dict[str, float]:
    """Reads in a loop at `hz`; then lets the camera hang and sees how long that goes unnoticed."""
    fake = FakeUVC(jitter_s=JITTER_S)
    readers = {"demoloop": by_demoloop, "naive": by_reading, "lerobot": by_lerobot}
    read = readers[reader](fake)
    ages, calls, num_refused = [], [], 0
    rng = np.random.default_rng(0)
    start, used_before = time.monotonic(), time.process_time()
    for step in range(round(seconds * hz)):
        # At any moment between two pictures, or the two rates would keep in step.
        due = start + step / hz + rng.uniform(0, 1 / SETUP.fps)
        time.sleep(max(0.0, due - time.monotonic()))
        before = time.monotonic()
        try:
            image = read()
        except (CameraError, TimeoutError):
            num_refused += 1  # a busy machine: nothing is better than something old
            continue
        after = time.monotonic()
        ages.append(after - fake.taken_at(read_number(image)))
        calls.append(after - before)
    used_s = time.process_time() - used_before
    fake.is_hung = True
    noticed_s, stood_s = until(lambda: not succeeds(read), 1 / hz, 3.0)
    fake.is_hung = False
    time.sleep(2.0)
    fake.is_plugged = False
    until(lambda: not succeeds(read) and False, 1 / hz, 1.0)
    fake.is_plugged = True
    back_s, _ = until(lambda: succeeds(read), 1 / hz, 5.0)
    settled = slice(round(hz), None)  # the first second fills queues
    old, call = np.array(ages)[settled] * 1e3, np.array(calls)[settled] * 1e3
    return {
        "age_mean": float(old.mean()),
        "age_p99": float(np.quantile(old, 0.99)),
        "age_max": float(old.max()),
        "call_p50": float(np.quantile(call, 0.5)),
        "call_p99": float(np.quantile(call, 0.99)),
        "num_refused": num_refused,
        "hung_noticed": noticed_s * 1e3,
        "hung_stood": stood_s * 1e3,
        "back": back_s * 1e3,
        "cpu": used_s / seconds,
    }


COLUMNS = (
    ("age_mean", "age ms", 1),
    ("age_p99", "p99", 1),
    ("age_max", "max", 1),
    ("call_p50", "call p50", 2),
    ("call_p99", "p99", 2),
    ("num_refused", "refused", 0),
    ("hung_noticed", "hung: said at", 0),
    ("hung_stood", "loop stood", 0),
    ("back", "back at", 0),
    ("cpu", "CPU", 2),
)
BARS = {
    "age_p99": 1e3 * OLD_BAR_S,
    "call_p99": 1e3 * CALL_BAR_S,
    "num_refused": 0,
    "hung_noticed": 1e3 * HUNG_BAR_S,
    "back": 1e3 * BACK_BAR_S,
}


def run(reader: str, python: Path, hz: float, seconds: float) -> dict[str, float]:
    """Measures in a process of its own; empty when that failed."""
    command = [str(python), __file__, "--reader", reader, "--hz", str(hz)]
    done = subprocess.run(
        [*command, "--seconds", str(seconds)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")},
    )
    if done.returncode:
        print(f"{reader}: {done.stderr.strip().splitlines()[-1]}")
        return {}
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> int:
    """Prints a table; 1 when demoloop misses a bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hz", type=float, nargs="+", default=[10, 25], help="rates of the loop")
    parser.add_argument("--seconds", type=float, default=60, help="per reader and rate")
    default = Path(tempfile.gettempdir()) / "lerobot_cameras"
    parser.add_argument("--venv", type=Path, default=default, help="where lerobot is")
    parser.add_argument("--reader", choices=READERS, help="measure one, print JSON")
    options = parser.parse_args()
    if options.reader:
        print(json.dumps(measure(options.reader, options.hz[0], options.seconds)), flush=True)
        os._exit(0)  # lerobot's thread may still wait for the camera
    missed = []
    print(f"{'':10} {'loop':>6} " + " ".join(f"{title:>8}" for _, title, _ in COLUMNS))
    for hz in options.hz:
        for reader in READERS:
            python = options.venv / "bin/python" if reader == "lerobot" else Path(sys.executable)
            if not python.exists():
                print(f"{reader}: {python} is missing; this file's first lines say how to get it")
                continue
            it = run(reader, python, hz, options.seconds)
            if it:
                row = (
                    f"{it[name]:{max(8, len(title))}.{places}f}" for name, title, places in COLUMNS
                )
                print(f"{reader:10} {hz:3g} Hz {' '.join(row)}", flush=True)
            if reader == "demoloop":
                missed += [
                    f"{name} at {hz:g} Hz is {it.get(name, float('nan')):.1f}, bar {bar:.1f}"
                    for name, bar in BARS.items()
                    if not it.get(name, float("nan")) <= bar
                ]
    print(f"load {os.getloadavg()[0]:.1f}", *missed, sep="\nMISSED: " if missed else "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
