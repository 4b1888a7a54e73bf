"""`demoloop calibrate`: a person brings each joint to two places, and the arm is known."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import tyro

from demoloop.cli.arm_address import EMULATED, parse_arm
from demoloop.robot import RobotError
from demoloop.robot.arms import ArmModel
from demoloop.robot.bus import serial_bus
from demoloop.robot.calibration import (
    Procedure,
    Step,
    calibration_file,
    load_calibration,
    port_serial,
    save_calibration,
)
from demoloop.robot.calibration.servos import Servos
from demoloop.robot.calibration.store import forget_progress, load_progress, save_progress

READ_EVERY_S = 0.02  # a hand moves a joint by some degrees meanwhile

IsThere = Callable[[Step], bool]
"""Asked after each reading: whether the person says that the joint is where the step wants it."""


@dataclass(frozen=True)
class Options:
    """Torque stays off: you move the arm, it is only read. Ctrl-C keeps what is measured."""

    arm: tyro.conf.Positional[str]
    """Which arm at which port: so101:/dev/ttyACM0, or so101:emulated, hand included."""
    resume: bool = False
    """Go on at the joint where it was left."""
    joint: str = ""
    """Measure only this joint again, and keep the others as they are."""
    file: Path | None = None
    """Where it goes; by default ~/.config/demoloop/calibration/ARM-SERIAL.json."""


def main(options: Options) -> int:
    """Measures and saves; exit code 0."""
    arm, port = parse_arm(options.arm)
    with _line_and_person(arm, port) as (path, is_there):
        serial = EMULATED if port == EMULATED else port_serial(port)
        file = options.file or calibration_file(arm.spec.name, serial)
        procedure = _begin(options, arm, file)
        with closing(serial_bus(arm.servos, path)) as bus:
            bus.open()
            servos = Servos(arm, bus)
            servos.reports()
            servos.let_go()
            print("Torque is off: hold the arm where it would fall.")
            measure(procedure, servos, is_there, file)
    calibration = procedure.calibration(serial)
    save_calibration(file, calibration)
    forget_progress(file)
    print(f"calibrated: {file}, sha256 {calibration.sha256[:12]}")
    return 0


def measure(procedure: Procedure, servos: Servos, is_there: IsThere, file: Path) -> None:
    """Goes through the procedure; what is measured is kept beside `file` after every joint.

    Raises:
        RobotError: A servo fell silent, or nobody is there any more who confirms.
    """
    while (step := procedure.step) is not None:
        print(f"[{step.number}/{step.total}] {step.words}", flush=True)
        offset = servos.homing_offset(step.joint)
        said = _follow(procedure, servos, step, is_there, offset)
        print(f"  {said}", flush=True)
        save_progress(file, procedure.done.values())


def _follow(
    procedure: Procedure, servos: Servos, step: Step, is_there: IsThere, offset: int
) -> str:
    """Feeds readings until the person confirms; returns what came of it, good or bad."""
    while not is_there(step):
        ticks = servos.ticks()
        try:
            procedure.feed(ticks)
        except RobotError as error:
            return str(error)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        return procedure.confirm(measured_at=now, homing_offset=offset)
    except RobotError as error:
        return str(error)


def _begin(options: Options, arm: ArmModel, file: Path) -> Procedure:
    if options.joint:
        procedure = Procedure(arm, load_calibration(file).joints)
        procedure.redo(options.joint)
        return procedure
    done = load_progress(file) if options.resume else ()
    if options.resume:
        print(f"{len(done)} of {arm.spec.action_dim} joints are measured already")
    return Procedure(arm, done)


@contextmanager
def _line_and_person(arm: ArmModel, port: str) -> Iterator[tuple[str, IsThere]]:
    """Yields the port to open, and whoever brings joints to their places."""
    if port != EMULATED:
        yield port, Terminal().is_there
        return
    from demoloop.cli.calibrate_emulated import emulated_person

    with emulated_person(arm) as found:
        path, hand = found
        yield path, hand.is_there


class Terminal:
    """A person at a terminal, who presses Enter."""

    def is_there(self, step: Step) -> bool:
        """Waits a moment, and says whether Enter was pressed."""
        ready, _, _ = select.select([sys.stdin], [], [], READ_EVERY_S)
        if not ready:
            return False
        if not os.read(sys.stdin.fileno(), 4096):
            raise RobotError("the input ended before all was measured; --resume goes on")
        return True
