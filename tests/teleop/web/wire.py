"""A page without a browser: the panel's WebSocket, spoken by hand."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import aiohttp

DEADLINE_S = 30.0  # for anything; nothing waits this long on a healthy machine
BEAT_S = 0.08  # a page with the focus speaks at least every 0.1 s


class Wire:
    """`with Wire(address) as page: page.command("start")`; it holds keys as a page with the focus.

    Attributes:
        state: The newest message of each type.
        header: Of the newest picture, and `jpegs` its pictures.
        closed: The close code; None while it is open.
    """

    def __init__(self, address: str, *, beats: bool = True, origin: str | None = None) -> None:
        self.address = address.rstrip("/")
        self.state: dict[str, dict[str, Any]] = {}
        self.header: dict[str, Any] = {
            "seq": 0,
            "step": 0,
            "phase": "",
            "engaged": False,
            "who": "",
        }
        self.jpegs: list[bytes] = []
        self.num_pictures = 0
        self.closed: int | None = None
        self.held: tuple[str, ...] = ()
        self.beats = beats
        self.seq = 0
        self._origin = self.address if origin is None else origin
        self._beat_at = 0.0

    def __enter__(self) -> Wire:
        self._loop = asyncio.new_event_loop()
        self._do(self._open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._close())
        self._loop.close()

    def _do(self, what: Any) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(what, DEADLINE_S))

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession()
        try:
            self._socket = await self._session.ws_connect(
                self.address + "/ws", headers={"Origin": self._origin}
            )
        except BaseException:
            await self._session.close()
            raise

    async def _close(self) -> None:
        await self._session.close()

    def send(self, **message: Any) -> None:
        self._do(self._socket.send_json(message))

    def send_text(self, text: str) -> None:
        self._do(self._socket.send_str(text))

    def send_bytes(self, data: bytes) -> None:
        self._do(self._socket.send_bytes(data))

    def command(self, name: str) -> None:
        self.send(type="command", name=name)

    def press(self, *held: str) -> int:
        """Holds these keys from now on; returns the number of the message that says so."""
        self.held = held
        return self._beat()

    def _beat(self) -> int:
        self.seq += 1
        self._beat_at = time.monotonic() + BEAT_S
        self.send(type="input", seq=self.seq, keyboard={"held": self.held})
        return self.seq

    def until(self, is_so: Callable[[Wire], bool], what: str = "") -> None:
        """Listens until something is so, and goes on speaking meanwhile."""
        end = time.monotonic() + DEADLINE_S
        while not is_so(self):
            assert self.closed is None, f"closed with {self.closed} before {what}: {self.state}"
            assert time.monotonic() < end, f"not within {DEADLINE_S} s: {what}; {self.state}"
            if self.beats and time.monotonic() >= self._beat_at:
                self._beat()
            self.hear(0.05)

    @property
    def phase(self) -> str:
        """Of the session; empty before anything was heard."""
        return str(self.state.get("session", {}).get("phase", ""))

    def until_closed(self) -> int:
        """Listens until the server hangs up; returns why."""
        end = time.monotonic() + DEADLINE_S
        while self.closed is None:
            assert time.monotonic() < end, "nobody hangs up"
            self.hear(0.1)
        return self.closed

    def until_phase(self, phase: str) -> dict[str, Any]:
        """Listens until the session is in a phase; returns its state."""
        self.until(lambda page: page.phase == phase, phase)
        return self.state["session"]

    def hear(self, wait_s: float = 0.0) -> None:
        """Takes in one message, if one comes."""
        try:
            said = self._loop.run_until_complete(
                asyncio.wait_for(self._socket.receive(), max(wait_s, 0.001))
            )
        except TimeoutError:
            return
        if said.type is aiohttp.WSMsgType.TEXT:
            message = json.loads(said.data)
            self.state[message["type"]] = message
        elif said.type is aiohttp.WSMsgType.BINARY:
            (length,) = struct.unpack_from("<I", said.data)
            self.header = json.loads(said.data[4 : 4 + length])
            self.jpegs, at = [], 4 + length
            for camera in self.header["cameras"]:
                self.jpegs.append(said.data[at : at + camera["bytes"]])
                at += camera["bytes"]
            assert at == len(said.data)
            self.num_pictures += 1
        else:
            self.closed = self._socket.close_code or -1
