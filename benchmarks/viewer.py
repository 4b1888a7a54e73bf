"""How quickly does `demoloop view` show a dataset, and how much memory does it take?

    python benchmarks/viewer.py [--episodes 1000] [--starts 5] [--data FOLDER]

Writes a dataset of short episodes with two 96 px cameras (used again when FOLDER holds one), serves
it, and opens it in headless Chromium, a new browser with an empty cache at each start. Prints
medians, and the slowest, in ms from the start of the navigation, as the page itself measures them:
first contentful paint, list filled, first filmstrips drawn. Then the latency of a single scrub, the
rate of playing, and the memory of the server after a walk through all episodes.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

from demoloop.datasets import DatasetWriter, Episode
from demoloop.robot.arms.so101 import SO101

STEPS = 30
DRIVER = Path(__file__).parents[1] / "tests/datasets/viewer/chromium.py"
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
FILLED = "performance.getEntriesByName('filled')[0]?.startTime"
STRIPS = (
    "(rows => rows.length && rows.every(i => i.matches('.there')) && performance.now())"
    "([...document.querySelectorAll('.episode img')])"
)
SCRUB = """
(async () => {
  const canvas = document.querySelector("canvas"), taken = [];
  const steps = Array.from({ length: 30 }, (_, i) => (i * 17) % scrub.max);
  for (const step of steps) {
    const before = performance.now();
    scrub.value = step;
    scrub.dispatchEvent(new Event("input"));
    while (canvas.dataset.step !== String(step)) await new Promise(requestAnimationFrame);
    taken.push(performance.now() - before);
  }
  return taken;
})()
"""


def write(root: Path, num_episodes: int) -> None:
    """Writes episodes of a moving stripe, all with the same pictures but shifted."""
    rng = np.random.default_rng(0)
    columns = np.arange(96)
    with DatasetWriter(root, SO101) as writer:
        for e in tqdm(range(num_episodes), desc="writing", unit="episode"):
            time_s = 100 + np.arange(STEPS) / SO101.control_hz
            joints = np.cumsum(rng.normal(0, 0.02, (STEPS, 6)), axis=0).astype(np.float32)
            pictures = np.zeros((STEPS, 96, 96, 3), np.uint8)
            for t in range(STEPS):
                stripe = ((columns + 2 * t + 7 * e) % 96 < 24) * 200
                pictures[t] = stripe[None, :, None] + np.uint8(30)
            writer.add(
                Episode(
                    task=("pick the cube", "stack the cubes", "push the block")[e % 3],
                    time=time_s,
                    proprioception=np.concatenate([joints, 0 * joints], axis=1),
                    actions=joints,
                    images=dict.fromkeys(SO101.camera_names, pictures),
                    image_times=dict.fromkeys(SO101.camera_names, time_s),
                    success=(True, True, False, None)[e % 4],
                    seed=e,
                )
            )


def load_driver() -> ModuleType:
    """Imports the browser that the tests drive."""
    spec = importlib.util.spec_from_file_location("chromium", DRIVER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def memory_mb(pid: int) -> float:
    """Returns the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def say(what: str, values: list[float]) -> None:
    """Prints the median and the largest of some times [ms]."""
    print(f"{what:<34} median {statistics.median(values):7.0f} ms   max {max(values):7.0f} ms")


def first_looks(driver: ModuleType, address: str, starts: int) -> None:
    """Opens the page in new browsers."""
    times: dict[str, list[float]] = {"paint": [], "filled": [], "strips": []}
    for _ in range(starts):
        with driver.Chromium() as page:
            page.open(address)
            times["filled"].append(page.wait(FILLED))
            times["strips"].append(page.wait(STRIPS))
            times["paint"].append(page.js(PAINT))
    say("first contentful paint", times["paint"])
    say("list filled", times["filled"])
    say("filmstrips in sight drawn", times["strips"])


def use(page: Any, num_episodes: int) -> None:
    """Scrubs, plays, and walks through all episodes."""
    say("a scrub until its pictures show", page.js(SCRUB))
    steps = int(page.js("scrub.max"))
    page.press("Home", ".", ".", "Space")
    before = time.monotonic()
    page.wait("scrub.value === scrub.max")
    took = time.monotonic() - before
    print(f"playing {steps} steps at 4x              {took:.2f} s, {steps / took:.0f} steps/s")
    for _ in tqdm(range(num_episodes), desc="walking", unit="episode"):
        page.press("j")
    page.wait(f"document.querySelector('[aria-selected=true]').ariaPosInSet === '{num_episodes}'")
    rows = page.js("document.querySelectorAll('.episode').length")
    print(f"rows of {num_episodes} episodes that are elements: {rows}")


def main() -> None:
    """Writes, serves, looks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    driver = load_driver()
    with tempfile.TemporaryDirectory() as folder:
        root = options.data or Path(folder) / "data"
        if not (root / "meta" / "info.json").exists():
            write(root, options.episodes)
        before = time.monotonic()
        server = subprocess.Popen(
            [sys.executable, "-m", "demoloop", "view", root, "--no-browser"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            words = server.stdout.readline().split()
            started, address, episodes = time.monotonic() - before, words[1], int(words[2])
            print(
                f"{episodes} episodes, {platform.processor() or platform.machine()}, "
                f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
            )
            print(f"command until ready                {started:.2f} s")
            first_looks(driver, address, options.starts)
            print(f"memory of the server               {memory_mb(server.pid):.0f} MB")
            with driver.Chromium() as page:
                page.open(address)
                page.wait("document.querySelector('canvas')?.dataset.step === '0'")
                use(page, episodes)
            print(f"memory of the server, after        {memory_mb(server.pid):.0f} MB")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


if __name__ == "__main__":
    main()
