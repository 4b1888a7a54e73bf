"""Options of every verb that opens the panel; read without loading a web server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PanelOptions:
    """Where the panel is shown."""

    port: int = 0
    """Of the panel on 127.0.0.1; 0 takes a free one."""
    host: str = ""
    """Address of this machine for a phone or another machine, by HTTPS and with a code to scan."""
    browser: bool = True
    """Whether to open the panel in the browser at once."""
