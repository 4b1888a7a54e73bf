"""The web server of the viewer: which address answers with what."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path
from string import Template
from typing import TypeVar

from aiohttp import web

from demoloop.datasets.errors import DatasetError
from demoloop.datasets.viewer.checking import Checking
from demoloop.datasets.viewer.guard import make_guard
from demoloop.datasets.viewer.library import Library
from demoloop.datasets.viewer.overlay import write_edit, write_undo
from demoloop.datasets.viewer.pictures import filmstrip, frames_as_jpeg

_STATIC = Path(__file__).with_name("static")
_MAX_BODY = 64 * 1024  # bytes of an edit
_THREADS = 4  # decode pictures and read files beside the event loop

_T = TypeVar("_T")


class Viewer:
    """Answers the page's requests about one dataset."""

    def __init__(self, root: Path, pool: ThreadPoolExecutor, token: str) -> None:
        self._library = Library(root)
        self._checking = Checking()
        self._pool = pool
        self._token = token
        self._page = Template((_STATIC / "index.html").read_text(encoding="utf-8"))

    def make_app(self) -> web.Application:
        """Returns the application; everything it does not name is refused."""
        app = web.Application(middlewares=[make_guard(self._token)], client_max_size=_MAX_BODY)
        app.add_routes(
            [
                web.get("/", self._index),
                web.static("/static", _STATIC),
                web.get("/api/dataset", self._dataset),
                web.get("/api/state", self._state),
                web.get("/api/episode/{uuid:[0-9a-f]+}", self._episode),
                web.get(r"/api/frames/{uuid:[0-9a-f]+}/{camera:\d+}", self._frames),
                web.get("/api/thumbnail/{uuid:[0-9a-f]+}", self._thumbnail),
                web.post("/api/edit", self._edit),
                web.post("/api/undo", self._undo),
                web.post("/api/check", self._check),
            ]
        )
        return app

    def open(self) -> str:
        """Opens the dataset and returns a line about it; raises DatasetError."""
        dataset = self._library.open()
        return f"{len(dataset.episodes)} episodes of {dataset.spec.name}"

    def close(self) -> None:
        """Ends what still runs in the background."""
        self._checking.stop()

    async def _do(self, work: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    async def _index(self, _: web.Request) -> web.Response:
        name = escape(self._library.root.resolve().name)
        text = self._page.substitute(token=self._token, name=name)
        return web.Response(text=text, content_type="text/html")

    async def _dataset(self, _: web.Request) -> web.Response:
        return web.json_response(await self._do(self._library.describe))

    async def _state(self, _: web.Request) -> web.Response:
        stamps = await self._do(self._library.stamps)
        return web.json_response({**stamps, "check": self._checking.describe()})

    async def _episode(self, request: web.Request) -> web.Response:
        uuid = request.match_info["uuid"]
        return web.json_response(await self._do(self._library.describe_episode, uuid))

    async def _frames(self, request: web.Request) -> web.Response:
        uuid, camera = request.match_info["uuid"], int(request.match_info["camera"])
        first, count = _number(request, "first"), _number(request, "count")

        def read() -> bytes:
            dataset, i = self._library.find(uuid)
            names = dataset.spec.camera_names
            if camera >= len(names):
                raise DatasetError(f"the dataset has {len(names)} cameras, asked for {camera}")
            return frames_as_jpeg(dataset, i, names[camera], first, count)

        return web.Response(body=await self._do(read), content_type="application/octet-stream")

    async def _thumbnail(self, request: web.Request) -> web.Response:
        uuid = request.match_info["uuid"]

        def read() -> bytes:
            return filmstrip(*self._library.find(uuid))

        body = await self._do(read)
        # The address holds which steps are kept, so what it shows does not change.
        headers = {"Cache-Control": "private, max-age=3600"}
        return web.Response(body=body, content_type="image/jpeg", headers=headers)

    async def _edit(self, request: web.Request) -> web.Response:
        edit = await self._do(write_edit, self._library.root, await request.read())
        return web.json_response({"id": edit.id})

    async def _undo(self, request: web.Request) -> web.Response:
        edit = await self._do(write_undo, self._library.root, await request.read())
        return web.json_response({"id": edit.id})

    async def _check(self, _: web.Request) -> web.Response:
        await self._do(lambda: self._checking.start(self._library.open()))
        return web.json_response(self._checking.describe())


@asynccontextmanager
async def serving(root: Path, port: int) -> AsyncIterator[tuple[str, str]]:
    """Serves within the block; gives the address and a line about the dataset.

    Args:
        root: The dataset.
        port: Where to listen on 127.0.0.1; 0 takes a free one.

    Raises:
        DatasetError: The dataset cannot be opened, or the port is taken.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="viewer") as pool:
        viewer = Viewer(root, pool, secrets.token_urlsafe(32))
        about = viewer.open()
        # A closed browser may leave requests behind; nobody waits for their answers.
        runner = web.AppRunner(viewer.make_app(), access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await _listen(runner, port)
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/", about
        finally:
            viewer.close()
            await runner.cleanup()


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    except OSError as error:
        raise DatasetError(
            f"port {port} of 127.0.0.1 cannot be had ({error.strerror}); name another by "
            "--port, or none to take a free one"
        ) from error


def _number(request: web.Request, name: str) -> int:
    said = request.query.get(name, "")
    if not (said.isascii() and said.isdigit() and len(said) < 10):
        raise DatasetError(f"{name} is {said[:20]!r}, expected a whole number")
    return int(said)
