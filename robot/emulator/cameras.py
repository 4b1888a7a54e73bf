"""Cameras of the emulated world, drawn as the simulation draws them (`camera_wire`: how to ask)."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot.emulator.camera_wire import FOURCCS, HEADER, Hello
from demoloop.robot.emulator.config import CameraConfig
from demoloop.robot.emulator.physics import World
from demoloop.robot.jpeg import to_jpeg

_MAX_HELLO = 1024  # bytes
_JPEG_QUALITY = 95
_SILENCE_S = 60.0  # a client that asks for nothing for so long is hung up on


@dataclass
class _Stream:
    """One camera at one size and rate, for as long as somebody looks."""

    hello: Hello
    next_at: float  # s
    number: int = 0
    taken_at: float = 0.0  # s
    pixels: NDArray[np.uint8] | None = None
    is_over: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)


class CameraServer:
    """Draws in one thread, and serves each client in one of its own."""

    def __init__(self, world: World, cameras: tuple[CameraConfig, ...], path: str) -> None:
        """Takes the world, its cameras, and where the socket will be."""
        self._world, self._cameras = world, {camera.name: camera for camera in cameras}
        self._path = path
        self._streams: list[_Stream] = []
        self._unplugged: set[str] = set()
        self._is_warm = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)

    def start(self) -> None:
        """Listens and draws until the process ends; returns when everything is warm."""
        Path(self._path).unlink(missing_ok=True)
        self._listener.bind(self._path)
        self._listener.listen()
        for target in (self._draw, self._listen):
            threading.Thread(target=target, daemon=True).start()
        self._is_warm.wait()

    def plug(self, camera: str, is_plugged: bool) -> None:
        """Pulls the plug of a camera, or puts it back.

        Raises:
            ValueError: There is no such camera.
        """
        if camera not in self._cameras:
            raise ValueError(f"no camera {camera!r}; there are {', '.join(self._cameras)}")
        if is_plugged:
            self._unplugged.discard(camera)
            return
        self._unplugged.add(camera)
        for stream in list(self._streams):
            if stream.hello.camera == camera:
                self._end(stream)

    def _listen(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            connection.settimeout(_SILENCE_S)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        stream = None
        with connection, suppress(OSError):
            hello = self._agree(_read_line(connection))
            connection.sendall(msgspec.json.encode(hello) + b"\n")
            if hello.error:
                return
            stream = _Stream(hello, time.monotonic())
            self._streams.append(stream)
            try:
                seen = 0
                while connection.recv(1):
                    with stream.changed:
                        while not stream.is_over and stream.number == seen:
                            stream.changed.wait()
                        seen, taken_at, pixels = stream.number, stream.taken_at, stream.pixels
                    if stream.is_over or pixels is None:
                        return
                    data = encode(pixels, hello.fourcc)
                    connection.sendall(HEADER.pack(seen, taken_at, len(data)) + data)
            finally:
                self._end(stream)

    def _agree(self, text: bytes) -> Hello:
        """Returns the mode a client gets; its `error` says why it gets none."""
        try:
            wanted = msgspec.json.decode(text, type=Hello)
        except msgspec.DecodeError as error:
            return Hello("", error=str(error))
        camera = self._cameras.get(wanted.camera)
        if camera is None or wanted.camera in self._unplugged:
            there = [name for name in self._cameras if name not in self._unplugged]
            return Hello(wanted.camera, error=f"no camera {wanted.camera!r}; there are {there}")
        view = self._world.model.vis.global_
        width, height = wanted.width or camera.width, wanted.height or camera.height
        if not (0 < width <= view.offwidth and 0 < height <= view.offheight):
            width, height = camera.width, camera.height
        fps = wanted.fps if 0 < wanted.fps <= 120 else camera.fps
        fourcc = wanted.fourcc if wanted.fourcc in FOURCCS else FOURCCS[0]
        return Hello(wanted.camera, width, height, fps, fourcc)

    def _end(self, stream: _Stream) -> None:
        with stream.changed:
            stream.is_over = True
            stream.changed.notify_all()
        if stream in self._streams:
            self._streams.remove(stream)

    def _draw(self) -> None:
        """Draws each stream when its time comes. OpenGL wants all of it in one thread."""
        model = self._world.model
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        renderers: dict[tuple[int, int], mujoco.Renderer] = {}
        for camera in self._cameras.values():
            # Making one keeps the whole process waiting for some 0.3 s: no servo answers meanwhile.
            size = (camera.height, camera.width)
            renderers[size] = renderers.get(size) or mujoco.Renderer(model, *size)
            draw(renderers[size], data, camera.name)
        self._is_warm.set()
        while True:
            now = time.monotonic()
            due = [stream for stream in list(self._streams) if stream.next_at <= now]
            snapshot = self._world.snapshot
            if due:
                data.qpos[:] = snapshot.qpos
                data.mocap_pos[:] = snapshot.mocap[:, :3]
                data.mocap_quat[:] = snapshot.mocap[:, 3:]
                mujoco.mj_forward(model, data)
            for stream in due:
                size = (stream.hello.height, stream.hello.width)
                if size not in renderers:
                    renderers[size] = mujoco.Renderer(model, *size)
                pixels = draw(renderers[size], data, stream.hello.camera)
                with stream.changed:
                    stream.pixels, stream.taken_at = pixels, snapshot.time
                    stream.number += 1
                    stream.changed.notify_all()
                # On its own beat; a beat that passed while others were drawn is lost.
                period = 1 / stream.hello.fps
                stream.next_at = max(stream.next_at + period, now)
            waiting = [stream.next_at for stream in list(self._streams)]
            time.sleep(min(0.01, max(0.0, min(waiting, default=now + 1) - now)))


def draw(
    renderer: mujoco.Renderer, data: mujoco.MjData, camera: str, *, shadows: bool = False
) -> NDArray[np.uint8]:
    """Returns what a camera sees, (height, width, 3) uint8 RGB, here and in the simulation."""
    renderer.update_scene(data, camera)
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
    pixels: NDArray[np.uint8] = renderer.render()
    return pixels


def encode(pixels: NDArray[np.uint8], fourcc: str) -> bytes:
    """Returns RGB pixels as a JPEG, or as they are."""
    if fourcc == "RGB3":
        return pixels.tobytes()
    return to_jpeg(pixels, _JPEG_QUALITY)


def _read_line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < _MAX_HELLO:
        if not (data := connection.recv(1)):
            break
        line += data
    return line
