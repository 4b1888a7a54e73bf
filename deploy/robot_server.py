"""A hosted robot: its loop in one thread, the sockets of whoever drives it in another.

loop = ArmLoop(robot)
with RobotServer(loop, Seat(robot.spec), "tcp://127.0.0.1:5558") as server:
    server.serve(stop)
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from types import TracebackType

from demoloop.deploy.arm_loop import ArmLoop
from demoloop.deploy.driver_seat import DriverSeat
from demoloop.deploy.events import OnEvent, ignore
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.robot_wire import Seat
from demoloop.deploy.transports import open_listener

_LOOK_S = 0.02  # at the latest, whether or not anything is said to have come
_BURST = 64  # messages read before answers and heartbeats get their turn
_GOODBYE_S = 0.1  # three control periods at 30 Hz
_END_S = 1.0  # for the thread of the sockets


class RobotServer:
    """Serves one robot, inside a `with` block.

    Args:
        loop: Owns the robot.
        seat: What whoever drives is told.
        endpoint: Where to listen.
        keys: Who may connect, as operator; needed off loopback.
        on_event: Hears of drivers who come and go, and of refusals.
    """

    def __init__(
        self,
        loop: ArmLoop,
        seat: Seat,
        endpoint: str,
        keys: KeyFolder | None = None,
        *,
        on_event: OnEvent = ignore,
    ) -> None:
        self.endpoint = endpoint
        self._loop, self._keys = loop, keys
        self._offered, self._on_event = seat, on_event
        self._failure: BaseException | None = None

    def __enter__(self) -> RobotServer:
        """Binds; raises DeployError when the endpoint is taken or needs keys, or keys are bad."""
        self._channel = open_listener(self.endpoint, self._keys, "robot")
        self.endpoint = self._channel.endpoint
        self._seat = DriverSeat(self._loop, self._channel, self._offered, self._on_event)
        self._wake_end, self._bell = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._wake_end, False)
        self._loop.on_news = self._ring
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Says goodbye to the driver, and closes."""
        self._loop.on_news = lambda: None
        if self._seat.driver is not None:
            self._seat.close()
            # A DEALER forgets what it has not read when its connection ends; a driver reads often.
            time.sleep(_GOODBYE_S)
        self._channel.close()
        os.close(self._wake_end)
        os.close(self._bell)

    @property
    def driver(self) -> str:
        """Who drives; empty when nobody does."""
        driver = self._seat.driver
        return "" if driver is None else driver.who

    def serve(self, stop: threading.Event) -> None:
        """Turns the loop that owns the robot until `stop` is set; the robot then holds.

        Raises:
            BaseException: What went wrong in the thread of the sockets, once the robot holds.
        """
        is_over = threading.Event()
        thread = threading.Thread(
            target=self._speak, args=(is_over, stop), name="sockets", daemon=True
        )
        thread.start()
        try:
            self._loop.run(stop)
        finally:
            is_over.set()
            self._ring()
            thread.join(_END_S)
        if self._failure is not None:
            raise self._failure

    def _speak(self, is_over: threading.Event, stop: threading.Event) -> None:
        try:
            while not is_over.is_set():
                if not self.turn():
                    self._wait()
        except BaseException as error:
            self._failure = error
            stop.set()  # without sockets nobody can drive, and nobody could stop it either

    def turn(self) -> bool:
        """Hears what has come and answers what can be; returns whether there was anything."""
        self._channel.wait(0.0)
        has_moved = False
        for _ in range(_BURST):
            letter = self._channel.receive()
            if letter is None:
                break
            has_moved = True
            self._seat.hear(letter)
        has_moved = self._seat.answer() or has_moved
        self._seat.beat()
        return has_moved

    def _wait(self) -> None:
        poll = select.poll()
        for descriptor in (*self._channel.descriptors(), self._wake_end):
            poll.register(descriptor, select.POLLIN)
        poll.poll(_LOOK_S * 1e3)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_end, 4096)

    def _ring(self) -> None:
        """The robot's thread has something to be sent."""
        with contextlib.suppress(BlockingIOError):  # the bell rings already
            os.write(self._bell, b"!")
