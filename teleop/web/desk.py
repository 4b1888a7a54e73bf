"""Hears what the pages say: one drives, the others watch, and anybody may stop the robot."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from demoloop.teleop.inputs import Inputs
from demoloop.teleop.session import Session
from demoloop.teleop.web import messages as m
from demoloop.teleop.web.page import Page

LINK_S = 1.0
"""A page that has the focus speaks ten times a second. One that is silent for so long, hidden, say,
releases the arm, whatever moves it; keys, sticks and phones are stale long before (`inputs`)."""

Webcam = Callable[[m.PictureHeader, bytes], None]
"""Takes a JPEG of the page's camera; must be quick."""


class Marker(Protocol):
    """Who hears what a person points at."""

    def mark(self, mark: m.Mark) -> m.Marks | None:
        """Takes a point, and returns what is marked now; None when it means nothing here."""
        ...


class Desk:
    """What the pages of one session have in common. For the thread of the server.

    Attributes:
        pages: All that are connected.
        driver: The one that is listened to; None when it has left and nobody took its place.
    """

    def __init__(
        self,
        session: Session,
        inputs: Inputs,
        webcam: Webcam | None = None,
        marker: Marker | None = None,
    ) -> None:
        """Stores."""
        self.pages: list[Page] = []
        self.driver: Page | None = None
        self._session, self._inputs = session, inputs
        self._webcam, self._marker = webcam, marker

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
            self._session.order("left", by="panel closed")

    def check_link(self) -> None:
        """Releases the arm when the driver has been silent; called now and then."""
        page = self.driver
        is_moving = self._session.driver.is_wanted
        if page is not None and is_moving and time.monotonic() - page.said_at > LINK_S:
            self._session.order("release", by="panel silent")

    def hear(self, page: Page, text: str) -> m.Marks | None:
        """Does what a page said; returns marks when they have changed.

        Raises:
            TeleopError: No page of ours says that.
        """
        said = m.parse(text)
        if isinstance(said, m.Order) and said.name == "estop":
            self._session.estop("stop on the panel")
        elif isinstance(said, m.Drive):
            if self.driver is None:
                self.driver = page
                page.said_at = time.monotonic()
        elif page is self.driver:
            page.said_at = time.monotonic()
            return self._drive(page, said)
        return None

    def hear_picture(self, page: Page, data: bytes) -> None:
        """Hands a picture of the driver's camera on; raises TeleopError for what is none."""
        header, jpeg = m.parse_picture(data)
        if page is self.driver and self._webcam is not None:
            self._webcam(header, jpeg)

    def _drive(self, page: Page, said: m.Said) -> m.Marks | None:
        session = self._session
        match said:
            case m.Input():
                self._feel(page, said)
            case m.Order(name) if name != "estop":
                if name == "release":
                    self._inputs.release_all()
                session.order(name)
            case m.Agent(name):
                session.order("agent", name)
            case m.Task(text):
                session.order("task", text)
            case m.Note(text):
                session.order("note", text)
            case m.Mark() if self._marker is not None:
                return self._marker.mark(said)
            case _:
                pass
        return None

    def _feel(self, page: Page, said: m.Input) -> None:
        """Takes in what the devices of the driver say."""
        for device in ("keyboard", "gamepad", "phone"):
            state: msgspec.Struct | None = getattr(said, device)
            if state is None:
                continue
            self._inputs.put(device, state)
            # Whoever holds something of the device they work with wants the arm to follow.
            driver = self._session.driver
            if device == driver.name and state != type(state)() and not driver.is_wanted:
                self._session.order("engage", by="")
        page.hear_seq(said.seq, time.monotonic())
