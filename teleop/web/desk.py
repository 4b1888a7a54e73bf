"""Hears what the pages say: one drives, the others watch, and anybody may stop the robot."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from demoloop.teleop.inputs import Inputs
from demoloop.teleop.web import messages as m
from demoloop.teleop.web.led import Led
from demoloop.teleop.web.page import Page

LINK_S = 1.0
"""A page that has the focus speaks ten times a second. One that is silent for so long, hidden, say,
releases the arm, whatever moves it; keys, sticks and phones are stale long before (`inputs`)."""

Webcam = Callable[[m.PictureHeader, bytes], None]
"""Takes a JPEG of the page's camera; must be quick."""


class Desk:
    """What the pages of one session have in common. For the thread of the server.

    Attributes:
        pages: All that are connected.
        driver: The one that is listened to; None when it has left and nobody took its place.
    """

    def __init__(
        self,
        led: Led,
        inputs: Inputs,
        webcam: Webcam | None = None,
    ) -> None:
        """Stores."""
        self.pages: list[Page] = []
        self.driver: Page | None = None
        self._led, self._inputs = led, inputs
        self._webcam = webcam

    def enter(self, page: Page) -> None:
        """A page has come; the first one drives."""
        self.pages.append(page)
        if self.driver is None:
            self.driver = page
        page.said_at = time.monotonic()

    def leave(self, page: Page) -> None:
        """A page has gone; with the driver everything stops that a person moves."""
        self.pages.remove(page)
        if page is self.driver:
            self.driver = None
            self._inputs.release_all()
            self._led.order("left", by="panel closed")

    @property
    def is_attended(self) -> bool:
        """Whether the driver was heard of late."""
        page = self.driver
        return page is not None and time.monotonic() - page.said_at <= LINK_S

    def check_link(self) -> None:
        """Releases the arm when the driver has been silent; called now and then."""
        if self.driver is not None and self._led.is_following and not self.is_attended:
            self._led.order("release", by="panel silent")

    def hear(self, page: Page, text: str) -> None:
        """Does what a page said; raises TeleopError for what no page of ours says."""
        said = m.parse(text)
        if isinstance(said, m.Order) and said.name == "estop":
            self._led.estop("stop on the panel")
        elif isinstance(said, m.Drive):
            if self.driver is None:
                self.driver = page
                page.said_at = time.monotonic()
        elif page is self.driver:
            page.said_at = time.monotonic()
            self._drive(page, said)

    def hear_picture(self, page: Page, data: bytes) -> None:
        """Hands a picture of the driver's camera on; raises TeleopError for what is none."""
        header, jpeg = m.parse_picture(data)
        if page is self.driver and self._webcam is not None:
            self._webcam(header, jpeg)

    def _drive(self, page: Page, said: m.Said) -> None:
        led = self._led
        match said:
            case m.Input():
                self._feel(page, said)
            case m.Order(name) if name != "estop":
                if name == "release":
                    self._inputs.release_all()
                led.order(name)
            case m.Agent(name):
                led.order("agent", name)
            case m.Task(text):
                led.order("task", text)
            case m.Note(text):
                led.order("note", text)
            case m.Mark(name, camera, x, y):
                led.order("mark", f"{name} {x:.4f} {y:.4f} {camera}")
            case m.Aim(name):
                led.order("aim", name)
            case _:
                pass

    def _feel(self, page: Page, said: m.Input) -> None:
        """Takes in what the devices of the driver say."""
        for device in ("keyboard", "gamepad", "phone"):
            state: msgspec.Struct | None = getattr(said, device)
            if state is None:
                continue
            self._inputs.put(device, state)
            # Whoever holds something of the device they work with wants the arm to follow.
            is_held = device == self._led.device and state != type(state)()
            if is_held and not self._led.is_following:
                self._led.order("engage", by="")
        page.hear_seq(said.seq, time.monotonic())
