"""A server for the panel's page that says what a test wants said, and keeps what it hears."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from aiohttp import WSMsgType, web

STATIC = Path(__file__).parents[3] / "teleop" / "web" / "static"
CSP = (
    "default-src 'self'; connect-src 'self'; img-src 'self' blob: data:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DEADLINE_S = 30.0
JOINTS = [
    {"name": "shoulder", "low": -1.5, "high": 1.5, "unit": "rad"},
    {"name": "gripper", "low": 0.0, "high": 1.0, "unit": "opening"},
]


def jpeg_of(shade: int) -> bytes:
    """Returns a grey picture."""
    done, data = cv2.imencode(".jpg", np.full((48, 64, 3), shade, np.uint8))
    assert done
    return bytes(data)


class Scene:
    """`with Scene() as scene`: open `scene.address`, `tell` and `show`, and read `heard`.

    Attributes:
        heard: Messages of all pages, in their order; a picture is {"jpeg": bytes, "seq": n}.
    """

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.pages: list[web.WebSocketResponse] = []
        self.hello: dict[str, Any] = {
            "type": "hello", "role": "driver", "verb": "record", "robot": "so101",
            "agent": "keyboard", "agents": ["keyboard", "gamepad", "phone", "hand"],
            "cameras": ["front", "wrist"], "joints": JOINTS, "task": "pick the cube",
            "can_retask": True, "control_hz": 30.0,
        }  # fmt: skip
        self.session: dict[str, Any] = {
            "type": "session", "phase": "ready", "task": "pick the cube", "notes": [],
            "agent": "keyboard", "kept": 0, "wanted": 10, "episodes": [], "drops": {},
            "disk_free": 1 << 36, "minutes_left": 512.0, "problem": "", "armed": "ARMED",
            "has_driver": True, "watchers": 0,
        }  # fmt: skip
        self.header: dict[str, Any] = {
            "seq": 0, "time": 0.0, "phase": "ready", "step": 0, "seconds": 0.0, "countdown": None,
            "target": [0.2, 0.0, 0.1], "joints": [0.3, 0.5], "engaged": False, "late": 0,
            "who": "person", "status": "",
        }  # fmt: skip
        self.pictures = {"front": jpeg_of(90), "wrist": jpeg_of(160)}
        self.thumbnail = jpeg_of(120)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Scene:
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/thumb/{name}", self._thumb),
                web.get("/ws", self._talk),
                web.static("/static", STATIC),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        self.address = f"http://127.0.0.1:{self.port}/"
        self._ready.set()
        await self._end.wait()
        for page in list(self.pages):
            await page.close()
        await runner.cleanup()

    async def _index(self, _: web.Request) -> web.Response:
        text = (STATIC / "index.html").read_text(encoding="utf-8")
        headers = {"Content-Security-Policy": CSP, "Cache-Control": "no-cache"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def _thumb(self, _: web.Request) -> web.Response:
        return web.Response(body=self.thumbnail, content_type="image/jpeg")

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        page = web.WebSocketResponse(max_msg_size=1 << 20)
        await page.prepare(request)
        self.pages.append(page)
        for message in (self.hello, self.session):
            await page.send_str(json.dumps(message))
        await page.send_bytes(self._frame())
        async for message in page:
            if message.type is WSMsgType.TEXT:
                self.heard.append(message.json())
            elif message.type is WSMsgType.BINARY:
                (length,) = struct.unpack_from("<I", message.data)
                header = json.loads(message.data[4 : 4 + length])
                self.heard.append({**header, "jpeg": message.data[4 + length :]})
        self.pages.remove(page)
        return page

    def _frame(self) -> bytes:
        images = [cv2.imdecode(np.frombuffer(d, np.uint8), 1) for d in self.pictures.values()]
        cameras = [
            {"name": name, "width": image.shape[1], "height": image.shape[0], "bytes": len(data)}
            for (name, data), image in zip(self.pictures.items(), images, strict=True)
            if image is not None
        ]
        head = json.dumps({**self.header, "cameras": cameras}).encode()
        return b"".join([struct.pack("<I", len(head)), head, *self.pictures.values()])

    def _send(self, payload: str | bytes) -> None:
        async def send() -> None:
            for page in list(self.pages):
                if isinstance(payload, str):
                    await page.send_str(payload)
                else:
                    await page.send_bytes(payload)

        asyncio.run_coroutine_threadsafe(send(), self._loop).result(DEADLINE_S)

    def say(self, **news: Any) -> None:
        """Sends a message of any kind."""
        self._send(json.dumps(news))

    def tell(self, **news: Any) -> None:
        """Sends how far the session has come, with what is new."""
        self.session.update(news)
        self._send(json.dumps(self.session))

    def show(self, **news: Any) -> None:
        """Sends one instant with its pictures."""
        self.header.update(news)
        self._send(self._frame())

    def phase(self, name: str, **news: Any) -> None:
        """Another phase begins."""
        self.header["phase"] = name
        self.tell(phase=name, **news)
        self.show()

    def greet(self, **news: Any) -> None:
        """Says hello anew, as when a role changes."""
        self.hello.update(news)
        self._send(json.dumps(self.hello))

    def close_pages(self) -> None:
        """Hangs up on all pages; they may call again."""

        async def close() -> None:
            for page in list(self.pages):
                await page.close()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(DEADLINE_S)

    def wait(self, is_it: Callable[[dict[str, Any]], bool], since: int = 0) -> dict[str, Any]:
        """Returns the first message after the first `since` that is what is looked for."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            for message in self.heard[since:]:
                if is_it(message):
                    return message
            time.sleep(0.01)
        raise TimeoutError(
            f"never heard; the last: {[m for m in self.heard[-4:] if 'jpeg' not in m]}"
        )

    def wait_until(self, is_it: Callable[[], bool]) -> None:
        """Waits for what no message tells."""
        end = time.monotonic() + DEADLINE_S
        while not is_it():
            assert time.monotonic() < end
            time.sleep(0.01)

    def commands(self) -> list[str]:
        """Returns the names of all commands that were heard."""
        return [m["name"] for m in self.heard if m.get("type") == "command"]
