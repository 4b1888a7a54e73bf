"""A filmed hand teaches a simulated arm through the real page: `demoloop record --agent hand`.

Run by `hand.py` within a fence (`shut_in.py`): `hand_panel.py FILM OUT SECONDS [PICTURES]` plays
the film to Chromium as its camera, starts the verb, presses what a person presses in the page, and
prints as JSON which addresses the page asked.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
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


def load(path: Path) -> ModuleType:
    """Imports a file of the tests."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


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


@contextmanager
def recording(out: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The verb in a process of its own, and the address of its page."""
    words = ["record", "--agent", "hand", "--robot", "sim", "--episodes", "1", "--out", str(out)]
    words += ["--max-seconds", "3600", "--countdown-s", "0", "--panel.no-browser"]
    process = subprocess.Popen(
        [sys.executable, "-m", "demoloop", *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[1]
    finally:
        process.kill()
        process.wait()


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
    page.click("#webcam-start")
    page.wait("document.querySelectorAll('.landmarks circle').length === 21")
    phase(page, "ready")
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
        with recording(out) as (process, address), chromium.Chromium(flags=flags) as page:
            teach(page, address, seconds, pictures)
            code = process.wait(60)
            strangers = [url for url in page.requests if not _is_own(url, address)]
            told = {"code": code, "asked": len(page.requests), "strangers": strangers}
            print(json.dumps({**told, "problems": page.problems}), flush=True)
    return code


def _is_own(url: str, address: str) -> bool:
    own = (address, address.replace("http", "ws", 1), "data:", "blob:", "about:")
    return url.startswith(own)


if __name__ == "__main__":
    sys.exit(
        main(
            Path(sys.argv[1]),
            Path(sys.argv[2]),
            float(sys.argv[3]),
            Path(sys.argv[4]) if len(sys.argv) > 4 else None,
        )
    )
