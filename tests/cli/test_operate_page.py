"""A run led from a page, as processes: it moves, it stops, and it rests when nobody leads it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.teleop.web.wire import Wire

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(sys.platform != "linux", reason="sockets and signals of Linux"),
]

Start = Callable[..., "subprocess.Popen[str]"]
Pictures = list[NDArray[np.int16]]
STILL, MOVED = 0.1, 1.0  # grey levels of 255, mean of all pixels
NOBODY = "holding (no operator is connected)"


def line(process: subprocess.Popen[str], part: str) -> str:
    """Waits for a line a process prints."""
    assert process.stdout is not None
    said = []
    for text in process.stdout:
        said.append(text)
        if part in text:
            return text
    raise AssertionError(f"no {part!r} in {said}: {process.communicate()[1]}")


@pytest.fixture
def run(start: Start, policy: Path, tmp_path: Path) -> subprocess.Popen[str]:
    """A simulated arm that moves only while an operator is there."""
    bind = f"unix://{tmp_path}/policy.sock"
    line(start("serve", policy, "--bind", bind), "ready ")
    return start(
        *("run", "--server", bind, "--max-seconds", 30, "--log", tmp_path / "run.jsonl"),
        *("--control", "tcp://127.0.0.1:*", "--telemetry", "tcp://127.0.0.1:*", "--need-operator"),
    )


@pytest.fixture
def lead(start: Start, run: subprocess.Popen[str]) -> Callable[[], subprocess.Popen[str]]:
    """Starts `demoloop operate page` at that run."""
    control, telemetry = (line(run, who).split()[-1] for who in ("operators: ", "viewers: "))
    return lambda: start(
        *("operate", "page", "--run", control, "--telemetry", telemetry),
        *("--timeout-s", 10, "--panel.no-browser"),
    )


class Eye:
    """What the cameras on the page show: whether the arm moves."""

    def __init__(self, page: Wire) -> None:
        self.num_alike, self.num_seen = 0, page.num_pictures
        self.last = self.look(page)

    def look(self, page: Wire) -> Pictures:
        shown = [cv2.imdecode(np.frombuffer(it, np.uint8), 0) for it in page.jpegs]
        return [image.astype(np.int16) for image in shown if image is not None]

    def changes(self, page: Wire) -> float:
        """Returns the mean change since the last look, in grey levels of 255."""
        before, self.last = self.last, self.look(page)
        return float(
            np.mean([np.abs(a - b).mean() for a, b in zip(before, self.last, strict=True)])
        )

    def is_still(self, page: Wire) -> bool:
        if page.num_pictures == self.num_seen or not page.jpegs:
            return False
        self.num_seen = page.num_pictures
        if not self.last:
            self.last = self.look(page)
            return False
        self.num_alike = self.num_alike + 1 if self.changes(page) < STILL else 0
        return self.num_alike >= 3


def problem(page: Wire) -> str:
    return str(page.state["session"]["problem"])


def go(page: Wire) -> None:
    """Lets the policy go on, until the arm is seen to move."""
    page.until_phase("ready")
    while page.phase == "ready":  # a run that has not heard of us yet refuses
        page.command("start")
        seen = page.num_pictures
        page.until(lambda it, seen=seen: it.phase != "ready" or it.num_pictures > seen + 1)
    page.until(lambda it: it.header.get("status") == "running", "running")
    page.until(lambda it: len(it.jpegs) == 2, "both cameras")
    eye = Eye(page)
    first = eye.last

    def has_moved(page: Wire) -> bool:
        eye.last = first
        return len(page.jpegs) == 2 and eye.changes(page) > MOVED

    page.until(has_moved, "a picture of the moved arm")


def test_a_run_is_led_from_its_page_and_rests_whenever_nobody_leads_it(
    run: subprocess.Popen[str], lead: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    led = lead()
    address = line(led, "ready ").split()[1]
    with Wire(address) as page:
        go(page)
        page.command("estop")
        page.until_phase("fault")
        assert problem(page).startswith("stopped by ")
        page.until(Eye(page).is_still, "an arm at rest")
        page.command("start")  # refused: nobody has looked at the arm yet
        page.until(lambda it: "reset first" in problem(it), "a sentence")
        page.command("reset")
        go(page)
    line(run, "holding (held by ")  # the page was closed while the arm moved
    with Wire(address) as page:
        page.until_phase("ready")
        page.until(Eye(page).is_still, "an arm at rest")
        go(page)
        led.send_signal(signal.SIGSTOP)  # the link is lost, and nothing is closed
        line(run, NOBODY)
        led.send_signal(signal.SIGCONT)
        go(page)
        led.send_signal(signal.SIGINT)
        page.until_closed()
        assert page.phase == "finished"
    assert led.wait(30) == 0  # leaving by Ctrl-C is no failure of the run
    line(run, NOBODY)
    led = lead()  # another, at a run that goes on without the first
    with Wire(line(led, "ready ").split()[1]) as page:
        page.until_phase("ready")
        run.send_signal(signal.SIGINT)
        page.until_closed()
        assert problem(page) == "the run is over, or the way to it is"
    assert (run.wait(30), led.wait(30)) == (130, 0)
    events = map(json.loads, (tmp_path / "run.jsonl").read_text().splitlines())
    orders = [it["order"] for it in events if it["event"] == "order" and it["is_done"]]
    assert orders == ["go", "stop", "reset", "go", "hold", "go", "go"]


def test_nobody_publishes_is_a_sentence(complaint: Callable[..., str]) -> None:
    words = ("--run", "tcp://127.0.0.1:1", "--telemetry", "tcp://127.0.0.1:1")
    said = complaint("operate", "page", *words, "--timeout-s", 0.1)
    assert "no run publishes at tcp://127.0.0.1:1" in said
