"""`demoloop operate`: hold, go, stop and reset a robot that runs, with keys or in one shot."""

from __future__ import annotations

import getpass
import os
import select
import shutil
import socket
import sys
import termios
import time
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from demoloop.cli.live import table
from demoloop.cli.panel_options import PanelOptions
from demoloop.deploy.auth import Pin
from demoloop.deploy.control import ALIVE_EVERY_S, Operator
from demoloop.deploy.endpoints import check_endpoint
from demoloop.deploy.errors import DeployError
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.notes import Reply
from demoloop.deploy.telemetry import Viewer

Order = Literal["keys", "page", "status", "hold", "go", "stop", "reset", "set"]

KEYS: Mapping[bytes, str] = {b"s": "stop", b"\x1b": "stop", b"r": "reset"}
_HELP = "space hold/go   s or Esc STOP   r reset   q leave"


@dataclass(frozen=True)
class Options:
    """Hold, let go, stop or reset a robot that runs. Not a certified emergency stop."""

    order: tyro.conf.Positional[Order] = "keys"
    """`keys` stays and is the operator, `page` does so in the browser; the others are done at
    once. stop lasts until reset."""
    setting: tyro.conf.Positional[str] = ""
    """For `set`: NAME=VALUE, such as replan_every=4 or relax_after_s=2."""
    run: str = "tcp://127.0.0.1:5556"
    """Where the run listens for operators; `demoloop run` prints it."""
    keys: Path | None = None
    """Folder of `demoloop keys`; needed unless the run is on this computer."""
    robot_key: str | None = None
    """The robot's name in that folder; default is the only key trusted as policy."""
    timeout_s: float = 2.0
    """How long an answer may take."""
    telemetry: str = "tcp://127.0.0.1:5557"
    """Where the run publishes its pictures, for `page`; `demoloop run` prints it."""
    panel: PanelOptions = field(default_factory=PanelOptions)
    """Where the page is shown."""


def main(options: Options) -> int:
    """Gives orders; exit code 0 when they were done, 1 when the run said no."""
    check_endpoint(options.run, "--run", has_keys=options.keys is not None)
    name, value = _setting(options)
    pin = None if options.keys is None else Pin(KeyFolder(options.keys), options.robot_key)
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    with Operator(options.run, who, pin, options.timeout_s) as operator:
        if options.order == "keys":
            return _operate(operator)
        if options.order == "page":
            from demoloop.cli.operate_page import operate_by_page  # loads a web server

            with (
                Viewer(options.telemetry, wants_pictures=False, pin=pin) as news,
                Viewer(options.telemetry, wants_pictures=True, pin=pin) as pictures,
            ):
                operate_by_page(operator, news, pictures, options.panel, options.timeout_s)
            return 0
        reply = operator.order(options.order, name, value)
        print(sentence(reply))
        return 0 if reply.is_done else 1


def sentence(reply: Reply) -> str:
    """Says what came of an order."""
    because = f" ({reply.reason})" if reply.reason else ""
    return f"{reply.text}; ordered {reply.mode}, the arm is {reply.state}{because}"


def _setting(options: Options) -> tuple[str, float]:
    if options.order != "set":
        if options.setting:
            raise DeployError(f"{options.order} takes nothing more, got {options.setting!r}")
        return "", 0.0
    name, _, text = options.setting.partition("=")
    try:
        return name, float(text)
    except ValueError:
        raise DeployError(
            f"set takes NAME=VALUE, such as replan_every=4; got {options.setting!r}"
        ) from None


def _operate(operator: Operator) -> int:
    """Takes keys until `q`."""
    if not sys.stdin.isatty():
        raise DeployError("keys come from a terminal; without one say `demoloop operate stop`")
    said = sentence(operator.order("status"))
    print(_HELP)
    with _single_keys() as descriptor:
        num_shown, beat_at = 0, 0.0
        while True:
            now = time.monotonic()
            if now >= beat_at:
                beat_at = now + ALIVE_EVERY_S
                operator.say_alive()
                num_shown = _draw(operator, said, num_shown)
            readable, _, _ = select.select([descriptor], [], [], max(0.0, beat_at - now) / 2)
            operator.hear(0.0)
            for key in os.read(descriptor, 64) if readable else b"":
                order = _order_of(bytes([key]), operator)
                if order == "leave":
                    print()
                    return 0
                if order:
                    said = sentence(operator.order(order))


def _order_of(key: bytes, operator: Operator) -> str:
    """Returns what a key orders; empty for one that means nothing."""
    if key in (b"q", b"\x03", b"\x04"):
        return "leave"
    if key == b" ":
        # What is not known to go is let go only by who sees that it holds.
        return "hold" if operator.status is None or operator.status.mode == "go" else "go"
    return KEYS.get(key.lower(), "")


def _draw(operator: Operator, said: str, num_shown: int) -> int:
    """Draws the status in place; returns how many lines."""
    if operator.status is None:
        return num_shown
    size = shutil.get_terminal_size()
    rows = [*table(operator.status, None), said]
    rows = [row[: size.columns - 1] for row in rows][: max(1, size.lines - 2)]
    up = f"\x1b[{num_shown}F\x1b[J" if num_shown else ""
    sys.stdout.write(up + "".join(f"{row}\n" for row in rows))
    sys.stdout.flush()
    return len(rows)


@contextmanager
def _single_keys() -> Iterator[int]:
    """Yields the terminal's descriptor, whose keys come one by one and are not shown."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
