"""Which cameras are plugged into this computer, and why one cannot be opened."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from demoloop.robot.cameras.setup import CameraError, CameraSetup

DEV = Path("/dev")


def find_devices(dev: Path = DEV) -> tuple[str, ...]:
    """Returns one path per camera that gives pictures: by the socket it is plugged into.

    A webcam shows up as several devices, of which only index 0 gives pictures, and newer systems
    give each of them several names.
    """
    found: dict[Path, str] = {}
    for link in sorted((dev / "v4l" / "by-path").glob("*-video-index0")):
        found.setdefault(link.resolve(), str(link))
    return tuple(found.values())


def check_device(setup: CameraSetup, dev: Path = DEV) -> None:
    """Raises CameraError that says why this device cannot be opened, and which ones there are."""
    path = Path(setup.device)
    links = find_devices(dev)
    if path.parent == dev and path.name.startswith("video"):
        same = [link for link in links if Path(link).resolve() == path.resolve()]
        if same:
            raise CameraError(
                f"camera {setup.name}: {path} may be another camera after the next start; write "
                f"{same[0]}"
            )
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except FileNotFoundError as error:
        there = f"there are {', '.join(links)}" if links else "no camera is plugged in"
        raise CameraError(f"camera {setup.name}: there is no {path}; {there}") from error
    except PermissionError as error:
        raise CameraError(
            f"camera {setup.name}: no permission for {path}; sudo usermod -aG {_group(path)} "
            "$USER and log in again"
        ) from error
    except OSError as error:
        if error.errno == errno.EBUSY:
            holders = ", ".join(holders_of(setup.device)) or "another program"
            raise CameraError(
                f"camera {setup.name}: {path} is in use by {holders}; close it"
            ) from error
        raise CameraError(
            f"camera {setup.name}: {path} does not open ({error.strerror}); unplug it and plug it "
            "in again"
        ) from error


def holders_of(device: str, proc: Path = Path("/proc")) -> tuple[str, ...]:
    """Returns who has a device open, as `name (pid)`; only what this user may see."""
    target = os.path.realpath(device)
    holders = []
    for process in proc.glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            if any(os.readlink(link) == target for link in (process / "fd").iterdir()):
                name = (process / "comm").read_text().strip()
                holders.append(f"{name} ({process.name})")
        except OSError:
            continue  # another user's, or it has just ended
    return tuple(holders)


def _group(path: Path) -> str:
    try:
        return path.group()
    except KeyError:
        return "video"  # a number without a name, as in a container
