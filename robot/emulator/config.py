"""What is emulated: lines of servos, the world behind them, and who looks at it. Sent as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from math import pi
from pathlib import Path
from typing import Any, Literal

import msgspec

from demoloop.robot.emulator.chain import Chain
from demoloop.robot.emulator.dynamixel import DynamixelChain
from demoloop.robot.emulator.dynamixel_servo import DynamixelServo
from demoloop.robot.emulator.feetech import FeetechChain
from demoloop.robot.emulator.feetech_servo import FeetechServo
from demoloop.robot.emulator.motor import STS3215, TICKS_PER_TURN, Shaft

NO_ID = 255


class ServoConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One servo, and what its ticks mean to a joint of the world."""

    id: int
    model: str = "sts3215"
    joint: str = ""  # of the model; empty: a shaft with nothing on it
    zero_tick: float = 2048  # where the model's joint is at 0
    ticks_per_unit: float = TICKS_PER_TURN / (2 * pi)  # per rad; below zero: mirrored
    is_opening: bool = False  # the unit is the joint's range in the model: 0 at its low end, 1
    start: float | None = None  # in that unit, where it begins; None: where the model has it
    shadows: int = NO_ID  # it obeys this id too, and turns the same joint


class LineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One serial port."""

    name: str
    bus: Literal["feetech", "dynamixel"]
    link: str  # where the port appears: a symbolic link to the pseudo-terminal of the moment
    servos: tuple[ServoConfig, ...]
    baud: int = 1_000_000
    volts: float | None = None  # None: what such servos usually get
    return_delay_us: int = 500  # as servos are delivered


class CameraConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A camera of the model. A client may ask for another size or rate."""

    name: str
    height: int
    width: int
    fps: float


class EmulatorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything one process emulates."""

    folder: str  # where the sockets are: only its owner may enter
    lines: tuple[LineConfig, ...]
    model: str = ""  # an .mjb or an MJCF; empty: nothing is behind the servos
    cameras: tuple[CameraConfig, ...] = ()
    seed: int = 0

    @property
    def control_socket(self) -> str:
        """Where faults are injected (robot/emulator/control)."""
        return str(Path(self.folder) / "control")

    @property
    def camera_socket(self) -> str:
        """Where pictures are fetched (robot/emulator/capture)."""
        return str(Path(self.folder) / "cameras")


def build_chain(line: LineConfig, shafts: Mapping[int, Shaft]) -> Chain[Any]:
    """Makes the servos of a line; those without an entry in `shafts` (by id) turn freely."""
    delay = line.return_delay_us // 2
    if line.bus == "feetech":
        volts = line.volts or STS3215.nominal_volts
        return FeetechChain(
            FeetechServo(
                servo.id, shafts.get(servo.id), volts=volts, baud=line.baud, return_delay=delay
            )
            for servo in line.servos
        )
    return DynamixelChain(
        DynamixelServo(
            servo.id,
            servo.model,
            shafts.get(servo.id),
            volts=line.volts,
            baud=line.baud,
            return_delay=delay,
            secondary_id=servo.shadows,
        )
        for servo in line.servos
    )
