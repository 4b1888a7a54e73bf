"""`demoloop view`: a dataset in the browser, to be looked at and edited."""

from __future__ import annotations

import asyncio
import os
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import tyro

from demoloop.cli.stopping import stop_on_signals
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.viewer.server import serving

_ASK_EVERY_S = 0.1  # whether to stop


@dataclass(frozen=True)
class Options:
    """Show a dataset in the browser until Ctrl-C. Prints `ready ADDRESS ...` when it may be opened.

    Nothing is fetched from outside, and only this computer can open the page. What is edited
    there goes into the overlay: recorded data is never touched, and each edit can be undone.
    """

    root: tyro.conf.Positional[Path]
    """Folder of the dataset: recorded by demoloop, or of LeRobot v3.0 or v2.1."""
    port: int = 0
    """Port on 127.0.0.1; 0 takes a free one."""
    browser: bool = True
    """Whether to open the page in the browser at once."""


def main(options: Options) -> int:
    """Serves the page; exit code 0 when it was told to stop."""
    if not 0 <= options.port <= 65535:
        raise DatasetError(f"--port is {options.port}; expected 0 to 65535")
    with stop_on_signals() as stop:
        asyncio.run(_serve(options, stop))
    print("stopped")
    return 0


async def _serve(options: Options, stop: Event) -> None:
    async with serving(options.root, options.port) as (address, about):
        print(f"ready {address} {about}; Ctrl-C ends it", flush=True)
        if options.browser and _has_screen():
            webbrowser.open(address)
        while not stop.is_set():
            await asyncio.sleep(_ASK_EVERY_S)


def _has_screen() -> bool:
    """Without a screen Python would start a browser in the terminal, and wait for it."""
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
