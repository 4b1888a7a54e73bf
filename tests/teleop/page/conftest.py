"""A browser with a camera and a gamepad of its own, and the panel's page in it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

BESIDE = Path(__file__).parent
VIEWER = Path(__file__).parents[2] / "datasets" / "viewer"

# Before the page's own scripts: a gamepad that a test can move, and a camera that can refuse.
INIT = """
window.pad = null;
navigator.getGamepads = () => [window.pad];
if (navigator.mediaDevices) {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = (wish) =>
    window.refusal ? Promise.reject(new DOMException("", window.refusal)) : ask(wish);
}
"""


def load(path: Path) -> ModuleType:
    """Imports a file, which pytest's import mode keeps off the path."""
    name = f"panel_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def film(path: Path) -> Path:
    """Writes what the browser's camera sees: black on the left, white on the right."""
    picture = np.zeros((360, 640, 3), np.uint8)
    picture[:, 320:] = 255
    done, data = cv2.imencode(".jpg", picture)
    assert done
    path.write_bytes(bytes(data) * 20)
    return path


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromium = load(VIEWER / "chromium.py")
    if chromium.find_chromium() is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    halves = film(tmp_path_factory.mktemp("film") / "halves.mjpeg")
    flags = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={halves}",
        "--host-resolver-rules=MAP panel.test 127.0.0.1",
    )
    with chromium.Chromium(flags=flags) as page:
        page.send("Page.addScriptToEvaluateOnNewDocument", source=INIT)
        yield page


@pytest.fixture
def scene() -> Iterator[Any]:
    """A server that says what the test wants said."""
    with load(BESIDE / "scene.py").Scene() as scene:
        yield scene


@pytest.fixture
def look(browser: Any) -> Callable[[str], AbstractContextManager[Any]]:
    """Opens the page of an address, in English: `with look(address) as page`."""

    @contextmanager
    def opened(address: str) -> Iterator[Any]:
        browser.requests.clear()
        browser.problems.clear()
        browser.resize(1280, 800)
        browser.send("Network.setUserAgentOverride", userAgent="test", acceptLanguage="en-US")
        browser.open(address)
        browser.wait("document.body && document.body.dataset.seq !== undefined")
        yield browser
        if browser.js("location.href") != "about:blank":
            browser.js("localStorage.clear()")
        browser.open("about:blank")
        browser.wait("location.href === 'about:blank'")

    return opened


@pytest.fixture
def page(look: Callable[[str], AbstractContextManager[Any]], scene: Any) -> Iterator[Any]:
    """The page in front of the `scene`."""
    with look(scene.address) as page:
        yield page
        # What the content security policy refused is among them.
        assert [said for said in page.problems if "'level': 'info'" not in said] == []


@pytest.fixture
def strike(browser: Any) -> Callable[..., None]:
    """Presses keys by their place on the board: `strike("KeyW", "down")` holds it, "up" lets go."""

    def struck(code: str, way: str = "press") -> None:
        name = code.removeprefix("Key").removeprefix("Digit")
        key = {"Space": " ", "ShiftLeft": "Shift"}.get(
            code, name.lower() if len(name) == 1 else name
        )
        number = {"Escape": 27, "Space": 32, "Enter": 13, "Tab": 9, "Backspace": 8, "Shift": 16}
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        common = {
            "key": key,
            "code": code,
            "windowsVirtualKeyCode": number.get(code, ord(name[0]) if len(name) == 1 else 0),
        }
        if way in ("press", "down"):
            browser.send("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        if way in ("press", "up"):
            browser.send("Input.dispatchKeyEvent", type="keyUp", **common)

    return struck
