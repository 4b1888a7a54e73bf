"""Where calibrations stand: one JSON file per arm, named by the serial number of its adapter."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from demoloop.robot.calibration.measured import Calibration, JointCalibration
from demoloop.robot.errors import RobotError

_MODE = 0o644  # everybody may read which way a servo counts


def calibration_file(arm: str, serial: str) -> Path:
    """`~/.config/demoloop/calibration/ARM-SERIAL.json`, or below $XDG_CONFIG_HOME."""
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "demoloop" / "calibration" / f"{arm}-{serial}.json"


def port_serial(port: str, sys_class: Path = Path("/sys/class/tty")) -> str:
    """The serial number of the USB adapter behind a port; the port's own name without one.

    A port's number changes with the order of plugging in, the adapter's serial does not.
    """
    name = os.path.basename(os.path.realpath(port))
    device = sys_class / name / "device"
    if device.exists():
        for folder in (device.resolve(), *device.resolve().parents):
            try:
                serial = (folder / "serial").read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError):
                continue
            if serial:
                return _safe(serial)
    return _safe(os.path.basename(port) if "pts" in os.path.realpath(port) else name)


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Writes a calibration, whole or not at all."""
    _write(path, calibration.to_json())


def load_calibration(path: Path) -> Calibration:
    """Reads a calibration.

    Raises:
        RobotError: There is none, or it is damaged, changed or of another version.
    """
    value = _read(path)
    try:
        return Calibration.from_json(value)
    except RobotError as error:
        raise RobotError(f"{path}: {error}; calibrate again, or put a copy back") from error


def save_progress(path: Path, joints: Iterable[JointCalibration]) -> None:
    """Keeps what is measured so far beside the file it will become."""
    _write(_progress(path), Calibration("", "", tuple(joints)).to_json())


def load_progress(path: Path) -> tuple[JointCalibration, ...]:
    """Returns what was measured before; nothing when there is no such file."""
    if not _progress(path).exists():
        return ()
    return load_calibration(_progress(path)).joints


def forget_progress(path: Path) -> None:
    """Removes what `save_progress` wrote."""
    _progress(path).unlink(missing_ok=True)


def note_ids_given(arm: str, serial: str, names: list[str]) -> None:
    """Keeps which servos of an arm have their ids."""
    _write(calibration_file(arm, serial).with_suffix(".ids.json"), {"done": names})


def ids_given(arm: str, serial: str) -> list[str]:
    """Returns what `note_ids_given` kept."""
    path = calibration_file(arm, serial).with_suffix(".ids.json")
    done = _read(path).get("done") if path.exists() else []
    return [str(name) for name in done] if isinstance(done, list) else []


def _progress(path: Path) -> Path:
    return path.with_suffix(".partial.json")


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".") or "unnamed"


def _write(path: Path, value: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE), "w") as file:
        os.fchmod(file.fileno(), _MODE)  # whatever the umask
        json.dump(value, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _read(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RobotError(
            f"there is no calibration {path}; `demoloop calibrate ARM:PORT` makes one"
        ) from error
    except (OSError, ValueError) as error:
        raise RobotError(f"{path} cannot be read ({error}); calibrate again") from error
    if not isinstance(value, dict):
        raise RobotError(f"{path} holds no calibration; calibrate again")
    return value
