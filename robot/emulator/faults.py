"""What can go wrong with a line and its servos, each as a value that can be sent as JSON.

`{"kind": "drop", "share": 0.02}` lets every fiftieth answer get lost; `id` narrows a fault to one
servo, and stands for all without. `strike` does a servo's faults, `robot/emulator/wire` the line's.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from demoloop.robot.emulator.chain import Chain

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=60)]
Id = Annotated[int, msgspec.Meta(ge=0, le=252)]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """Something that goes wrong; `id` None is every servo."""

    id: Id | None = None


class Drop(Fault, frozen=True, tag="drop"):
    """A packet does not arrive."""

    share: Share = 1.0
    on: Literal["answers", "requests"] = "answers"


class Corrupt(Fault, frozen=True, tag="corrupt"):
    """Some bytes of a packet arrive as others."""

    share: Share = 1.0
    num_bytes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    on: Literal["answers", "requests"] = "answers"


class Truncate(Fault, frozen=True, tag="truncate"):
    """The end of a packet is missing."""

    share: Share = 1.0
    on: Literal["answers", "requests"] = "answers"


class Noise(Fault, frozen=True, tag="noise"):
    """Bytes that nobody sent stand before an answer."""

    share: Share = 1.0
    most_bytes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8


class Late(Fault, frozen=True, tag="late"):
    """An answer arrives when nobody waits for it any more; the line is free meanwhile."""

    share: Share = 1.0
    least_s: Seconds = 0.02
    most_s: Seconds = 0.12


class Echo(Fault, frozen=True, tag="echo"):
    """The adapter hears itself: requests come back before their answers."""

    share: Share = 1.0


LineFault: TypeAlias = Drop | Corrupt | Truncate | Noise | Late | Echo


class Dead(Fault, frozen=True, tag="dead"):
    """No power: no answer and no torque; when it comes back the torque is off."""


class Mute(Fault, frozen=True, tag="mute"):
    """Acts on what it is told, but its answers never come."""


class DuplicateId(Fault, frozen=True, tag="duplicate_id"):
    """Servo `id` has the id of its `twin`: both answer at once, and what comes is a mix."""

    twin: Id = 1


class WrongModel(Fault, frozen=True, tag="wrong_model"):
    """Another kind of servo stands in its place: an SCS0009, unless told otherwise."""

    model: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 1284


class Overload(Fault, frozen=True, tag="overload"):
    """The overload protection has tripped."""


class OverTemperature(Fault, frozen=True, tag="over_temperature"):
    """Its sensor shows so many degrees."""

    celsius: Annotated[float, msgspec.Meta(ge=0, le=255)] = 80.0


class OverCurrent(Fault, frozen=True, tag="over_current"):
    """Its sensor shows so many amperes."""

    amperes: Annotated[float, msgspec.Meta(ge=-50, le=50)] = 4.0
    at_once: bool = True  # the protection has tripped; else it takes its own time


class UnderVoltage(Fault, frozen=True, tag="under_voltage"):
    """The supply gives so many volts: too few, or with a larger number too many."""

    volts: Annotated[float, msgspec.Meta(ge=0, le=25)] = 3.5


class BrownOut(Fault, frozen=True, tag="brown_out"):
    """The supply broke down for a moment: torque off, volatile registers as from the factory."""


class Stall(Fault, frozen=True, tag="stall"):
    """Something holds the shaft."""


class BaudMismatch(Fault, frozen=True, tag="baud_mismatch"):
    """Servos listen at another rate than they are spoken to."""

    baud: int = 500_000


ServoFault: TypeAlias = (
    Dead
    | Mute
    | DuplicateId
    | WrongModel
    | Overload
    | OverTemperature
    | OverCurrent
    | UnderVoltage
    | BrownOut
    | Stall
    | BaudMismatch
)
AnyFault: TypeAlias = LineFault | ServoFault


def strike(chain: Chain[Any], fault: ServoFault) -> None:
    """Lets a fault befall the servos it names.

    Raises:
        ValueError: Nobody has that id, or the servos do not know that baud rate.
    """
    places = chain.places(fault.id)
    if not places:
        raise ValueError(f"no servo has id {fault.id}; there are {[s.id for s in chain.servos]}")
    for place in places:
        servo = chain.servos[place]
        match fault:
            case Dead():
                chain.cut_power(servo.id)
            case Mute():
                chain.mute.add(place)
            case DuplicateId():
                _alter(chain, place, "id", fault.twin)
            case WrongModel():
                _alter(chain, place, "model", fault.model)
            case Overload():
                servo.trip("overload")
            case OverTemperature():
                servo.motor.pretended["temperature"] = fault.celsius
            case OverCurrent():
                servo.motor.pretended["current"] = fault.amperes
                if fault.at_once:
                    servo.trip("overcurrent")
            case UnderVoltage():
                servo.motor.pretended["volts"] = fault.volts
            case BrownOut():
                servo.restart()
            case Stall():
                servo.motor.shaft.block(True)
            case BaudMismatch():
                if fault.baud not in servo.bauds:
                    raise ValueError(f"baud rate {fault.baud}: servos know {servo.bauds}")
                _alter(chain, place, "baud", servo.bauds.index(fault.baud))


def relieve(chain: Chain[Any]) -> None:
    """Takes every cause away. What it led to stays: a tripped protection, torque that is off."""
    chain.dead.clear()
    chain.mute.clear()
    for servo in chain.servos:
        servo.motor.pretended.clear()
        servo.motor.shaft.block(False)
    for place, registers in chain.altered.items():
        for name, value in registers.items():
            chain.servos[place].memory[name] = value
    chain.altered.clear()


def _alter(chain: Chain[Any], place: int, register: str, value: int) -> None:
    """Writes a register, and remembers what it was."""
    memory = chain.servos[place].memory
    chain.altered.setdefault(place, {}).setdefault(register, memory[register])
    memory[register] = value
