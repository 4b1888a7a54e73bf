"""How quick the bus is beside lerobot's, and whether a spoiled line ever yields a wrong value.

    python benchmarks/bus.py [--cycles 3000] [--reads 100000] [--venv FOLDER | --no-lerobot]

First both read six emulated STS3215 and write six goals, in turns, at 100 Hz through one
pseudo-terminal that takes 10 us a byte; the servos are another process. lerobot 0.4.4 stands in an
environment of its own without most of its dependencies and borrows torch from this one. Each reads
"all" (position, velocity, load, voltage, temperature, current, status: one request of ours, one per
quantity of lerobot's, which has no other way) and "pos", positions alone.
Then 10^5 readings in memory on which 2 % of all replies are lost, broken (one byte, and four), cut
short, late by 20 to 120 ms or behind noise, and 2 % of requests echoed, each for itself and all at
once. Every number that is delivered is held against what the servo held. Exit code 1 on a missed
bar.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

LEROBOT = ("lerobot==0.4.4", "feetech-servo-sdk==1.0.0", "accelerate>=1.10,<2")
LEROBOT_NEEDS = ("datasets>=4,<5", "pyserial", "deepdiff>=8", "tqdm", "psutil")
QUANTITIES = (
    *("Present_Position", "Present_Velocity", "Present_Load", "Present_Voltage"),
    *("Present_Temperature", "Present_Current", "Status"),
)
IDS = (1, 2, 3, 4, 5, 6)
ROUNDS = 6  # both in turns: the machine is as busy for one as for the other
P50_MS, P99_MS, TIMES_QUICKER = 2.0, 6.0, 2.0
SHARE = 0.02


def goals(cycle: int) -> dict[int, int]:
    """Id -> tick: a slow wave."""
    return {i: int(2048 + 300 * np.sin(cycle / 50 + i)) for i in IDS}


def timed(cycles: int, read: Any, write: Any) -> list[float]:
    """Milliseconds of each cycle, at 100 Hz."""
    took, due = [], time.monotonic()
    for cycle in range(cycles):
        due = max(due + 0.01, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        start = time.perf_counter()
        read()
        write(goals(cycle))
        took.append(1e3 * (time.perf_counter() - start))
    return took


def run_lerobot(port: str, cycles: int, what: str) -> list[float]:
    """In lerobot's environment: its own bus, as its follower uses it."""
    from lerobot.motors import Motor, MotorNormMode
    from lerobot.motors.feetech import FeetechMotorsBus

    motors = {str(i): Motor(i, "sts3215", MotorNormMode.RANGE_M100_100) for i in IDS}
    bus = FeetechMotorsBus(port, motors)
    bus.connect()

    def read() -> None:
        for name in QUANTITIES if what == "all" else QUANTITIES[:1]:
            bus.sync_read(name, normalize=False, num_retry=9)  # or one lost reply ends it

    def write(ticks: dict[int, int]) -> None:
        named = {str(i): tick for i, tick in ticks.items()}
        bus.sync_write("Goal_Position", named, normalize=False)

    took = timed(cycles, read, write)
    bus.disconnect()
    return took


def run_ours(port: str, cycles: int, what: str) -> list[float]:
    """As `ServoArm` uses it."""
    from demoloop.robot.bus.feetech import FeetechFraming
    from demoloop.robot.bus.motors import Motors
    from demoloop.robot.bus.registers import MODELS
    from demoloop.robot.bus.serial_port import SerialPort
    from demoloop.robot.bus.servo_bus import ServoBus
    from demoloop.robot.bus.states import StateReader

    bus = ServoBus(SerialPort(port), FeetechFraming())
    models = dict.fromkeys(IDS, MODELS["sts3215"])
    reader, motors = StateReader(bus, models), Motors(bus, models)
    bus.open()
    num_missing = 0

    def read() -> None:
        nonlocal num_missing
        deadline = bus.now() + 0.05
        if what == "all":
            num_missing += len(reader.read(deadline))
        else:
            num_missing += len(bus.read(IDS, 56, 2, deadline).missing)

    took = timed(cycles, read, motors.go)
    bus.close()
    if num_missing:
        print(f"  ours: {num_missing} readings were missing")
    return took


def install(venv: Path) -> Path:
    """Returns the Python of lerobot's environment."""
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip = [python, "-m", "pip", "install", "-q"]
        subprocess.run([*pip, "--no-deps", *LEROBOT], check=True)  # torch is several GB of CUDA
        subprocess.run([*pip, *LEROBOT_NEEDS], check=True)
    return python


