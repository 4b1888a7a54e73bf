"""A chain of servos on one line: bytes in, answers out, whatever protocol they speak."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Protocol, TypeVar

from demoloop.robot.emulator.motor import Motor
from demoloop.robot.emulator.table import Memory

TICK_S = 0.002  # how often a servo's firmware looks at its shaft
_SILENCE_S = 0.02  # a packet with such a hole in it is given up, as servos do


@dataclass(frozen=True)
class Answer:
    """What a servo puts on the line."""

    data: bytes
    delay: float  # s between the request's last byte and this one's first
    ids: tuple[int, ...] = ()  # who speaks
    packet: int = 0  # the how manieth packet of the chain's life it answers


class Servo(Protocol):
    """What the chain needs of a servo."""

    motor: Motor
    memory: Memory
    bauds: ClassVar[tuple[int, ...]]

    @property
    def id(self) -> int:
        """The id it listens to."""
        ...

    @property
    def shadowed_id(self) -> int:
        """An id it obeys too, without answering; 255 for none."""
        ...

    @property
    def baud(self) -> int:
        """Bits per second it listens at."""
        ...

    def tick(self, dt: float) -> None:
        """Lets firmware, motor and protections act for `dt` [s]."""
        ...

    def restart(self) -> None:
        """Is switched off and on: torque off, volatile registers as they leave the factory."""
        ...

    @property
    def present_tick(self) -> int:
        """What its position register shows, with its sign."""
        ...

    def stay(self) -> None:
        """Takes where it is as its goal."""
        ...

    def read(self, address: int, size: int) -> bytes:
        """Measures and returns bytes of its table."""
        ...

    @property
    def alarms(self) -> frozenset[str]:
        """What it complains of now."""
        ...

    def trip(self, alarm: str) -> None:
        """Raises an alarm as if its cause had been there: overload, overheat, overcurrent."""
        ...

    @property
    def has_torque(self) -> bool:
        """Whether the motor is on, whatever the register says."""
        ...


AnyServo = TypeVar("AnyServo", bound=Servo)


class Chain(Generic[AnyServo]):
    """Servos on one line. Subclasses know the protocol."""

    def __init__(self, servos: Iterable[AnyServo]) -> None:
        """Servos start at time 0 of the clock that is handed to `handle`."""
        self.servos: list[AnyServo] = list(servos)
        self.dead: set[int] = set()  # places in `servos` that have no power
        self.mute: set[int] = set()  # places that act but never answer
        self.altered: dict[int, dict[str, int]] = {}  # place -> registers that a fault changed
        self.ticks_at = 0.0  # s, up to which the servos have lived
        self._num_packets = 0
        self._buffer = bytearray()
        self._heard_at = 0.0

    def handle(self, data: bytes, now: float) -> bytes:
        """Takes bytes from the line and returns all that the servos say to them."""
        return b"".join(answer.data for answer in self.answers(data, now))

    def answers(self, data: bytes, now: float, baud: int | None = None) -> list[Answer]:
        """Takes bytes that came at `baud` (None: any) and returns the answers in their order."""
        self.advance(now)
        if now - self._heard_at > _SILENCE_S:
            self._buffer.clear()
        self._heard_at = now
        self._buffer += data
        self._hears = baud
        found: list[Answer] = []
        while (packet := self._next_packet()) is not None:
            self._num_packets += 1
            found += [replace(a, packet=self._num_packets) for a in self._execute(packet)]
        return found

    def advance(self, now: float) -> None:
        """Lets the servos live until `now` [s]."""
        while self.ticks_at + TICK_S <= now + 1e-9:
            self.ticks_at += TICK_S
            for place, servo in enumerate(self.servos):
                if place not in self.dead:
                    servo.tick(TICK_S)

    def start_at(self, now: float) -> None:
        """Sets the servos' clock, without letting them live through the time before."""
        self.ticks_at = now

    def places(self, servo_id: int | None) -> list[int]:
        """Places in `servos` of those with this id; of all with None."""
        return [
            place
            for place, servo in enumerate(self.servos)
            if servo_id is None or servo.id == servo_id
        ]

    def cut_power(self, servo_id: int | None) -> None:
        """Takes the power from one servo, or from all."""
        for place in self.places(servo_id):
            self.dead.add(place)
            self.servos[place].restart()
            self.servos[place].tick(0.0)  # lets go of the shaft

    def give_power(self, servo_id: int | None) -> None:
        """Gives the power back; a servo that had some all along does not notice."""
        self.dead -= set(self.places(servo_id))

    def _listening(self, servo_id: int | None) -> list[AnyServo]:
        """Servos that obey this id (None: all), have power and hear this baud rate, by id."""
        found = [
            servo
            for place, servo in enumerate(self.servos)
            if servo_id is None or servo_id == servo.id or servo_id == servo.shadowed_id
            if place not in self.dead and self._hears in (None, servo.baud)
        ]
        return sorted(found, key=lambda servo: servo.id)

    def _may_speak(self, servo: AnyServo, servo_id: int) -> bool:
        """Whether it answers to this id: not as a shadow."""
        is_shadow = servo_id == servo.shadowed_id and servo_id != servo.id
        return not is_shadow and self.servos.index(servo) not in self.mute

    def _next_packet(self) -> bytes | None:
        """Cuts the next whole packet off the buffer; None when there is none yet."""
        raise NotImplementedError

    def _execute(self, packet: bytes) -> list[Answer]:
        """Does what the packet says."""
        raise NotImplementedError
