"""One page that is connected: what it said last, and what it is sent, newest only."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from contextlib import suppress

import msgspec
from aiohttp import web

from demoloop.teleop.look import Look
from demoloop.teleop.web.messages import CameraHeader, Header, pack
from demoloop.teleop.web.pictures import Shot

SLOWEST_S = 5.0  # for one message; who takes longer is not looking
_BUFFER = 64 << 10  # bytes on their way: more are old by the time they are seen
_MOST_SEQS = 256


class Page:
    """The sending side of a WebSocket. For the thread of the server."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        """Stores."""
        self.socket = socket
        self.said_at = 0.0  # s, monotonic
        self._seqs: deque[tuple[float, int]] = deque(maxlen=_MOST_SEQS)
        self._last_seq = 0
        self._texts: dict[str, bytes] = {}  # by their kind: a newer one takes the place
        self._shot: Shot | None = None
        self._news = asyncio.Event()

    def hear_seq(self, seq: int, now: float) -> None:
        """An input of this number has come."""
        self._seqs.append((now, seq))

    def tell(self, message: msgspec.Struct) -> None:
        """Sends a text message, instead of an older one of its kind that still waits."""
        kind = type(message).__name__
        self._texts.pop(kind, None)
        self._texts[kind] = msgspec.json.encode(message)
        self._news.set()

    def show(self, shot: Shot) -> None:
        """Sends an instant, instead of an older one that still waits."""
        self._shot = shot
        self._news.set()

    async def send_all(self) -> None:
        """Sends until the page has gone, or is too slow to be there."""
        _shorten_buffer(self.socket)
        with suppress(ConnectionError, TimeoutError):
            while not self.socket.closed:
                await self._news.wait()
                self._news.clear()
                while self._texts:
                    text = self._texts.pop(next(iter(self._texts)))
                    await asyncio.wait_for(self.socket.send_str(text.decode()), SLOWEST_S)
                shot, self._shot = self._shot, None
                if shot is not None:
                    await asyncio.wait_for(self.socket.send_bytes(self._pack(shot)), SLOWEST_S)

    def _pack(self, shot: Shot) -> bytes:
        look = shot.look
        cameras = tuple(
            CameraHeader(jpeg.name, jpeg.width, jpeg.height, len(jpeg.data)) for jpeg in shot.jpegs
        )
        return pack(
            _header(look, self._seq_of(look), cameras), tuple(jpeg.data for jpeg in shot.jpegs)
        )

    def _seq_of(self, look: Look) -> int:
        """Returns the last input that was there when the shown action was decided on."""
        while self._seqs and self._seqs[0][0] <= look.shows_until:
            self._last_seq = self._seqs.popleft()[1]
        return self._last_seq


def _header(look: Look, seq: int, cameras: tuple[CameraHeader, ...]) -> Header:
    return Header(
        seq=seq,
        time=look.time,
        cameras=cameras,
        phase=look.phase,
        step=look.step,
        seconds=look.seconds,
        countdown=look.countdown,
        target=look.target,
        joints=look.joints,
        engaged=look.is_engaged,
        late=look.num_late,
        who=look.who,
        status=look.status,
    )


def _shorten_buffer(response: web.WebSocketResponse) -> None:
    """What lies in the system's buffer cannot be replaced by something newer."""
    connection = response.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
