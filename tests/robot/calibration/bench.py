"""A workbench in memory: a line, and emulated servos that are plugged in by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from demoloop.robot.arms import ArmModel
from demoloop.robot.bus.dynamixel import DynamixelFraming
from demoloop.robot.bus.feetech import FeetechFraming
from demoloop.robot.bus.interface import Bus
from demoloop.robot.bus.servo_bus import ServoBus
from demoloop.robot.calibration.servos import slots
from demoloop.robot.emulator.chain import Chain
from demoloop.robot.emulator.dynamixel import DynamixelChain
from demoloop.robot.emulator.dynamixel_servo import DynamixelServo
from demoloop.robot.emulator.feetech import FeetechChain
from demoloop.robot.emulator.feetech_servo import FeetechServo
from demoloop.robot.emulator.motor import FreeShaft
from demoloop.robot.emulator.wire import Wire

AnyServo = FeetechServo | DynamixelServo


@dataclass
class Bench:
    """Servos on the line, and the clock that all share."""

    kind: str
    time: float = 0.0
    servos: list[Any] = field(default_factory=list)
    bauds: list[int] = field(default_factory=list)  # at which the line was opened

    def __post_init__(self) -> None:
        self.plug_in([])

    def plug_in(self, servos: Sequence[AnyServo]) -> None:
        """Takes what is plugged in out, and plugs these in."""
        chain: Chain[Any] = (
            FeetechChain(servos) if self.kind == "feetech" else DynamixelChain(servos)  # type: ignore[arg-type]
        )
        self.servos = list(servos)
        chain.start_at(self.time)
        self.wire = Wire(chain, seed=1)

    def make_bus(self, baud: int) -> Bus:
        """The line at a baud rate."""
        is_feetech = self.kind == "feetech"
        return ServoBus(
            Cable(self, baud), FeetechFraming() if is_feetech else DynamixelFraming(), baud=baud
        )


class Cable:
    """A `Link` to whatever is plugged in."""

    name = "bench"

    def __init__(self, bench: Bench, baud: int) -> None:
        self._bench, self._baud = bench, baud

    def open(self) -> None:
        self._bench.bauds.append(self._baud)

    def close(self) -> None:
        self._bench.wire.cut()

    def now(self) -> float:
        return self._bench.time

    def write(self, data: bytes) -> None:
        self._bench.wire.send(data, self._bench.time, self._baud)

    def read(self, deadline: float) -> bytes:
        bench = self._bench
        if data := bench.wire.receive(bench.time):
            return data
        arrival = bench.wire.next_arrival()
        bench.time = max(bench.time, min(deadline, arrival if arrival is not None else deadline))
        bench.wire.chain.advance(bench.time)
        return bench.wire.receive(bench.time)


def new_servo(
    arm: ArmModel, name: str, *, baud: int | None = None, at: float = 3.1415926
) -> AnyServo:
    """A servo as it leaves the factory, of the model that `name` of the arm takes, `at` [rad]."""
    joint = next(it for it in arm.servos.joints if name in (it.name, f"{it.name}_shadow"))
    if arm.servos.bus == "feetech":
        return FeetechServo(1, FreeShaft(at), baud=baud or 1_000_000)
    return DynamixelServo(1, joint.model, FreeShaft(at), baud=baud or 57_600)


def built_arm(arm: ArmModel, *, at: float = 3.1415926) -> list[AnyServo]:
    """All servos of an arm, with their ids."""
    return [
        FeetechServo(servo_id, FreeShaft(at))
        if arm.servos.bus == "feetech"
        else DynamixelServo(
            servo_id,
            next(it.model for it in arm.servos.joints if servo_id in (it.id, it.shadow_id)),
            FreeShaft(at),
        )
        for servo_id in slots(arm).values()
    ]