def timed_lerobot(python: Path, port: str, cycles: int, what: str) -> list[float]:
    """Runs this file in lerobot's environment."""
    site = sysconfig.get_path("purelib")
    command = [python, __file__, "--as-lerobot", port, what, site, "--cycles", str(cycles)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode:
        raise SystemExit(f"lerobot failed: {said.stderr[-2000:]}")
    return json.loads(said.stdout.splitlines()[-1])


def speed(cycles: int, python: Path | None) -> bool:
    """Compares; returns whether the bars hold."""
    from demoloop.robot.emulator.config import LineConfig, ServoConfig
    from demoloop.robot.emulator.emulator import Emulator

    servos = tuple(ServoConfig(i) for i in IDS)
    line = LineConfig("arm", "feetech", "arm", servos, return_delay_us=0)
    took: dict[tuple[str, str], list[float]] = {}
    with Emulator([line]) as emulator:
        for _ in range(ROUNDS):
            for what in ("all", "pos"):
                mine = run_ours(emulator.port, cycles // ROUNDS, what)
                took.setdefault(("ours", what), []).extend(mine)
                if python is not None:
                    theirs = timed_lerobot(python, emulator.port, cycles // ROUNDS, what)
                    took.setdefault(("lerobot", what), []).extend(theirs)
    p50 = {key: float(np.percentile(values, 50)) for key, values in took.items()}
    p99 = {key: float(np.percentile(values, 99)) for key, values in took.items()}
    for key in sorted(took):
        print(f"RESULT {' '.join(key)}: read and write p50 {p50[key]:.2f} p99 {p99[key]:.2f} ms")
    holds = p50["ours", "all"] <= P50_MS and p99["ours", "all"] <= P99_MS
    if python is not None:
        times = {what: p50["lerobot", what] / p50["ours", what] for what in ("all", "pos")}
        holds = holds and times["all"] >= TIMES_QUICKER
        print(f"RESULT ours is {times['all']:.2f} times as quick (bar {TIMES_QUICKER:g}) with all,")
        print(f"RESULT {times['pos']:.2f} times with positions alone (no bar)")
    print(f"RESULT bars of {P50_MS:g} / {P99_MS:g} ms: {'met' if holds else 'MISSED'}")
    return holds


def spoiled(name: str, faults: list[Any], reads: int) -> int:
    """Readings on a spoiled line in memory; returns how many of them were wrong."""
    from tests.robot.bus.line import MemoryLink

    from demoloop.robot.bus.feetech import FeetechFraming
    from demoloop.robot.bus.registers import MODELS
    from demoloop.robot.bus.servo_bus import ServoBus
    from demoloop.robot.bus.states import StateReader
    from demoloop.robot.emulator.feetech import FeetechChain
    from demoloop.robot.emulator.feetech_servo import FeetechServo

    link = MemoryLink(FeetechChain([FeetechServo(i, return_delay=0) for i in IDS]), seed=1)
    for fault in faults:
        link.wire.inject(fault)
    bus, model = ServoBus(link, FeetechFraming()), MODELS["sts3215"]
    reader, table = StateReader(bus, dict.fromkeys(IDS, model)), model.table
    fields = ("position", "velocity", "load", "current", "voltage", "temperature")
    num_wrong = num_missing = 0
    for cycle in range(reads):
        start = link.time
        torque_and_goal = {
            i: b"\1\0" + tick.to_bytes(2, "little") for i, tick in goals(cycle).items()
        }
        bus.sync_write(40, torque_and_goal)
        link.truth.clear()
        missing = reader.read(start + 0.008)
        num_missing += len(missing)
        for servo_id in set(IDS) - set(missing):
            state = reader.states[servo_id]
            said = [getattr(state, field) for field in fields]
            num_wrong += not any(
                said == [table[f"present_{field}"].value(memory, 0) for field in fields]
                for memory in link.truth[servo_id]
            )
        link.time = max(link.time, start + 0.01)
    share = 100 * num_missing / (reads * len(IDS))
    print(f"RESULT {name}: {reads} readings of 6, {num_wrong} wrong values, {share:.1f} % missing")
    return num_wrong


def trust(reads: int) -> bool:
    """Each fault for itself, and all at once; returns whether nothing was wrong."""
    from demoloop.robot.emulator.faults import Corrupt, Drop, Echo, Late, Noise, Truncate

    kinds: dict[str, Any] = {
        "drop": Drop(share=SHARE),
        "corrupt": Corrupt(share=SHARE),
        "corrupt 4 bytes": Corrupt(share=SHARE, num_bytes=4),
        "truncate": Truncate(share=SHARE),
        "noise": Noise(share=SHARE),
        "late": Late(share=SHARE),
        "echo": Echo(share=SHARE),
    }
    wrong = [spoiled("all at once", [f for n, f in kinds.items() if n != "corrupt"], reads)]
    wrong += [spoiled(name, [fault], reads // 10) for name, fault in kinds.items()]
    return not any(wrong)


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=3000, help="of each bus")
    parser.add_argument("--reads", type=int, default=100_000, help="on the spoiled line")
    default = Path(tempfile.gettempdir()) / "lerobot_bus_venv"
    parser.add_argument("--venv", type=Path, default=default, help="where lerobot is or goes")
    parser.add_argument("--no-lerobot", action="store_true", help="ours alone")
    parser.add_argument("--as-lerobot", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_lerobot:
        port, what, site = options.as_lerobot
        sys.path.append(site)  # for torch, which its imports need and its bus does not
        print(json.dumps(run_lerobot(port, options.cycles, what)))
        return 0
    is_alone = options.no_lerobot or not options.cycles
    python = None if is_alone else install(options.venv)
    is_quick = speed(options.cycles, python) if options.cycles else True
    # Only now: the folder `datasets` there would hide the package that lerobot imports.
    sys.path.insert(0, str(Path(__file__).parents[1]))
    is_right = trust(options.reads) if options.reads else True
    return 0 if is_quick and is_right else 1


if __name__ == "__main__":
    sys.exit(main())
