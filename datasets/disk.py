"""Room on the disk: looked for before, kept in reserve meanwhile, and missed in one sentence."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.errors import DatasetError
from demoloop.robot import RobotSpec

BYTES_PER_PIXEL = 0.12
"""Of the worst pictures measured: noisy ones of 480x640 took 0.1, ordinary ones 0.03."""

RESERVE_S = 60.0
"""The reserve holds so much recording: one episode can be finished from it."""

MIN_RESERVE, MAX_RESERVE = 4 << 20, 256 << 20  # bytes


def bytes_per_second(spec: RobotSpec) -> float:
    """Estimates what recording a robot takes, on the safe side."""
    pixels = sum(camera.height * camera.width for camera in spec.cameras)
    numbers = 8 * (spec.action_dim + len(spec.proprioception_names) + len(spec.cameras) + 2)
    return float((pixels * BYTES_PER_PIXEL + numbers) * spec.control_hz)


def reserve_bytes(spec: RobotSpec) -> int:
    """Size of the reserve for a robot."""
    return int(min(max(RESERVE_S * bytes_per_second(spec), MIN_RESERVE), MAX_RESERVE))


def free_bytes(root: Path) -> int:
    """Room on the disk of a dataset."""
    return shutil.disk_usage(root).free


def keep_reserve(root: Path, spec: RobotSpec) -> None:
    """Occupies the reserve, so that a full disk can be answered by giving it up.

    Raises:
        DatasetError: There is not even room for the reserve and as much recording again.
    """
    path, size = root / layout.BALLAST, reserve_bytes(spec)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    free = free_bytes(root)
    if free < 2 * size:
        raise DatasetError(
            f"{root}: {free / 1e6:.0f} MB are free, and recording {spec.name} takes "
            f"{bytes_per_second(spec) / 1e6:.1f} MB/s; make room for {2 * size / 1e6:.0f} MB at "
            "least, or record to another disk"
        )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def give_up_reserve(root: Path) -> None:
    """Frees the reserve, where there is one."""
    (root / layout.BALLAST).unlink(missing_ok=True)


def disk_error(root: Path, error: OSError, safe: int) -> DatasetError:
    """Returns what to say when a dataset cannot be written; `safe` episodes are in it."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    what = "the disk is full" if full else f"it cannot be written ({error})"
    return DatasetError(f"{root}: {what}; {safe} episodes are safe. Make room and record on")
