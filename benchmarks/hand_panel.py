"""A filmed hand teaches a simulated arm through the real page: `demoloop record --agent hand`.

Run by `hand.py` within a fence (`shut_in.py`): `hand_panel.py FILM OUT SECONDS [PICTURES]` plays
the film to Chromium as its camera, starts the verb, presses what a person presses in the page, and
prints as JSON which addresses the page asked.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
from panel import Recording, load, strangers
from shut_in import knock

ROOT = Path(__file__).parents[1]
SIZE = (640, 360)
_KNOCKED = "knocked"
_NOWHERE = "http://127.0.0.1:9"
# What a browser asks of its maker by itself, whatever page it shows (updates, sign-in, hints, words
# for forms), is switched off or sent nowhere: what is left is the page's and ours.
_SILENT = (
    "--disable-sync",
    "--disable-extensions",
    "--disable-component-extensions-with-background-pages",
    "--disable-domain-reliability",
    "--disable-features=OptimizationHints,AutofillServerCommunication,NetworkTimeServiceQuerying",
    f"--gaia-url={_NOWHERE}",
    f"--google-apis-url={_NOWHERE}",
    f"--component-updater=url-source={_NOWHERE}",
    f"--gcm-checkin-url={_NOWHERE}",
    f"--gcm-registration-url={_NOWHERE}",
)


def as_camera(film: Path, out: Path) -> None:
    """Writes the film as Chromium's fake camera reads it: JPEGs in a row, at 30 a second."""
    capture = cv2.VideoCapture(str(film))
    with out.open("wb") as file:
        while True:
            is_there, image = capture.read()
            if not is_there:
                return
            small = cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA)
            file.write(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())


def press(page: Any, code: str) -> None:
    """Strikes a key of the page."""
    page.js(f"document.dispatchEvent(new KeyboardEvent('keydown', {{code: '{code}'}}))")
    page.js(f"document.dispatchEvent(new KeyboardEvent('keyup', {{code: '{code}'}}))")


def phase(page: Any, name: str) -> None:
    """Waits until the session is there."""
    page.wait(f"document.body.dataset.phase === '{name}'")


def teach(page: Any, address: str, seconds: float, pictures: Path | None) -> None:
    """Does what a person does: allow the camera, start, show, stop, keep."""
    page.send("Emulation.setFocusEmulationEnabled", enabled=True)
    page.open(address)
    page.wait("document.body?.dataset.agent === 'hand'")
    phase(page, "ready")
    # What the device says stands above the button and moves it: a click must not come between.
    page.wait("document.querySelector('#status').textContent")
    page.click("#webcam-start")
    page.wait("document.querySelectorAll('.landmarks circle').length === 21")
    press(page, "Space")
    phase(page, "recording")
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        time.sleep(min(1.0, max(0.0, end - time.monotonic())))
        if pictures is not None:
            number += 1
            (pictures / f"{number:03d}.png").write_bytes(page.screenshot())
    press(page, "Space")
    phase(page, "review")
    press(page, "Enter")
    phase(page, "finished")


def main(film: Path, out: Path, seconds: float, pictures: Path | None) -> int:
    """Returns the exit code of the verb."""
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    knock()
    print(_KNOCKED, flush=True)
    chromium = load(ROOT / "tests/datasets/viewer/chromium.py")
    with tempfile.TemporaryDirectory() as folder:
        camera = Path(folder, "camera.mjpeg")
        as_camera(film, camera)
        flags = (
            *_SILENT,
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={camera}",
        )
        words = ["--agent", "hand", "--episodes", "1", "--out", str(out)]
        verb = Recording(*words, "--max-seconds", "3600", "--countdown-s", "0")
        with verb as address, chromium.Chromium(flags=flags) as page:
            teach(page, address, seconds, pictures)
            code = verb.wait(60)
            others = strangers(page.requests, address)
            told = {"code": code, "asked": len(page.requests), "strangers": others}
            print(json.dumps({**told, "problems": page.problems}), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(
        main(
            Path(sys.argv[1]),
            Path(sys.argv[2]),
            float(sys.argv[3]),
            Path(sys.argv[4]) if len(sys.argv) > 4 else None,
        )
    )
