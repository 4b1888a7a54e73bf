"""The way in for a phone: an address with a token that works once, as text and as a QR code."""

from __future__ import annotations

import importlib
import io

from demoloop.teleop.errors import TeleopError
from demoloop.teleop.web.door import Door


class Invite:
    """`invite.url` is one that was not used yet: each person gets another."""

    def __init__(self, door: Door, base: str) -> None:
        """Stores; `base` is the address of the page for other machines, `https://…/`."""
        self._door, self._base = door, base
        self._token = ""

    @property
    def url(self) -> str:
        """Address and token."""
        if not self._door.is_issued(self._token):
            self._token = self._door.issue()
        return f"{self._base}?token={self._token}"

    def svg(self) -> bytes:
        """Returns the address as a picture; raises TeleopError where segno is missing."""
        out = io.BytesIO()
        _code(self.url).save(out, kind="svg", scale=5, border=2, dark="#000", light="#fff")
        return out.getvalue()

    def lines(self) -> str:
        """Returns the address as a picture of characters, for a terminal."""
        out = io.StringIO()
        _code(self.url).terminal(out=out, compact=True)
        return out.getvalue()


def _code(text: str):  # type: ignore[no-untyped-def]
    try:
        return importlib.import_module("segno").make(text, micro=False)
    except ImportError as error:
        raise TeleopError(
            "a code to scan needs segno: pip install 'demoloop[teleop]'; or type the address"
        ) from error
