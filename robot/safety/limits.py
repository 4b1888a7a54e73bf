"""What an arm may do and how its motors may be, one number a line and each with its reason.

[guess] marks a judgement that waits for a real arm; the others name where they come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from demoloop.robot.errors import RobotError


@dataclass(frozen=True)
class Limits:
    """The thresholds of `Supervised`. Joints in rad; a gripper's are in openings, 0 .. 1."""

    max_velocity: float = 3.0
    """rad/s, where the joint's own limit is not lower: two thirds of an STS3215's 45 rpm, so that
    the servo can still follow under load."""
    max_acceleration: float = 20.0
    """rad/s^2, where the joint's own is not lower: 3 rad/s are gone after 0.15 s and 0.23 rad."""
    jump_rad: float = 0.35
    """Between two actions; or what the joint can do at full speed meanwhile, if that is more.
    Seven times what 4.7 rad/s is in a tick of 10 ms: nobody means that. [guess]"""
    start_speed: float = 0.5
    """rad/s (or openings/s) of the first way to whatever is commanded first, and of homing: slow
    enough to step back. gello catches up with 0.05 rad per step."""
    start_acceleration: float = 2.0
    """rad/s^2 (or openings/s^2) on that way. An STS3215 is damped by 0.43 (BAM's figures): set off
    at once it passes this speed by a third."""
    start_within: float = 0.05
    """rad (or openings): nearer than this to what is commanded the start is over."""

    heartbeat_s: float = 0.2
    """Without an action while RUNNING, or since the look that an action answers: 20 ticks of the
    guard, and 5 control periods of 40 ms. At 3 rad/s the arm has gone 0.6 rad blindly. [guess]"""
    camera_age_s: float = 0.25
    """Of the oldest picture while RUNNING: 7 frames at 30 Hz, so that two lost ones are none of our
    business. `math.inf` for a teleoperator who looks at the arm itself. [guess]"""

    following_rad: float = 0.35
    """Between command and a joint that does not come nearer. An STS3215 lags 0.10 rad at 3 rad/s
    (0.608 damping / 17.8 gain) and droops 0.09 rad at P = 16, stretched out. [guess]"""
    following_s: float = 0.25
    """For so long: a servo needs 0.1 s to set off."""
    stall_load: float = 0.85
    """Share of the full drive; an STS3215 protects itself at 0.8 after 2 s, too late for gears."""
    stall_error_rad: float = 0.1
    """Besides: where an STS3215 at 7.4 V saturates (1.9 N m / 17.8 N m/rad)."""
    stall_speed: float = 0.2
    """rad/s: slower is standing. One at 3 rad/s has 96 % load and lags 0.10 rad, and is well."""
    stall_s: float = 0.25
    """A joint that accelerates has full load too, for at most v / a = 0.15 s."""
    gripper_load: float = 0.25
    """Share of the drive at which closing ends: 0.5 N m at the jaw. Grippers burnt at 0.5 and above
    within a minute of gripping (lerobot PR 1809, phosphobot issue 241)."""
    gripper_slow: float = 0.05
    """openings/s below which a loaded gripper has met something."""
    gripper_s: float = 0.1
    """For so long: one that sets off is slow and loaded too."""
    gripper_squeeze: float = 0.02
    """openings (2 degrees of an SO-101's jaw) that the goal stays behind where it met it."""

    warm_c: float = 55.0
    """degrees Celsius, said. The servo's own protection is at 70."""
    hot_c: float = 60.0
    """From here on the torque is reduced, down to `hold_share` at `too_hot_c`."""
    too_hot_c: float = 65.0
    """FAULT: 5 degrees before the servo lets go by itself and drops the arm."""
    slow_reading_s: float = 0.25
    """For so long a temperature or a voltage must be wrong: neither changes quicker, and a frame of
    a servo bus has a checksum of 8 bits, which one corrupted frame in 256 passes."""
    current_a: float = 2.2
    """A of one motor: 80 % of the 2.77 A that an STS3215 takes when it stalls at 7.4 V. [guess]"""
    current_s: float = 0.5
    """For so long: starting takes as much for a moment."""
    voltage_share: float = 0.15
    """Of what each servo had when the arm was armed; supplies are 5, 7.4 and 12 V, and one arm may
    have two of them. [guess]"""
    voltage_v: tuple[float, float] = (4.5, 14.0)
    """V between which any servo of these arms works at all: XL330 from 3.7, STS3215 up to 14."""

    silent_misses: int = 3
    """Readings in a row that a joint owes; and"""
    silent_s: float = 0.06
    """for so long: by count alone a busy computer trips it, by time alone a slow loop does. And"""
    silent_look_s: float = 0.015
    """for so much of it at most each of those readings counts, however late the next one comes: a
    loop that was kept from running has not listened meanwhile. 1.5 ticks of the guard."""

    hold_share: float = 0.4
    """Of the torque while holding softly: 0.76 N m of an STS3215 at 7.4 V. A stretched SO-101 needs
    0.86 at the shoulder and sinks; anywhere else it stays, and a hand can push it away."""
    arm_share: float = 0.2
    """Of the torque at the moment it is switched on."""
    arm_s: float = 1.0
    """From `arm_share` to all of it."""
    relax_s: float = 1.5
    """From all of the torque to none: gravity wins gradually."""
    outside_rad: float = 0.1
    """Further outside its range than this no joint is armed: the first command would be a jump."""
    off_attempts: int = 3
    """Of switching torque off at once, before it is tried again at every cycle."""
    off_cycles: int = 100
    """Cycles after which a joint that does not confirm is given up; a person was told of it."""

    clearance_m: float = 0.005
    """Between parts of the arm that must not touch: what the boxes of the model leave out."""
    table_m: float = -0.005
    """Height below which no moving part is commanded, the base standing at 0. Below 0 since fingers
    that pick from the table touch it, and a servo's P control gives way by more than that."""
    workspace_m: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None
    """Lowest and highest corner of the box that moving parts stay in; None: all they reach."""

    reconnect_every_s: float = 0.1
    """Between two attempts to find an unplugged arm again."""
    reconnect_for_s: float = 60.0
    """Then it is given up until `connect()` is called."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            may_be_any = field.name in ("table_m", "clearance_m")
            if isinstance(value, int | float) and not (may_be_any or value > 0):
                raise RobotError(f"the limit {field.name} is {value}; it must be above 0")
        if math.isnan(self.table_m) or math.isnan(self.clearance_m):
            raise RobotError("table_m and clearance_m are lengths in metres, not NaN")
        if not self.warm_c <= self.hot_c < self.too_hot_c:
            raise RobotError(
                f"temperatures must rise: warm_c {self.warm_c:g}, hot_c {self.hot_c:g}, "
                f"too_hot_c {self.too_hot_c:g}"
            )
        if self.workspace_m is not None:
            low, high = self.workspace_m
            if not all(a < b for a, b in zip(low, high, strict=True)):
                raise RobotError(f"workspace_m goes from {low} to {high}; lowest corner first")
