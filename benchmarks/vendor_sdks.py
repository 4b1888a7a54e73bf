"""Other people's servo libraries, unmodified, on our emulator: `python benchmarks/vendor_sdks.py`.

Installs each into a folder of its own (three of them install the same top-level `scservo_sdk`),
runs it in a process of its own against an emulated arm with physics behind it, and prints what it
did: ping, read, sync read, move, and what it says when a servo is silent, late or overloaded. Exit
code 1 when something that is no fault went wrong. Needs pip's registry, or folders filled before
with `--folder`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from demoloop.robot.arms import koch, so101
from demoloop.robot.emulator.emulator import Emulator, emulated_arm

CLIENTS = Path(__file__).with_name("vendor_clients.py")

# LeRobot's bus class imports a good part of LeRobot, and that these; torch is there already.
LEROBOT = (
    *("lerobot", "feetech-servo-sdk", "pyserial", "deepdiff", "orderly-set", "cachebox"),
    *("accelerate", "psutil", "datasets", "dill", "multiprocess", "xxhash", "pandas"),
    *("python-dateutil", "six"),
)
PACKAGES = {
    "feetech-servo-sdk": ("feetech-servo-sdk", "pyserial"),
    "ftservo-python-sdk": ("ftservo-python-sdk", "pyserial"),
    "dynamixel-sdk": ("dynamixel-sdk", "pyserial"),
    "lerobot": LEROBOT,
}


def install(name: str, folder: Path) -> None:
    """Puts a library and what it needs into `folder`, unless it is there."""
    if folder.exists():
        return
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder))
    subprocess.run([*pip, *PACKAGES[name]], check=True)


def versions(name: str, folder: Path) -> str:
    """Returns name and version of the library, as its metadata says."""
    stem = name.replace("-", "_")
    found = [path.name.removesuffix(".dist-info") for path in folder.glob(f"{stem}-*.dist-info")]
    return found[0].replace("_", "-") if found else name


def lie_down(emulator: Emulator) -> None:
    """Waits until an arm without torque moves no more, so that two readings can be compared."""
    until = time.monotonic() + 10.0
    while time.monotonic() < until:
        time.sleep(0.5)
        if all(abs(s.velocity) < 1e-3 for s in emulator.control.state().lines["arm"]):
            return


def run(name: str, folder: Path) -> bool:
    """Runs one client against a new arm and prints what it did."""
    arm = koch.ARM if name == "dynamixel-sdk" else so101.ARM
    print(f"\n{versions(name, folder)} on an emulated {arm.spec.name}")
    with emulated_arm(arm) as emulator:
        lie_down(emulator)
        control = str(Path(emulator.port).parent / "control")
        done = subprocess.run(
            [sys.executable, str(CLIENTS), name, emulator.port, control],
            env={**os.environ, "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        torque = [int(servo.has_torque) for servo in emulator.control.state().lines["arm"]]
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            step = json.loads(line)
            mark = "ok " if step["ok"] else "BAD"
            print(f"  {mark} {step['step']}: {step['seen']}")
    print(f"      torque it left on: {torque}")
    if done.returncode != 0:
        print(f"  BAD exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.returncode == 0


def main() -> int:
    """Installs, runs, prints; 1 when a library could not do what it is for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keeps the libraries there, one folder each")
    parser.add_argument("--only", choices=PACKAGES, action="append", help="these, not all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.folder or Path(temporary)
        results = []
        for name in options.only or PACKAGES:
            install(name, root / name)
            results.append(run(name, root / name))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
