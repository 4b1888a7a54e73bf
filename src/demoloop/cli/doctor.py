"""`demoloop doctor`: what works on this machine, and how to mend what does not."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import demoloop
from demoloop.cli import doctor_arm, doctor_cameras, probes
from demoloop.cli.extras import EXTRAS_OF, install_command
from demoloop.robot.cameras.devices import find_devices
from demoloop.robot.realtime import PRIORITY
from demoloop.teleop import TeleopError
from demoloop.teleop.tracking import check_tracker, tracker_folder

State = Literal["ok", "missing", "broken"]

PROBE_TIMEOUT_S = 60.0  # importing torch from a cold disk takes 20 s
DISK_NEEDED_GB = 2.0  # dataset, training cache and videos of one demo, with room to spare


@dataclass(frozen=True)
class Options:
    """Exit code 0: the simulated loop works here. 1: it does not; the table says what to mend."""

    json: bool = False
    """Print the table as JSON, one object a row."""
    cameras: bool = False
    """Take a picture with each camera instead; 0: all of them deliver what was asked for."""
    out: Path = Path("cameras.html")
    """Where the pictures go."""
    arm: str = ""
    """Ask the servos of this arm who and how they are instead: so101:/dev/ttyACM0."""


@dataclass(frozen=True)
class Finding:
    """One row of the table."""

    name: str
    state: State
    found: str
    mend: str = ""  # empty when there is nothing to mend
    is_needed: bool = False  # by the simulated loop; the other rows are for a real arm


def main(options: Options) -> int:
    """Examines this machine; 0 when the simulated loop works on it, else 1."""
    if options.cameras:
        return doctor_cameras.main(options.out)
    if options.arm:
        return doctor_arm.main(options.arm)
    return report(examine(), as_json=options.json)


def report(findings: Iterable[Finding], *, as_json: bool) -> int:
    """Prints each finding as it comes and returns the exit code."""
    rows = []
    for finding in findings:
        rows.append(finding)
        if not as_json:
            print(to_line(finding), flush=True)
    blockers = loop_blockers(rows)
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    elif blockers:
        print(f"\nThe simulated loop does not work here yet; mend: {', '.join(blockers)}.")
    else:
        print("\nThe simulated loop works here: demoloop demo")
    return 1 if blockers else 0


def loop_blockers(findings: Iterable[Finding]) -> list[str]:
    """Names the rows without which the simulated loop does not work."""
    return [row.name for row in findings if row.is_needed and row.state != "ok"]


def to_line(finding: Finding) -> str:
    """Returns the row as text, with what mends it on a line of its own."""
    line = f"{finding.name:<12} {finding.state:<8} {finding.found}"
    return f"{line}\n{'':<21} -> {finding.mend}" if finding.mend else line


def examine() -> Iterator[Finding]:
    """Yields one finding after the other, since some take a second or two."""
    yield Finding("demoloop", "ok", f"{demoloop.__version__}, Python {platform.python_version()}")
    yield Finding("cores", "ok", f"{_num_cores()}")
    yield disk(Path.cwd())
    yield packages(EXTRAS_OF)
    yield renderer()
    yield probed("torch", package="torch")
    yield probed("onnxruntime", package="onnxruntime")
    yield opencv()
    yield probed("h264", package="av")
    yield cameras(Path("/dev"))
    yield serial_ports(Path("/dev"))
    yield hand_tracker()
    yield real_time()


def disk(folder: Path, needed_gb: float = DISK_NEEDED_GB) -> Finding:
    """How much room there is where the demo would write."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < needed_gb:
        mend = f"free {needed_gb:.0f} GB, or run demoloop in a folder on another disk"
        return Finding("disk", "broken", f"{free_gb:.1f} GB free", mend, is_needed=True)
    return Finding("disk", "ok", f"{free_gb:.0f} GB free", is_needed=True)


def packages(wanted: Iterable[str]) -> Finding:
    """Whether what the extras bring is installed; not loaded here, which would take seconds."""
    absent = [name for name in wanted if importlib.util.find_spec(name) is None]
    if absent:
        found = f"not installed: {', '.join(absent)}"
        mend = "pip install 'demoloop[sim,train]'"
        return Finding("packages", "missing", found, mend, is_needed=True)
    return Finding("packages", "ok", "all of [sim] and [train] are installed", is_needed=True)


def renderer() -> Finding:
    """Renders one frame with each backend; the chosen one, by MUJOCO_GL, has to work."""
    backends = ["egl", "osmesa", "glfw"] if sys.platform == "linux" else [""]
    chosen = os.environ.get("MUJOCO_GL", "")
    if chosen not in backends:
        backends.insert(0, chosen)
    answers = {name: ask("render", environment={"MUJOCO_GL": name}) for name in backends}
    working = [name for name in backends if answers[name][0] == "ok"]
    state, found = answers[chosen]
    label = chosen or "MuJoCo's default"
    if state == "ok":
        others = ", ".join(name for name in working if name != chosen)
        note = f"; also works: {others}" if others else ""
        return Finding("GL backend", "ok", f"{label}: {found}{note}", is_needed=True)
    if working:
        mend = f"export MUJOCO_GL={working[0]}"
    elif state == "missing":
        mend = "pip install 'demoloop[sim]'"
    else:
        mend = "install a software renderer, on Debian: sudo apt install libegl1 libgl1"
    return Finding("GL backend", state, f"{label}: {found}", mend, is_needed=True)


