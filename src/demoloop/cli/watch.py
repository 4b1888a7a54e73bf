"""`demoloop watch`: the table of a run, from another terminal or another computer."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.cli.live import Live
from demoloop.cli.stopping import stop_on_signals
from demoloop.deploy.auth import Pin
from demoloop.deploy.endpoints import check_endpoint
from demoloop.deploy.errors import DeployError
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.notes import Status
from demoloop.deploy.telemetry import Sight, Viewer

_GONE_S = 2.0  # without news the run is over, or the way to it


@dataclass(frozen=True)
class Options:
    """Look on at a robot that runs; what looks on can neither move nor slow it."""

    endpoint: tyro.conf.Positional[str] = "tcp://127.0.0.1:5557"
    """Where the run publishes; `demoloop run` prints it."""
    keys: Path | None = None
    """Folder of `demoloop keys`; needed unless the run is on this computer."""
    robot_key: str | None = None
    """The robot's name in that folder; default is the only key trusted as policy."""
    snapshot: Path | None = None
    """Write one picture of each camera beside each other into this JPEG, and leave."""
    timeout_s: float = 5.0
    """How long to wait for the first news."""


def main(options: Options) -> int:
    """Shows the table until the run is over; exit code 0."""
    check_endpoint(options.endpoint, "ENDPOINT", has_keys=options.keys is not None)
    pin = None if options.keys is None else Pin(KeyFolder(options.keys), options.robot_key)
    is_snapshot = options.snapshot is not None
    with Viewer(options.endpoint, wants_pictures=is_snapshot, pin=pin) as viewer:
        first = viewer.look(options.timeout_s)
        if first is None:
            raise DeployError(
                f"no run publishes at {options.endpoint} within {options.timeout_s:g} s, or its "
                "key list does not trust yours; `demoloop run` prints where it does"
            )
        if options.snapshot is not None:
            _write(first, options.snapshot)
            return 0
        _show(viewer, first.status)
    return 0


def _show(viewer: Viewer, status: Status) -> None:
    newest, heard_at = status, time.monotonic()
    live = Live(lambda: newest)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        stack.enter_context(live)
        while not stop.is_set():
            sight = viewer.look(0.1)
            now = time.monotonic()
            if sight is not None:
                newest, heard_at = sight.status, now
            elif now - heard_at > _GONE_S:
                live.say(f"no news for {_GONE_S:g} s: the run is over, or the way to it is")
                return


def _write(sight: Sight, path: Path) -> None:
    import cv2
    import numpy as np

    images = [
        cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        for _, jpeg in sorted(sight.jpegs.items())
    ]
    height = max((image.shape[0] for image in images if image is not None), default=0)
    if not height:
        raise DeployError("the run sent no picture; this robot may have no camera")
    padded = [
        np.pad(image, ((0, height - image.shape[0]), (0, 0), (0, 0)))
        for image in images
        if image is not None
    ]
    try:
        is_written = cv2.imwrite(str(path), np.hstack(padded))
    except cv2.error as error:
        raise DeployError(f"{path} is no picture file; name it FILE.jpg") from error
    if not is_written:
        raise DeployError(f"{path} cannot be written; choose another place")
    print(f"{path}: {', '.join(sorted(sight.jpegs))}")
