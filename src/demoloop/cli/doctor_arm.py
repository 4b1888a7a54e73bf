"""`demoloop doctor --arm ARM:PORT`: which servos answer, and how they are. Moves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from demoloop.cli.arm_address import EMULATED, parse_arm
from demoloop.robot.arms import ArmModel
from demoloop.robot.bus import serial_bus
from demoloop.robot.calibration import calibration_file, port_serial
from demoloop.robot.calibration.servos import ServoReport, Servos

HOT = 55.0  # degrees Celsius, of a servo that nobody has used yet


def main(text: str) -> int:
    """Prints a line per servo; exit code 0 when all of them are there.

    Raises:
        RobotError: The port, or what is on it, is not as it should be.
    """
    arm, port = parse_arm(text)
    with _port(arm, port) as path, closing(serial_bus(arm.servos, path)) as bus:
        bus.open()
        for report in Servos(arm, bus).reports():
            print(to_line(report))
    if port != EMULATED:
        file = calibration_file(arm.spec.name, port_serial(port))
        there = f"calibration {file}" if file.exists() else f"next: demoloop calibrate {text}"
        print(there)
    return 0


def to_line(report: ServoReport) -> str:
    """Returns a servo as a line of text."""
    line = (
        f"{report.name:<16} id {report.id:<3} {report.model:<11} firmware {report.firmware:<5} "
        f"{report.voltage:4.1f} V  {report.temperature:2.0f} C  at {report.tick}"
    )
    return f"{line}  -> hot: let it cool down" if report.temperature > HOT else line


@contextmanager
def _port(arm: ArmModel, port: str) -> Iterator[str]:
    if port != EMULATED:
        yield port
        return
    from demoloop.robot.emulator.emulator import emulated_arm

    with emulated_arm(arm) as emulator:
        yield emulator.port
