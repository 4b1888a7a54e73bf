"""The whole thing: the verb, its server, the simulated arm, and a person at the page's keys."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from demoloop.datasets import open_dataset

Strike = Callable[..., None]
PHASE = "document.body.dataset.phase === '{}'"
PAN = "Number(document.querySelector('.joint').getAttribute('aria-valuenow'))"
# Counts the pictures that are drawn: what is seen after more of them is not an old one.
COUNT = """
window.drawn = 0;
const draw = CanvasRenderingContext2D.prototype.drawImage;
CanvasRenderingContext2D.prototype.drawImage = function (...what) {
  window.drawn += 1;
  draw.apply(this, what);
};
"""
VERDICTS = "[...document.querySelectorAll('.episode')].map((e) => e.classList[1]).join()"


@contextmanager
def recording(out: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs `demoloop record` by keyboard; gives its process and the panel's address."""
    command = [sys.executable, "-m", "demoloop", "record", "--out", str(out), "--agent", "keyboard"]
    command += ["--countdown-s", "0.2", "--panel.no-browser", *more]
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root / "src"), "MUJOCO_GL": "egl"},
    )
    assert process.stdout is not None
    said = ""
    try:
        for line in process.stdout:
            said += line
            if found := re.search(r"ready (http://\S+)", line):
                break
        else:
            pytest.fail(said)
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.mark.slow
def test_a_person_at_the_keys_records_keeps_discards_and_does_again(
    look: Callable[[str], Any], strike: Strike, tmp_path: Path
) -> None:
    out = tmp_path / "shown"
    with recording(out, "--episodes", "9") as (process, address), look(address) as page:

        def reach(phase: str) -> None:
            page.wait(PHASE.format(phase))

        def show(*judging: str) -> None:
            """Records an episode in which the arm is seen to move, and judges it."""
            reach("ready")
            strike("Space")
            reach("recording")
            before = page.js(PAN)
            strike("KeyA", "down")
            page.wait(f"Math.abs({PAN} - {before}) > 0.02")
            strike("KeyA", "up")
            strike("Space")
            reach("review")
            for code in judging:
                strike(code)

        show()
        page.click("#note")
        page.type("the first one")
        page.press("Enter")
        page.wait("document.querySelector('#notes').textContent === 'the first one'")
        strike("Enter")  # keep it, and the world's physics says that the cube is not in the box
        page.wait(f"{VERDICTS} === 'failure'")
        page.wait("document.querySelector('.episode img').naturalWidth > 0")
        show("Backspace")
        page.wait(f"{VERDICTS} === 'failure,discarded'")
        show("KeyR")
        page.wait(f"{VERDICTS}.startsWith('failure,discarded,discarded')")
        show("KeyY")
        show("KeyN")
        page.wait(f"{VERDICTS} === 'failure,discarded,discarded,success,failure'")
        assert page.js("document.querySelector('#wanted').value") == 3
        page.wait("/ ms$/.test(document.querySelector('#latency').textContent)")

        # Whoever looks away in the middle: the arm stays, the recording goes on.
        reach("ready")
        strike("Space")
        reach("recording")
        strike("KeyA", "down")
        page.wait("document.querySelector('#engaged').classList.contains('on')")
        page.js("window.dispatchEvent(new Event('blur'))")
        page.wait("!document.querySelector('#engaged').classList.contains('on')")
        strike("KeyA", "up")
        strike("Space")
        reach("review")
        strike("Backspace")
        reach("ready")

        # Another page watches.
        role = page.js(
            "new Promise((done) => { const other = new WebSocket(`ws://${location.host}/ws`);"
            "other.onmessage = ({data}) => { const said = JSON.parse(data); other.close();"
            "done(said.role); }; })"
        )
        assert role == "watcher"
        strike("KeyX")  # finish
        reach("finished")
        own = (address, address.replace("http", "ws"), "data:", "blob:")
        assert [r for r in page.requests if not r.startswith(own)] == []
        process.wait(60)
    assert process.returncode == 0
    dataset = open_dataset(out)
    assert [episode.success for episode in dataset.episodes] == [False, True, False]
    told = [event for _, event in dataset.episode(0).events]
    assert any("note the first one" in event for event in told)


@pytest.mark.slow
def test_the_stop_stops_and_a_person_goes_on_after_a_reset(
    look: Callable[[str], Any], strike: Strike, tmp_path: Path
) -> None:
    out = tmp_path / "stopped"
    with recording(out, "--episodes", "2") as (_, address), look(address) as page:
        page.wait(PHASE.format("ready"))
        strike("Space")
        page.wait(PHASE.format("recording"))
        strike("KeyA", "down")
        page.wait("document.querySelector('#engaged').classList.contains('on')")
        strike("Escape")
        page.wait(PHASE.format("fault"))
        assert len(page.js("document.querySelector('#sentence').textContent")) > 10
        page.js(COUNT)
        pans = []
        for number in (20, 40):  # it may still slow down before the first
            page.wait(f"window.drawn > {number}")
            pans.append(page.js(PAN))
        assert pans[1] == pytest.approx(pans[0], abs=0.005)  # and the key is still held
        strike("KeyA", "up")
        page.click("#reset")
        page.wait(PHASE.format("review"))  # what was recorded until then is not lost
        strike("KeyN")
        page.wait(f"{VERDICTS} === 'failure'")
        page.wait(PHASE.format("ready"))
        strike("KeyA", "down")  # and the arm goes on, from here
        page.wait("document.querySelector('#engaged').classList.contains('on')")
        strike("KeyA", "up")
        strike("KeyX")
        page.wait(PHASE.format("finished"))
    assert [episode.success for episode in open_dataset(out).episodes] == [False]
