"""The io process of a run: operators, viewers and the way to a policy on another computer.

The guard never waits for it. It lives as long as the guard does, and no longer; when it dies, the
guard brings the arm to rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import zmq

from demoloop.deploy.auth import Gate, Pin
from demoloop.deploy.channel import Gone
from demoloop.deploy.control import ControlServer
from demoloop.deploy.errors import WireError
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.local_line import Line
from demoloop.deploy.note_line import NoteLine
from demoloop.deploy.notes import Event, FromGuard, Over, Pulse, Reply, Say, Setup, Status
from demoloop.deploy.relay import Relay
from demoloop.deploy.telemetry import Publisher
from demoloop.deploy.wire import decode

PULSE_EVERY_S = 0.05
_TURN_MS = 20


class IoLoop:
    """Everything of a run that touches a network, within a `with` block.

    Args:
        notes: To the guard.
        pictures: The same, for frames.
        setup: What the guard asks for.
        on_note: Hears what is for a person or a file.
    """

    def __init__(
        self,
        notes: NoteLine[FromGuard],
        pictures: Line,
        setup: Setup,
        on_note: Callable[[Status | Say | Event], None],
    ) -> None:
        self.status: Status | None = None  # the newest
        self.server = setup.server  # where the guard finds the policy
        self._notes = notes
        self._pictures: Line | None = pictures
        self._setup = setup
        self._on_note = on_note
        self._stack = ExitStack()
        self._gate: Gate | None = None
        self._control: ControlServer | None = None
        self._publisher: Publisher | None = None
        self._pulsed_at = -float("inf")

    def __enter__(self) -> IoLoop:
        """Binds everything; raises DeployError when something is taken, or keys cannot be used."""
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes everything."""
        self._stack.close()

    @property
    def lines(self) -> tuple[str, ...]:
        """Where it listens, for a person."""
        found = []
        if self._control is not None:
            found.append(f"operators: demoloop operate --run {self._control.endpoint}")
        if self._publisher is not None:
            found.append(f"viewers: demoloop watch {self._publisher.endpoint}")
        return tuple(found)

    def run(self) -> bool:
        """Goes on until the guard says that the run is over; returns whether it said so."""
        while True:
            self._poller.poll(_TURN_MS)
            if self._gate is not None:
                self._gate.answer()
                self._gate.refresh()
            if self._control is not None:
                self._control.hear(self.status)
            if self._publisher is not None:
                self._publisher.hear()
            for note in self._notes.receive():
                if isinstance(note, Over):
                    return True
                self._take(note)
            self._take_pictures()
            if self._notes.is_gone:
                return False
            now = time.monotonic()
            if now - self._pulsed_at >= PULSE_EVERY_S:
                self._pulsed_at = now
                self._pulse()
            self._notes.flush()

    def _open(self) -> None:
        setup, stack = self._setup, self._stack
        keys = None if setup.keys is None else KeyFolder(Path(setup.keys))
        self._poller = zmq.Poller()
        self._poller.register(self._notes, zmq.POLLIN)
        if not setup.server.startswith("unix:"):
            pin = None if keys is None else Pin(keys, setup.server_key)
            relay = Relay(f"unix://{setup.folder}/policy.sock", setup.server, pin)
            self.server = stack.enter_context(relay).endpoint
            stop = threading.Event()
            # What ends it, such as a revoked key, it has told the guard.
            thread = threading.Thread(target=relay.run, args=(stop,), name="relay", daemon=True)
            thread.start()
            stack.callback(thread.join, 1.0)
            stack.callback(stop.set)
        if setup.control is None and setup.telemetry is None:
            return
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        stack.callback(context.destroy, linger=100)
        if keys is not None:
            self._gate = Gate(context, keys)
            self._gate.open()
            self._poller.register(self._gate.socket, zmq.POLLIN)
        if setup.control is not None:
            self._control = ControlServer(context, setup.control, self._gate, self._notes.send)
            self._poller.register(self._control.socket, zmq.POLLIN)
        if setup.telemetry is not None:
            # Its socket changes when a key is revoked, so it is looked at in each turn instead.
            self._publisher = Publisher(context, setup.telemetry, self._gate)

    def _take(self, note: FromGuard) -> None:
        if isinstance(note, Reply):
            if self._control is not None:
                self._control.answer(note)
        elif isinstance(note, Status | Say | Event):
            if isinstance(note, Status):
                self.status = note
                if self._publisher is not None:
                    self._publisher.publish(note)
            self._on_note(note)

    def _take_pictures(self) -> None:
        """Encodes the newest look and sends it to those who want it; others are not looked at."""
        newest = None
        try:
            while self._pictures is not None and (parts := self._pictures.receive()) is not None:
                newest = parts
        except (Gone, WireError):
            self._pictures = None
        if newest is None or self._publisher is None or self.status is None:
            return
        try:
            arrays = decode(newest).arrays
        except WireError:
            return
        images: dict[str, Any] = {
            name.removeprefix("image."): array
            for name, array in arrays.items()
            if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3
        }
        self._publisher.publish_pictures(self.status, images)

    def _pulse(self) -> None:
        operator = self._control.operator if self._control is not None else ""
        is_watched = self._publisher is not None and self._publisher.is_watched
        self._notes.offer(Pulse(operator, is_watched))
