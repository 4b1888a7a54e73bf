"""Does a person at the page collect demonstrations with every device?

    python benchmarks/through_the_page.py [keyboard gamepad phone hand] [--count 20] [--out FOLDER]

Starts `demoloop record --agent DEVICE --robot sim --task pick_place`, opens its page in headless
Chromium and has the scripted person (person.py) start, drive, keep and redo there, in real time, by
events of the browser, until the dataset has its demonstrations. They know what the page is told and
where the cube lay at first (seen_page.py). Then the dataset is checked. Prints one line per device
and exits with 1 when one has not collected them, or not all of them are successes.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from page_camera import BareHand
from page_hands import Hands, Keys, Pad, Touch
from panel import Recording, load, strangers
from person import Fingers, Person
from person_fingers import KeyFingers, PhoneFingers, StickFingers
from person_hand import HandFingers
from seen_page import LISTEN, NEWEST, SeenPage

from demoloop.datasets import open_dataset
from demoloop.sim.seeds import FIRST_TRAINING_SEED

ROOT = Path(__file__).parents[1]
LOOK_S = 0.02  # between two looks at the page
LONGEST_S = 40.0  # then a person gives up
DOUBT_S = 3.0  # after letting go over the bin: it must have missed
MOST_TRIES = 3  # of one world
DEVICES: dict[str, tuple[Callable[[], Fingers], Callable[[Any], Hands]]] = {
    "keyboard": (KeyFingers, Keys),
    "gamepad": (StickFingers, Pad),
    "phone": (PhoneFingers, Touch),
    "hand": (HandFingers, BareHand),
}


@dataclass
class Told:
    """How a person fared."""

    num_tries: int = 0
    seconds: list[float] = field(default_factory=list)  # of each demonstration that was kept
    rates: list[float] = field(default_factory=list)  # looks per second
    requests: list[str] = field(default_factory=list)  # that left the machine
    load: float = 0.0
    took_s: float = 0.0


class Sitting:
    """A person in front of the page."""

    def __init__(self, page: Any, device: str, hands: Hands, pictures: Path) -> None:
        """Stores."""
        self._page, self._device, self._hands = page, device, hands
        self._pictures = pictures
        self._seed = FIRST_TRAINING_SEED
        self.told = Told()

    def collect(self, count: int) -> None:
        """Shows until the session has what it wants."""
        attempt = 0
        while True:
            phase = self._until("ready", "finished")
            if phase == "finished":
                return
            kept_before = self._session()["kept"]
            seconds = self._try(attempt)
            self.told.num_tries += 1
            if self._session()["episodes"][-1]["verdict"] != "pending":
                raise RuntimeError(f"nothing to judge: {self._session()}")
            is_good = self._believed.released_at is not None and not self._gave_up
            attempt += 1
            verdict = "keep" if is_good else "redo" if attempt < MOST_TRIES else "discard"
            self._hands.command(verdict)
            self._until("ready", "moving", "finished")
            if verdict == "keep":
                self.told.seconds.append(seconds)
                print(f"\r{self._device}: {kept_before + 1} of {count} kept", end="", flush=True)
            if verdict != "redo":
                self._seed, attempt = self._seed + 1, 0

    def _try(self, attempt: int) -> float:
        """Shows it once; returns how long that took [s]."""
        self._believed = believed = SeenPage(self._seed)
        fingers = DEVICES[self._device][0]()
        person = Person(believed.robot, fingers, attempt, believed.look)
        person.reset()
        self._gave_up = False
        self._hands.command("start")
        self._until("recording")
        # The first pictures may still be of the countdown.
        self._page.wait("told.frame.phase === 'recording'")
        begun = time.monotonic()
        num_looks, due = 0, begun
        while True:
            told = self._newest()
            now = time.monotonic()
            if told["session"]["phase"] != "recording":
                break
            believed.take(told["frame"])
            fingers.is_engaged = bool(told["frame"]["engaged"])
            fingers.hint = str(told["frame"]["status"])
            self._hands.do(person.state())
            num_looks += 1
            if num_looks == 120 and self.told.num_tries == 1:
                self.photograph()
            let_go = believed.released_at
            if now - begun > LONGEST_S or (
                let_go is not None and told["frame"]["time"] - let_go > DOUBT_S
            ):
                self._gave_up = True
                self._hands.rest()
                self._hands.command("stop")
                break
            due = max(due + LOOK_S, now)
            time.sleep(max(0.0, due - time.monotonic()))
        seconds = time.monotonic() - begun
        self.told.rates.append(num_looks / seconds)
        self._hands.rest()
        self._until("review")
        return seconds

    def _newest(self) -> dict[str, Any]:
        return dict(self._page.js(NEWEST))

    def _session(self) -> dict[str, Any]:
        return dict(self._page.js("told.session"))

    def _until(self, *phases: str) -> str:
        """Waits for a phase, and returns which it is."""
        wanted = json.dumps(phases)
        self._page.wait(f"told.session && told.frame && {wanted}.includes(told.session.phase)")
        return str(self._session()["phase"])

    def photograph(self) -> None:
        """Keeps what the page shows."""
        shot = self._page.send("Page.captureScreenshot", format="png")["data"]
        self._pictures.joinpath(f"{self._device}.png").write_bytes(base64.b64decode(shot))


def sit_down(device: str, count: int, out: Path) -> Told:
    """Has a person collect `count` demonstrations by `device` into `out`."""
    chromium = load(ROOT / "tests/datasets/viewer/chromium.py")
    begun = time.monotonic()
    words = ["--agent", device, "--task", "pick_place", "--out", str(out)]
    words += ["--episodes", str(count), "--countdown-s", "1"]
    # It ends by itself when it has enough.
    recording = Recording(*words, ends_in_s=10.0)
    with recording as address, chromium.Chromium() as page:
        page.send("Emulation.setFocusEmulationEnabled", enabled=True)
        page.send(
            "Page.addScriptToEvaluateOnNewDocument", source=LISTEN + Pad.SCRIPT + BareHand.SCRIPT
        )
        page.open(address)
        page.wait("document.body && document.body.dataset.agent")
        hands = DEVICES[device][1](page)
        sitting = Sitting(page, device, hands, out.parent)
        try:
            hands.take_up()
            sitting.collect(count)
        except BaseException:
            sitting.photograph()
            raise
        told = sitting.told
        told.requests = strangers(page.requests, address)
    told.load, told.took_s = os.getloadavg()[1], time.monotonic() - begun
    return told


def judged(out: Path) -> tuple[int, int, str]:
    """Returns episodes, successes among them, and what `dataset check` says at last."""
    episodes = open_dataset(out).episodes
    done = subprocess.run(
        [sys.executable, "-m", "demoloop", "dataset", "check", str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = str(done.stdout).splitlines()
    said = next((line for line in lines if "defects:" in line), str(done.stderr).strip())
    good = sum(episode.success is True for episode in episodes)
    return len(episodes), good, f"exit {done.returncode}: {said}"


def main() -> int:
    """Prints one line per device; 1 when one has not collected them."""
    parser = argparse.ArgumentParser(description="A person at the page, with each device.")
    parser.add_argument("devices", nargs="*", default=list(DEVICES))
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    is_met = True
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        for device in options.devices:
            told = sit_down(device, options.count, out / device)
            episodes, good, check = judged(out / device)
            print(
                f"\r{device:9} {good} successes of {episodes} kept (bar {options.count}), "
                f"{told.num_tries} tries, median {median(told.seconds):.1f} s "
                f"({min(told.seconds):.1f} to {max(told.seconds):.1f}) each, "
                f"{told.took_s:.0f} s in all; {np.mean(told.rates):.0f} looks/s, "
                f"{len(told.requests)} requests elsewhere, load {told.load:.1f}; check {check}",
                flush=True,
            )
            is_met &= good >= options.count and not told.requests
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