def probed(probe: str, package: str) -> Finding:
    """A needed part, brought by `package`, that either works when it is tried, or not."""
    state, found = ask(probe)
    if state == "ok":
        return Finding(probe, state, found, is_needed=True)
    # Without the package its extra brings it; a package that is there and fails is put in anew.
    is_extra = state == "missing" and package in EXTRAS_OF
    mend = install_command(package) if is_extra else f"pip install --force-reinstall {package}"
    return Finding(probe, state, found, mend, is_needed=True)


def opencv() -> Finding:
    """Resizes pictures for training and films, and reads cameras."""
    state, found = ask("opencv")
    if state == "ok":
        return Finding("opencv", state, found, is_needed=True)
    mend = "pip install --force-reinstall opencv-python"
    if ".so" in found:
        mend = "on Debian: sudo apt install libgl1 libglib2.0-0"
    return Finding("opencv", state, found, mend, is_needed=True)


def cameras(dev: Path) -> Finding:
    """Takes one frame from each camera there is, by the path that `--cameras` is given."""
    there = find_devices(dev)
    if not there:
        found = f"none below {dev}/v4l/by-path"
        return Finding("cameras", "missing", found, "plug one in; only a real arm needs it")
    answers = {device: ask("camera", device) for device in there}
    found = "; ".join(f"{device}: {said}" for device, (_, said) in answers.items())
    if all(state == "ok" for state, _ in answers.values()):
        return Finding("cameras", "ok", found)
    mend = "close other programs that use it, or: sudo usermod -aG video $USER; log in again"
    return Finding("cameras", "broken", found, mend)


def serial_ports(dev: Path) -> Finding:
    """Looks for USB serial adapters and whether we may open them."""
    patterns = ("ttyACM*", "ttyUSB*", "cu.usbmodem*", "cu.usbserial*")
    ports = sorted(port for pattern in patterns for port in dev.glob(pattern))
    if not ports:
        mend = "plug the arm's adapter in; only a real arm needs it"
        return Finding("serial ports", "missing", f"no {dev}/ttyACM* or ttyUSB*", mend)
    refused = [port for port in ports if not os.access(port, os.R_OK | os.W_OK)]
    if refused:
        mend = f"sudo usermod -aG {refused[0].group()} $USER; log in again"
        found = f"no permission for {', '.join(map(str, refused))}"
        return Finding("serial ports", "broken", found, mend)
    return Finding("serial ports", "ok", ", ".join(map(str, ports)))


def hand_tracker() -> Finding:
    """Whether what finds a hand in pictures was fetched, and is what it was."""
    try:
        folder = tracker_folder()
        check_tracker(folder)
    except TeleopError as error:
        return Finding(
            "hand tracker", "missing", str(error), "demoloop hand; only to teach by hand"
        )
    return Finding("hand tracker", "ok", str(folder))


def real_time() -> Finding:
    """Whether the system lets the control loop go first and keeps its memory from being swapped."""
    if sys.platform != "linux":
        found = f"{sys.platform} has neither SCHED_FIFO nor mlockall"
        return Finding("real time", "missing", found, "use Linux; only a real arm needs it")
    state, found = ask("realtime", str(PRIORITY))
    if state == "ok":
        return Finding("real time", "ok", found)
    mend = (
        f"add `$USER - rtprio {PRIORITY}` and `$USER - memlock unlimited`, your name for $USER, to "
        "/etc/security/limits.d/demoloop.conf and log in again, or in a systemd unit "
        f"LimitRTPRIO={PRIORITY} and LimitMEMLOCK=infinity; only a real arm needs it"
    )
    return Finding("real time", state, found.removeprefix("PermissionError: "), mend)


def ask(
    probe: str,
    *arguments: str,
    environment: dict[str, str] | None = None,
    timeout_s: float = PROBE_TIMEOUT_S,
    script: str = probes.__file__,
) -> tuple[State, str]:
    """Runs one of `demoloop.cli.probes` in a process of its own; returns how it went, in a line."""
    command = [sys.executable, "-P", script, probe, *arguments]
    with tempfile.TemporaryDirectory() as folder:  # MuJoCo writes a log of errors where it stands
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env={**os.environ, "OPENCV_LOG_LEVEL": "SILENT", **(environment or {})},
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "broken", f"no answer within {timeout_s:g} s"
    if done.returncode < 0:
        return "broken", f"crashed with {signal.Signals(-done.returncode).name}"
    said = (done.stdout.strip() or done.stderr.strip() or "said nothing").splitlines()[-1]
    if done.returncode == 0:
        return "ok", said
    return ("missing" if done.returncode == probes.MISSING else "broken"), said


def _num_cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))  # fewer than cpu_count() in a container
    return os.cpu_count() or 1
