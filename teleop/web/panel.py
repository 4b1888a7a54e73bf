"""The panel: a web server in a thread beside the control loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal

import aiohttp
import msgspec
from aiohttp import web

from demoloop.datasets.disk import bytes_per_second, free_bytes
from demoloop.teleop.bench import Pictures
from demoloop.teleop.by_hand import SeenHand
from demoloop.teleop.errors import TeleopError
from demoloop.teleop.inputs import Inputs
from demoloop.teleop.look import Look, Progress
from demoloop.teleop.web import messages as m
from demoloop.teleop.web.desk import Desk, Webcam
from demoloop.teleop.web.door import Door
from demoloop.teleop.web.guard import make_guard
from demoloop.teleop.web.led import Led
from demoloop.teleop.web.page import Page
from demoloop.teleop.web.pictures import Shot, Shutter
from demoloop.teleop.web.state import gesture, hello, marks, state
from demoloop.teleop.web.where import Addresses, Where, listen

STATIC = Path(__file__).with_name("static")
_BEAT_S = 2.0  # a page that does not answer a ping within half of it has gone
_CHECK_S = 0.25
_DISK_S = 1.0
_LAST_WORDS_S = 0.3  # for what is sent at the end


class Panel:
    """`with Panel(session, inputs, where) as panel: print(panel.at.address); session.run()`.

    The session is shown and led by whoever opens the page. Nothing here holds up the control loop:
    it leaves the newest instant where another thread draws it.

    Attributes:
        at: How it is reached.
    """

    def __init__(
        self,
        led: Led,
        inputs: Inputs,
        where: Where,
        *,
        webcam: Webcam | None = None,
    ) -> None:
        """Stores.

        Args:
            led: What is led.
            inputs: Where devices of the page are read from.
            where: To listen.
            webcam: Takes the pictures of the page's own camera.
        """
        self.at: Addresses
        self._led, self._where = led, where
        self._desk = Desk(led, inputs, webcam)
        self._door = Door()
        self._shutter = Shutter(self._on_shot, self._on_thumbnail)
        self._thumbnails: dict[int, bytes] = {}
        self._progress: Progress | None = None
        self._disk_free: int | None = None
        self._marks: m.Marks | None = None
        self._seen: SeenHand | None = None
        self._thread = threading.Thread(target=self._run, name="panel", daemon=True)
        self._ready = threading.Event()
        self._error: Exception | None = None
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event

    def __enter__(self) -> Panel:
        """Listens; raises TeleopError when the port cannot be had."""
        self._shutter.__enter__()
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._shutter.__exit__(None, None, None)
            raise self._error
        self._led.listen(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tells the pages how it ended, and hangs up."""
        self._shutter.__exit__(None, None, None)
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    @property
    def is_attended(self) -> bool:
        """Whether whoever drives was heard of late; from any thread."""
        return self._desk.is_attended

    # Heard from the control loop and from other threads.

    def look(self, look: Look) -> None:
        """Shows an instant, if there is time."""
        self._shutter.look(look)
        if look.seen is not None and look.seen != self._seen:
            self._seen = look.seen
            self._call(self._tell, gesture(look.seen))

    def progress(self, progress: Progress) -> None:
        """Tells all pages."""
        self._call(self._on_progress, progress)

    def thumbnail(self, number: int, draw: Callable[[], Pictures]) -> None:
        """Keeps what an episode looked like at its end."""
        self._shutter.thumbnail(number, draw)

    def _on_shot(self, shot: Shot) -> None:
        self._call(self._show, shot)

    def _on_thumbnail(self, number: int, data: bytes) -> None:
        self._call(self._keep_thumbnail, number, data)

    def _call(self, do: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(do, *arguments)

    # In the thread of the server.

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # raised again by whoever opens the panel
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(middlewares=[make_guard(self._door)], client_max_size=1024)
        app.add_routes(
            [
                web.get("/", self._index),
                web.static("/static", STATIC),
                web.get(r"/thumb/{number:\d+}.jpg", self._thumb),
                web.get("/invite.svg", self._code),
                web.get("/ws", self._talk),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            self.at = await listen(runner, self._where, self._door)
            self._ready.set()
            await self._until_end()
        finally:
            await runner.cleanup()

    async def _until_end(self) -> None:
        """Looks after link and disk until the panel is closed."""
        looked_at = 0.0
        while not self._end.is_set():
            self._desk.check_link()
            now = self._loop.time()
            if self._where.root is not None and now - looked_at > _DISK_S:
                looked_at = now
                with suppress(OSError):
                    free = free_bytes(self._where.root) >> 20 << 20  # news by the megabyte
                    if free != self._disk_free:
                        self._disk_free = free
                        self._tell_state()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._end.wait(), _CHECK_S)
        await asyncio.sleep(_LAST_WORDS_S if self._desk.pages else 0.0)
        for page in list(self._desk.pages):
            with suppress(ConnectionError):
                await page.socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)

    async def _index(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _thumb(self, request: web.Request) -> web.Response:
        data = self._thumbnails.get(int(request.match_info["number"][:9]))
        if not data:
            raise web.HTTPNotFound(reason="no such episode")
        return web.Response(body=data, content_type="image/jpeg")

    async def _code(self, _: web.Request) -> web.Response:
        if self.at.invite is None:
            raise web.HTTPNotFound(reason="nobody else can come; begin anew with --panel.host")
        try:
            body = self.at.invite.svg()
        except TeleopError as error:
            raise web.HTTPNotFound(reason=str(error)) from error
        return web.Response(
            body=body, content_type="image/svg+xml", headers={"Cache-Control": "no-store"}
        )

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        """One page, from its hello to its end."""
        # Pictures do not shrink, and a compressed message would wait for a thread.
        socket = web.WebSocketResponse(
            heartbeat=_BEAT_S, max_msg_size=m.MAX_MESSAGE, compress=False
        )
        await socket.prepare(request)
        page = Page(socket)
        self._desk.enter(page)
        sending = asyncio.create_task(page.send_all())
        try:
            page.tell(self._hello(page))
            self._tell_state()
            if self._marks is not None:
                page.tell(self._marks)
            self._shutter.is_watched = True
            await self._hear_all(page)
        finally:
            sending.cancel()
            self._desk.leave(page)
            self._shutter.is_watched = bool(self._desk.pages)
            self._tell_state()
        return socket

    async def _hear_all(self, page: Page) -> None:
        async for message in page.socket:
            try:
                if message.type is aiohttp.WSMsgType.TEXT:
                    had_driver = self._desk.driver
                    self._desk.hear(page, message.data)
                    if self._desk.driver is not had_driver:
                        page.tell(self._hello(page))
                        self._tell_state()
                elif message.type is aiohttp.WSMsgType.BINARY:
                    self._desk.hear_picture(page, message.data)
            except TeleopError as error:
                refusal = msgspec.json.encode(m.Refusal(str(error)[:500]))
                with suppress(ConnectionError):
                    await page.socket.send_str(refusal.decode())
                    await page.socket.close(code=aiohttp.WSCloseCode.POLICY_VIOLATION)
                return

    def _tell(self, message: msgspec.Struct) -> None:
        for page in self._desk.pages:
            page.tell(message)

    def _show(self, shot: Shot) -> None:
        for page in self._desk.pages:
            page.show(shot)

    def _on_progress(self, progress: Progress) -> None:
        self._progress = progress
        self._tell_state()
        told = marks(progress)
        if told is not None and told != self._marks:
            self._marks = told
            self._tell(told)

    def _keep_thumbnail(self, number: int, data: bytes) -> None:
        if data:  # of a robot that has cameras
            self._thumbnails[number] = data
        self._tell_state()

    def _hello(self, page: Page) -> m.Hello:
        is_driver = page is self._desk.driver
        role: Literal["driver", "watcher"] = "driver" if is_driver else "watcher"
        return hello(self._led, self._where.verb, role, self.at.invite)

    def _tell_state(self) -> None:
        """Tells all pages how far the session has come."""
        if self._progress is not None:
            self._tell(
                state(
                    self._progress,
                    thumbnails=self._thumbnails,
                    disk_free=self._disk_free,
                    minutes_left=self._minutes_left(),
                    has_driver=self._desk.driver is not None,
                    watchers=sum(page is not self._desk.driver for page in self._desk.pages),
                )
            )

    def _minutes_left(self) -> float | None:
        if self._disk_free is None:
            return None
        return round(self._disk_free / bytes_per_second(self._led.spec) / 60.0, 1)
