"""The motor in a servo and the shaft it turns: current, heat, and where the shaft is."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp
from typing import Protocol

TICKS_PER_TURN = 4096
AMBIENT_C = 25.0


@dataclass(frozen=True)
class MotorConstants:
    """One kind of gear motor, seen at the output shaft.

    The thermal pair is a guess fitted to one field report: a gripper that squeezes with most of
    its force passes 70 degrees in about a minute.
    """

    torque_constant: float  # N m / A
    resistance: float  # ohm
    nominal_volts: float  # V, at which `duty_per_rad` makes the stiffness of the arm's MJCF
    duty_per_rad: float  # the position loop as it leaves the factory
    no_load_speed: float  # rad/s
    heat_capacity: float = 12.0  # J/K
    cooling: float = 1 / 12.0  # W/K


# Identified by BAM (Rhoban, ICRA 2025) at 7.4 V; the gain by oscilloscope: 0.166 P per rad.
STS3215 = MotorConstants(1.2116, 2.676, 7.4, 0.166 * 32, 5.2)
# Stall 0.52 N m at 1.47 A and 5 V (e-manual); P 400 of 128ths, 885 counts of PWM.
XL330 = MotorConstants(0.354, 3.4, 5.0, 400 / 128 * TICKS_PER_TURN / 6.2832 / 885, 10.8, 6.0)
# Stall 1.5 N m at 1.4 A and 12 V.
XL430 = MotorConstants(1.08, 8.5, 12.0, 800 / 128 * TICKS_PER_TURN / 6.2832 / 885, 6.0)
# Stall 4.1 N m at 2.3 A and 12 V.
XM430 = MotorConstants(1.78, 5.2, 12.0, 800 / 128 * TICKS_PER_TURN / 6.2832 / 885, 4.8, 20.0)


@dataclass(frozen=True)
class Drive:
    """What a servo's firmware asks of its motor for the next tick."""

    target: float | None  # rad at the servo, where the position loop pulls; None: no loop
    duty_per_rad: float  # how hard the loop pulls
    duty: float  # -1 .. 1, without a loop
    limit: float  # 0 .. 1, share of the full torque; 0 is a motor without power
    volts: float  # V, of the supply


class Shaft(Protocol):
    """What the motor turns. Angles are the servo's: tick 0 is 0 rad, upwards with the ticks."""

    @property
    def position(self) -> float:
        """Where it is [rad], over several turns."""
        ...

    @property
    def velocity(self) -> float:
        """How fast it turns [rad/s]."""
        ...

    def advance(self, drive: Drive, dt: float) -> None:
        """Lets the motor act for `dt` [s]."""
        ...

    def block(self, is_blocked: bool) -> None:
        """Holds the shaft still as a wall would, or lets it go."""
        ...


@dataclass
class FreeShaft:
    """A shaft with nothing on it: follows like a first-order lag, never quicker than the motor."""

    position: float = 3.1415926  # rad: tick 2048
    velocity: float = 0.0  # rad/s
    lag: float = 0.025  # s
    max_speed: float = STS3215.no_load_speed  # rad/s
    _is_blocked: bool = field(default=False, init=False)

    def advance(self, drive: Drive, dt: float) -> None:
        """Goes towards the target, or turns with the duty."""
        if self._is_blocked or drive.limit <= 0:
            self.velocity = 0.0
            return
        if drive.target is None:
            duty = max(-drive.limit, min(drive.limit, drive.duty))
            self.velocity = duty * self.max_speed
        else:
            step = (drive.target - self.position) * (1 - exp(-dt / self.lag))
            self.velocity = max(-self.max_speed, min(self.max_speed, step / dt))
        self.position += self.velocity * dt

    def block(self, is_blocked: bool) -> None:
        """Holds it still, or lets it go."""
        self._is_blocked = is_blocked


@dataclass
class Motor:
    """Current and heat of one motor, and what its sensors say of them."""

    constants: MotorConstants
    shaft: Shaft
    supply_volts: float  # V
    temperature: float = AMBIENT_C  # degrees Celsius
    duty: float = 0.0  # -1 .. 1
    current: float = 0.0  # A
    pretended: dict[str, float] = field(default_factory=dict)
    """Sensor -> what it shows whatever is true: volts, temperature, current (faults)."""

    def tick(self, drive: Drive, dt: float) -> None:
        """Turns the shaft for `dt` [s] and warms up by what that took."""
        self.shaft.advance(drive, dt)
        constants, limit = self.constants, 0.97 * drive.limit
        wanted = drive.duty
        if drive.target is not None:
            wanted = drive.duty_per_rad * (drive.target - self.shaft.position)
        self.duty = max(-limit, min(limit, wanted))
        self.current = 0.0
        if drive.limit > 0:
            electromotive = constants.torque_constant * self.shaft.velocity
            self.current = (drive.volts * self.duty - electromotive) / constants.resistance
            # Braking feeds the supply, which takes no more than the bridge lets through.
            most = drive.volts / constants.resistance * drive.limit
            self.current = max(-most, min(most, self.current))
        heating = self.current**2 * constants.resistance
        cooling = constants.cooling * (self.temperature - AMBIENT_C)
        self.temperature += (heating - cooling) * dt / constants.heat_capacity

    def sense(self, sensor: str) -> float:
        """Returns what a sensor shows: volts [V], temperature [degrees Celsius] or current [A]."""
        if sensor in self.pretended:
            return self.pretended[sensor]
        true = {"volts": self.supply_volts, "temperature": self.temperature}
        return true.get(sensor, self.current)


@dataclass
class Patience:
    """How long something has been too much; protections trip after a while, not at once."""

    elapsed: float = 0.0  # s

    def is_over(self, is_too_much: bool, dt: float, allowed: float) -> bool:
        """Counts `dt` [s] and says whether it was too much for longer than `allowed` [s]."""
        self.elapsed = self.elapsed + dt if is_too_much else 0.0
        return self.elapsed > allowed
