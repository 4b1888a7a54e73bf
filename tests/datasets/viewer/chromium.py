"""Drives a headless Chromium over the DevTools protocol: opens pages, presses keys, reads them."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

DEADLINE_S = 30.0  # for anything; nothing waits this long on a healthy machine
_ASK_EVERY_S = 0.02
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
# What a key is called -> the code that a page sees for it; others are letters.
_NAMED = {"Space": " ", "Slash": "/"}
_VIRTUAL = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36}
_VIRTUAL |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


def find_chromium() -> str | None:
    """Returns where Chromium is, None where it is not."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Chromium:
    """A browser with one page: `with Chromium() as page: page.open(address)`."""

    def __init__(self, width: int = 1280, height: int = 800, flags: tuple[str, ...] = ()) -> None:
        self._size = (width, height)
        self._flags = flags  # beside the usual ones
        self.requests: list[str] = []  # addresses of all requests since the start
        self.problems: list[str] = []  # what the page complained about on its console
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._count = 0

    def __enter__(self) -> Chromium:
        """Starts the browser and waits until it listens."""
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        self._process = subprocess.Popen(
            [
                str(find_chromium()),
                *_FLAGS,
                *self._flags,
                f"--user-data-dir={self._profile}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "HOME": self._profile},
        )
        self._loop = asyncio.new_event_loop()
        try:
            self._loop.run_until_complete(self._connect())
            self.resize(*self._size)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the browser and all its processes."""
        if hasattr(self, "_session"):
            self._listener.cancel()
            self._loop.run_until_complete(self._session.close())
        self._loop.close()
        os.killpg(self._process.pid, 9)
        self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    async def _connect(self) -> None:
        told = Path(self._profile, "DevToolsActivePort")
        end = time.monotonic() + DEADLINE_S
        while not (told.exists() and len(told.read_text().splitlines()) == 2):
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError("chromium did not start")
            await asyncio.sleep(_ASK_EVERY_S)
        port = told.read_text().splitlines()[0]
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json") as response:
            targets = await response.json()
        address = next(t["webSocketDebuggerUrl"] for t in targets if t["type"] == "page")
        self._socket = await self._session.ws_connect(address, max_msg_size=0)
        self._listener = self._loop.create_task(self._listen())
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self._send(f"{domain}.enable", {})

    async def _listen(self) -> None:
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            elif said["method"] == "Network.requestWillBeSent":
                self.requests.append(said["params"]["request"]["url"])
            elif said["method"] == "Runtime.exceptionThrown":
                self.problems.append(str(said["params"]["exceptionDetails"]))
            elif said["method"] == "Log.entryAdded":
                self.problems.append(str(said["params"]["entry"]))

    async def _send(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        answer = self._answers[self._count] = self._loop.create_future()
        await self._socket.send_json({"id": self._count, "method": method, "params": parameters})
        said = await asyncio.wait_for(answer, DEADLINE_S)
        if "error" in said:
            raise RuntimeError(f"{method}: {said['error']}")
        result: dict[str, Any] = said["result"]
        return result

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends one command of the DevTools protocol and returns its result."""
        return self._loop.run_until_complete(self._send(method, parameters))

    def resize(self, width: int, height: int) -> None:
        """Sets the size of the window [px]."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def open(self, address: str) -> None:
        """Goes to an address."""
        self.send("Page.navigate", url=address)

    def js(self, expression: str) -> Any:
        """Returns the value of an expression in the page; a promise is awaited."""
        said = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in said:
            raise RuntimeError(f"{expression}: {said['exceptionDetails']}")
        return said["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Returns the value of an expression once it is true; an element is."""
        end = time.monotonic() + DEADLINE_S
        while True:
            value = self.js(f"Promise.resolve({expression}).then((v) => v instanceof Node || v)")
            if value:
                return value
            if time.monotonic() > end:
                raise TimeoutError(f"the page never came to {expression}; {self.problems}")
            self._loop.run_until_complete(asyncio.sleep(_ASK_EVERY_S))

    def press(self, *keys: str) -> None:
        """Presses keys one after the other; "Shift+ArrowRight" holds Shift."""
        for name in keys:
            key = name.removeprefix("Shift+")
            key = _NAMED.get(key, key)
            code = _VIRTUAL.get(key, ord(key.upper()) if len(key) == 1 else 0)
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            common = {
                "key": key,
                "windowsVirtualKeyCode": code,
                "modifiers": 8 if name.startswith("Shift+") else 0,
            }
            self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
            self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Writes text into what has the focus."""
        self.send("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Clicks the middle of the first element that fits the selector, by the mouse."""
        place = self.js(
            f"(() => {{ const e = document.querySelector({selector!r});"
            "e.scrollIntoView({block: 'nearest'});"
            "const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send(
                "Input.dispatchMouseEvent",
                type=kind,
                x=place[0],
                y=place[1],
                button="left",
                clickCount=1,
            )

    def screenshot(self, kind: str = "png", quality: int | None = None) -> bytes:
        """Returns what the window shows."""
        more = {} if quality is None else {"quality": quality}
        said = self.send("Page.captureScreenshot", format=kind, **more)
        return base64.b64decode(said["data"])
