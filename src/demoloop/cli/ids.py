"""`demoloop ids`: the servos of a new arm get their ids, one at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import tyro

from demoloop.cli.arm_address import EMULATED, parse_arm
from demoloop.robot import RobotError
from demoloop.robot.bus import serial_bus
from demoloop.robot.calibration import port_serial
from demoloop.robot.calibration.ids import IdSetting
from demoloop.robot.calibration.store import ids_given, note_ids_given


@dataclass(frozen=True)
class Options:
    """New servos all have the same id: only one may be plugged in. Ctrl-C keeps what is done."""

    arm: tyro.conf.Positional[str]
    """Which arm's servos they become, at which port: so101:/dev/ttyACM0."""
    resume: bool = False
    """Leave out the servos that got their id before."""
    joint: str = ""
    """Give only the servo of this joint its id."""
    middle: bool = False
    """Turn each servo to its middle, where its horn goes on. It moves: nothing may be on it."""


def main(options: Options) -> int:
    """Asks for one servo after the other; exit code 0 when all have their ids."""
    arm, port = parse_arm(options.arm)
    if port == EMULATED:
        print("the servos of an emulated arm have their ids already")
        return 0
    setting = IdSetting(arm, lambda baud: serial_bus(replace(arm.servos, baud=baud), port))
    names = list(setting.ids)
    if options.joint:
        if options.joint not in names:
            raise RobotError(
                f"{arm.spec.name} has no servo {options.joint!r}; it has {', '.join(names)}"
            )
        names = [options.joint]
    serial = port_serial(port)
    done = ids_given(arm.spec.name, serial) if options.resume else []
    for name in names:
        if name in done:
            print(f"{name}: has its id")
            continue
        _give(setting, name, options.middle)
        done.append(name)
        note_ids_given(arm.spec.name, serial, done)
    print(f"next: plug all together, then demoloop doctor --arm {options.arm}")
    return 0


def _give(setting: IdSetting, name: str, to_middle: bool) -> None:
    """Asks until the right servo is there and has its id.

    Raises:
        RobotError: The input ended.
    """
    while True:
        print(f"{name}: plug in this servo alone, its power on, and press Enter", flush=True)
        try:
            input()
        except EOFError as error:
            raise RobotError(
                f"the input ended before {name} got its id; --resume goes on"
            ) from error
        try:
            print(f"  {setting.give(name, setting.find())}", flush=True)
            if to_middle:
                setting.to_middle(name)
                print("  it is in its middle: put the horn on with the joint in its middle too")
            return
        except RobotError as error:
            print(f"  {error}", flush=True)
