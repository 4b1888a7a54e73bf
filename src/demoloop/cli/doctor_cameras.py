"""`demoloop doctor --cameras`: a picture of each camera, what it really delivers, what to mend."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from demoloop.cli.verbs import complain
from demoloop.robot import CameraSpec, WallClock
from demoloop.robot.cameras import (
    Camera,
    CameraError,
    CameraSetup,
    Frame,
    OpenCapture,
    find_devices,
    open_capture,
)

WATCH_S = 2.0
_LOOKS_HZ = 200.0
_FEW = 0.9  # of the pictures that were asked for

_NONE = (
    "no camera below /dev/v4l/by-path; plug one in, and in a container hand in /dev/v4l and the "
    "/dev/video* it points to"
)


@dataclass(frozen=True)
class Look:
    """What one camera gave while all of them were running."""

    setup: CameraSetup
    image: NDArray[np.uint8] | None = None  # (height, width, 3) RGB; None: it gave none
    fps: float = 0.0  # pictures per second of capture time
    age_s: float = 0.0  # of the newest picture, the oldest it was when looked for
    settings: str = ""
    mend: str = ""  # empty when there is nothing to mend

    def line(self) -> str:
        """Returns it in a line of text, and what mends it in another."""
        setup = self.setup
        if self.image is None:
            return f"{setup.device}\n  -> {self.mend}"
        line = (
            f"{setup.device}: {setup.width}x{setup.height} {setup.fourcc}, {self.fps:.1f} of "
            f"{setup.fps:g} pictures/s, at most {self.age_s * 1e3:.0f} ms old; {self.settings}"
        )
        return f"{line}\n  -> {self.mend}" if self.mend else line


def main(out: Path) -> int:
    """Photographs with every camera; exit code 0 when all work as asked for, else 1."""
    # What the drivers grumble about, the sheet says in a sentence.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    return show(find_devices(), out)


def show(
    devices: Sequence[str],
    out: Path,
    *,
    opens: OpenCapture = open_capture,
    clock: WallClock | None = None,
) -> int:
    """Writes the contact sheet of `devices` and says what is on it; returns the exit code."""
    if not devices:
        complain(_NONE)
        return 1
    looks = photograph(devices, opens, clock or WallClock())
    for look in looks:
        print(look.line())
    out.write_text(sheet(looks), encoding="utf-8")
    print(f"\npictures: {out}; to use one: NAME={devices[0]}")
    return 1 if any(look.mend for look in looks) else 0


def photograph(
    devices: Sequence[str], opens: OpenCapture, clock: WallClock, watch_s: float = WATCH_S
) -> list[Look]:
    """Runs all cameras at once, as a robot would: only so a crowded USB bus shows."""
    setups = [CameraSetup(str(number), device) for number, device in enumerate(devices, 1)]
    cameras: list[Camera] = []
    looks: dict[str, Look] = {}
    try:
        for setup in setups:
            opened = _opened(setup, opens, clock)
            if isinstance(opened, Look):
                looks[setup.device] = opened
            else:
                cameras.append(opened)
        looks |= _watch(cameras, clock, watch_s)
    finally:
        for camera in cameras:
            camera.close()
    return [looks[setup.device] for setup in setups]


def _opened(setup: CameraSetup, opens: OpenCapture, clock: WallClock) -> Camera | Look:
    """Opens a camera compressed, or else uncompressed; returns what is wrong if neither goes."""
    failure = Look(setup)
    for fourcc in ("MJPG", "YUYV"):
        tried = replace(setup, fourcc=fourcc)
        spec = CameraSpec(setup.name, setup.height, setup.width)
        camera = Camera(spec, tried, opens=opens, clock=clock)
        try:
            return camera.__enter__()
        except CameraError as error:
            failure = failure if failure.mend else Look(setup, mend=str(error))
    return failure


def _watch(cameras: Sequence[Camera], clock: WallClock, watch_s: float) -> dict[str, Look]:
    first = {camera: camera.newest() for camera in cameras}
    oldest = dict.fromkeys(cameras, 0.0)
    until = clock.now() + watch_s
    while clock.now() < until:
        for camera in cameras:
            oldest[camera] = max(oldest[camera], clock.now() - camera.newest().time)
        clock.sleep_until(clock.now() + 1 / _LOOKS_HZ)
    return {
        camera.setup.device: _judged(camera, first[camera], oldest[camera], watch_s)
        for camera in cameras
    }


def _judged(camera: Camera, first: Frame, oldest_s: float, watch_s: float) -> Look:
    setup, last = camera.setup, camera.newest()
    fps = (last.number - first.number) / max(last.time - first.time, watch_s / 2)
    mend = ""
    if camera.trouble:
        mend = camera.trouble
    elif fps < _FEW * setup.fps:
        mend = (
            "too few pictures: give it more light (in the dark it exposes longer), or plug it into "
            "another USB controller than the other cameras"
        )
    elif setup.fourcc != "MJPG":
        mend = (
            "it has no MJPG, and uncompressed takes 16 times as much: give it a USB bus of its own"
        )
    locked = ", ".join(f"{name.replace('_', ' ')} {it:g}" for name, it in camera.settings.items())
    settings = f"locked: {locked}" if locked else "exposure cannot be locked"
    return Look(setup, last.image, fps, oldest_s, settings, mend)


def sheet(looks: Sequence[Look]) -> str:
    """Returns one page with the pictures in it."""
    figures = "\n".join(
        f"<figure>{_img(look)}<figcaption><pre>{html.escape(look.line())}</pre></figcaption></figure>"
        for look in looks
    )
    return f"""<!doctype html><meta charset="utf-8"><title>cameras</title>
<style>body{{font-family:sans-serif;display:flex;flex-wrap:wrap;gap:1em}}
figure{{margin:0;width:40em}}img{{width:100%}}pre{{white-space:pre-wrap}}</style>
{figures}
"""


def _img(look: Look) -> str:
    if look.image is None:
        return ""
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(look.image, cv2.COLOR_RGB2BGR))
    data = base64.b64encode(encoded.tobytes()).decode("ascii")
    alt = html.escape(look.setup.device, quote=True)
    return f'<img alt="{alt}" src="data:image/jpeg;base64,{data}">'
