"""How soon does a person see the arm move after a key, and how smoothly, in simulation?

    python benchmarks/panel.py [--trials 100] [--seconds 20] [--no-page]

Starts `demoloop record --agent keyboard --robot sim` (two cameras of 320x240 for the person, two of
96x96 for the dataset) and drives it twice, each time while it records: over the bare WebSocket, and
through the real page in headless Chromium where that is installed. A trial presses a key while the
arm stands still and waits for the first picture of the front camera in which the arm has moved:
over the socket the picture has arrived and is decoded, in the page it is drawn. Prints p50 and p95
in ms and pictures/s beside their bars, and exits with 1 when one is missed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
BAR_MS, BAR_HZ = 60.0, 30.0
KEYS = ("KeyE", "KeyQ")  # up and down in turn: the arm stays about where it is
CHANGED = 25  # of 255; what JPEG makes of a picture that has not changed stays below
MOVED = 12  # pixels that have changed: less is nothing one sees
STILL_S = 0.6  # after a key is let go

IN_PAGE = """
(() => {
  const canvas = document.querySelector("canvas");
  const context = canvas.getContext("2d");
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  window.drawn = 0;
  window.hasMoved = null;
  const pixels = () => context.getImageData(0, 0, canvas.width, canvas.height).data;
  CanvasRenderingContext2D.prototype.drawImage = function (...what) {
    draw.apply(this, what);
    if (this !== context) return;
    window.drawn += 1;
    if (window.hasMoved) window.hasMoved();
  };
  window.trial = (code) => new Promise((done) => {
    const before = pixels();
    const key = (type) => document.dispatchEvent(new KeyboardEvent(type, { code, bubbles: true }));
    const at = performance.now();
    window.hasMoved = () => {
      const now = pixels();
      let changed = 0;
      for (let i = 0; i < now.length; i += 4) changed += Math.abs(now[i] - before[i]) > %d;
      if (changed < %d) return;
      window.hasMoved = null;
      key("keyup");
      done(performance.now() - at);
    };
    key("keydown");
  });
})()
""" % (CHANGED, MOVED)  # noqa: UP031


def load(path: Path) -> ModuleType:
    """Imports a file of the tests."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def strangers(requests: list[str], address: str) -> list[str]:
    """Returns what a page asked of others than its own server at `address`."""
    own = (address, address.replace("http", "ws", 1), "data:", "blob:", "about:")
    return [url for url in requests if not url.startswith(own)]


class Recording:
    """`with Recording("--agent", …) as address`: `record` in simulation, as another process."""

    def __init__(self, *words: str, ends_in_s: float = 0.0) -> None:
        """Stores the options; `ends_in_s`: how long it is waited for before it is told to end."""
        self._words, self._ends_in_s = words, ends_in_s

    def __enter__(self) -> str:
        """Returns where its page is."""
        self._log = tempfile.TemporaryFile("w+")
        verb = ["record", "--robot", "sim", "--panel.no-browser", *self._words]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "demoloop", *verb],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline().split()
        if len(said) < 2:
            self._log.seek(0)
            raise RuntimeError(f"the verb ended: {self._log.read()}")
        return said[1]

    def wait(self, timeout_s: float) -> int:
        """Returns the exit code of the verb, which ends by itself; raises TimeoutExpired."""
        return self._process.wait(timeout_s)

    def __exit__(self, *_: object) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self._ends_in_s)
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)
        self._log.close()


@contextmanager
def keyboard_recording() -> Iterator[str]:
    """A long recording by keyboard, into a folder that is thrown away; yields the address."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["--agent", "keyboard", "--countdown-s", "0", "--max-seconds", "3600"]
        with Recording(*words, "--out", f"{folder}/data") as address:
            yield address


def over_the_socket(trials: int, seconds: float) -> tuple[list[float], float]:
    """Returns the latency of each trial [ms], and pictures/s."""
    wire = load(ROOT / "tests/teleop/web/wire.py")
    taken = []
    with keyboard_recording() as address, wire.Wire(address) as page:
        page.until_phase("ready")
        page.command("start")
        page.until_phase("recording")
        for trial in range(trials):
            rest(page)
            before = front(page)
            at = time.perf_counter()
            page.press(KEYS[trial % 2])
            page.until(lambda it, before=before: has_moved(before, front(it)), "movement")
            taken.append(1e3 * (time.perf_counter() - at))
            page.press()
        begin, seen = time.perf_counter(), page.num_pictures
        page.until(lambda _: time.perf_counter() - begin > seconds, "time")
        return taken, (page.num_pictures - seen) / seconds


def rest(page: Any) -> None:
    """Lets the arm come to rest."""
    end = time.perf_counter() + STILL_S
    page.until(lambda _: time.perf_counter() > end, "rest")


def front(page: Any) -> np.ndarray:
    """The newest picture of the first camera, (height, width, 3)."""
    return cv2.imdecode(np.frombuffer(page.jpegs[0], np.uint8), cv2.IMREAD_COLOR)


def has_moved(before: np.ndarray, now: np.ndarray) -> bool:
    """Whether one sees it."""
    return int((np.abs(now[..., 2].astype(int) - before[..., 2]) > CHANGED).sum()) >= MOVED


def in_the_page(trials: int, seconds: float) -> tuple[list[float], float] | None:
    """As `over_the_socket`, through Chromium; None where there is none."""
    chromium = load(ROOT / "tests/datasets/viewer/chromium.py")
    if chromium.find_chromium() is None:
        return None
    with keyboard_recording() as address, chromium.Chromium() as page:
        page.send("Emulation.setFocusEmulationEnabled", enabled=True)
        page.open(address)
        page.wait("document.body && document.body.dataset.agent")
        page.wait("!document.querySelector('#about').textContent.includes('undefined')")
        time.sleep(STILL_S)
        page.js("document.dispatchEvent(new KeyboardEvent('keydown', {code: 'Space'}))")
        time.sleep(1.0)
        page.js(IN_PAGE)
        taken = []
        for trial in range(trials):
            time.sleep(STILL_S)
            taken.append(float(page.js(f"trial('{KEYS[trial % 2]}')")))
        before = page.js("window.drawn")
        begin = time.perf_counter()
        time.sleep(seconds)
        return taken, (page.js("window.drawn") - before) / (time.perf_counter() - begin)


def say(what: str, taken: list[float], hz: float) -> bool:
    """Prints one line; returns whether the bars are met."""
    p50 = statistics.median(taken)
    p95 = float(np.percentile(taken, 95))
    is_met = p50 <= BAR_MS and hz >= BAR_HZ
    print(
        f"{what:<12} key to moved arm p50 {p50:5.1f} ms (bar {BAR_MS:g}), p95 {p95:5.1f} ms, "
        f"{len(taken)} trials; {hz:4.1f} pictures/s of each camera (bar {BAR_HZ:g})"
        f"{'' if is_met else '  MISSED'}",
        flush=True,
    )
    return is_met


def main() -> int:
    """Measures and prints; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--no-page", action="store_true")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    is_met = say("socket", *over_the_socket(options.trials, options.seconds))
    page = None if options.no_page else in_the_page(options.trials, options.seconds)
    if page is not None:
        is_met = say("page", *page) and is_met
    elif not options.no_page:
        print("chromium is not installed: the page is not measured")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
