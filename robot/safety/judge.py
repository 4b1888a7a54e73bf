"""Whether an arm is well: what is read of its joints and motors, against the limits.

It keeps for how long something has been wrong, and nothing else. What a robot does not tell
(NaN, or no `Health` at all) is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import SupportsFloat

import numpy as np
from numpy.typing import NDArray

from demoloop.robot.arm import Health
from demoloop.robot.interface import Observation
from demoloop.robot.safety.faults import Fault, Kind, Reaction, make_fault
from demoloop.robot.safety.limits import Limits
from demoloop.robot.spec import RobotSpec

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

_SETTLING_S = 0.25
"""After switching on, in which what a driver read before may still say that torque is off."""
_RELAXING_ALARMS = {"overheat", "overcurrent"}
"""Alarms of a servo that holding on would harm."""
_ROUNDING_S = 1e-6


class Judge:
    """Looks at every reading and says what is wrong with it.

    Args:
        spec: Of the arm.
        limits: What is allowed.
    """

    def __init__(self, spec: RobotSpec, limits: Limits) -> None:
        self._spec, self._limits = spec, limits
        self._names = spec.joint_names
        self._is_rad = np.array([joint.unit == "rad" for joint in spec.joints])
        self._supply = np.full(spec.action_dim, np.nan)  # V of each servo while nothing moved
        self._num_warm = 0
        self.forget()

    def forget(self) -> None:
        """Begins anew: nothing has been wrong for any time."""
        self._since: dict[str, Vector] = {}
        self._misses = np.zeros(self._spec.action_dim, int)
        self._quiet_s = np.zeros(self._spec.action_dim)  # for which somebody listened
        self._listened_at: float | None = None

    def rest(self, health: Health) -> None:
        """Notes what the supply of each servo is while no motor works."""
        self._supply = np.where(np.isnan(health.voltage), self._supply, health.voltage)

    def motors(
        self,
        now: float,
        positions: Vector,
        speeds: Vector,
        health: Health,
        commanded: Vector | None,
        torque_for_s: float,
    ) -> Iterator[Fault]:
        """Yields what is wrong with the motors, the gravest first.

        Args:
            now: s.
            positions: Where the joints are (action_dim,).
            speeds: How fast they move (action_dim,).
            health: Read together with them.
            commanded: Where they were sent (action_dim,); None while torque is off.
            torque_for_s: Since torque is on.
        """
        yield from self._silent(now, health)
        yield from self._alarms(now, health)
        if commanded is not None:
            answered = ~np.isin(self._names, health.silent)
            off = (health.torque == 0) & (torque_for_s > _SETTLING_S)
            for at in np.flatnonzero(off).tolist():
                yield self._fault(
                    "brown-out", now, at, 0.0, 1.0,
                    "lost its torque by itself: its supply broke down for a moment; check plug and "
                    "cable",
                )  # fmt: skip
            yield from self._pushing(now, commanded - positions, speeds, health.load, answered)
        yield from self._electric(now, health, commanded is not None)

    def cameras(self, now: float, observation: Observation) -> Iterator[Fault]:
        """Yields the cameras whose picture is too old to act upon."""
        for camera, taken in observation.image_times.items():
            age, limit = now - taken, self._limits.camera_age_s
            if not age <= limit:
                yield make_fault(
                    "camera",
                    f"{self._spec.name}: the picture of camera {camera} is {age:.2f} s old, at "
                    f"most {limit:.2f}; check its cable, then reset_fault()",
                    now, camera, age, limit,
                )  # fmt: skip

    def outside(self, positions: Vector) -> str:
        """Returns which joint is too far outside its range to be armed; empty when none is."""
        for joint, at in zip(self._spec.joints, positions.tolist(), strict=True):
            beyond = max(joint.low - at, at - joint.high)
            if joint.unit == "rad" and not beyond <= self._limits.outside_rad:
                return (
                    f"{joint.name} is at {at:.2f} rad, outside [{joint.low:.2f}, "
                    f"{joint.high:.2f}]: move it inside by hand and arm() again, or calibrate it"
                )
        return ""

    def age(self, now: float, seen_at: float) -> Fault | None:
        """Returns a fault when an action given now answers too old a look."""
        age, limit = now - seen_at, self._limits.heartbeat_s
        if age <= limit:
            return None
        sentence = (
            f"the action answers a look {age:.2f} s ago, at most {limit:.2f}: decide quicker, or "
            "run the policy beside the loop as `demoloop run` does; then reset_fault()"
        )
        return make_fault("heartbeat", sentence, now, "", age, limit)

    def torque_share(self, health: Health) -> float:
        """Returns how much of its torque a hot arm may still use, 0 .. 1."""
        limits, known = self._limits, health.temperature[~np.isnan(health.temperature)]
        hottest = float(known.max()) if known.size else 0.0
        heat = (hottest - limits.hot_c) / (limits.too_hot_c - limits.hot_c)
        return 1.0 - (1.0 - limits.hold_share) * min(max(heat, 0.0), 1.0)

    def warnings(self, health: Health) -> Iterator[str]:
        """Yields a sentence when one more joint has become warm."""
        warm = np.flatnonzero(health.temperature > self._limits.warm_c)
        if warm.size > self._num_warm:
            at = warm[np.argmax(health.temperature[warm])]
            yield (
                f"{self._names[at]} has {health.temperature[at]:.0f} degrees C; from "
                f"{self._limits.hot_c:.0f} on it gets less torque: let it rest"
            )
        self._num_warm = warm.size

    def _silent(self, now: float, health: Health) -> Iterator[Fault]:
        is_silent = np.isin(self._names, health.silent)
        limits, before = self._limits, now if self._listened_at is None else self._listened_at
        listened_s, self._listened_at = min(now - before, limits.silent_look_s), now
        self._misses = np.where(is_silent, self._misses + 1, 0)
        quiet_s = self._quiet_s = np.where(is_silent, self._quiet_s + listened_s, 0.0)
        lost = np.flatnonzero(
            (self._misses >= limits.silent_misses) & (quiet_s >= limits.silent_s - _ROUNDING_S)
        )
        if lost.size:
            names = ", ".join(self._names[at] for at in lost)
            everybody = lost.size == self._spec.action_dim
            does = "does" if lost.size == 1 else "do"
            what = "no servo answers" if everybody else f"{names} {does} not answer"
            step = "check power and bus cable" if everybody else "check the cable before it"
            yield make_fault(
                "silent",
                f"{self._spec.name}: {what} for {quiet_s[lost].max():.3f} s, at most "
                f"{limits.silent_s:.3f}; {step}, then reset_fault()",
                now, names, float(quiet_s[lost].max()), limits.silent_s,
            )  # fmt: skip

    def _alarms(self, now: float, health: Health) -> Iterator[Fault]:
        for joint, alarms in health.alarms.items():
            if alarms:
                reaction: Reaction = "relax" if _RELAXING_ALARMS & set(alarms) else "hold"
                yield Fault(
                    "alarm",
                    f"{joint}: its servo reports {', '.join(alarms)}; {_mend(alarms)}, then "
                    "reset_fault(); if it stays, switch its power off and on",
                    now, joint, reaction=reaction,
                )  # fmt: skip

    def _pushing(
        self, now: float, error: Vector, speeds: Vector, load: Vector, known: Mask
    ) -> Iterator[Fault]:
        limits, apart = self._limits, np.abs(error)
        # A gripper that holds something is to be loaded and away from its goal.
        pushes = self._is_rad & (np.abs(load) > limits.stall_load)
        stands = np.abs(speeds) < limits.stall_speed
        stalled = pushes & stands & (apart > limits.stall_error_rad)
        for at in self._lasting("stall", stalled, known, now, limits.stall_s):
            yield self._fault(
                "stall", now, at, abs(load[at]), limits.stall_load,
                f"pushes with {100 * abs(load[at]):.0f} % of its drive and is {apart[at]:.2f} rad "
                f"from its goal, at most {100 * limits.stall_load:.0f} % and "
                f"{limits.stall_error_rad:.2f} rad for {limits.stall_s:.2f} s; free it",
            )  # fmt: skip
        comes = np.sign(error) * speeds > limits.stall_speed  # it is only slow, as with a load
        strayed = self._is_rad & (apart > limits.following_rad) & ~comes
        for at in self._lasting("following", strayed, known, now, limits.following_s):
            yield self._fault(
                "following", now, at, apart[at], limits.following_rad,
                f"is {apart[at]:.2f} rad from where it was sent, at most "
                f"{limits.following_rad:.2f} for {limits.following_s:.2f} s; see what holds it, or "
                "whether its horn has slipped",
            )  # fmt: skip

    def _electric(self, now: float, health: Health, is_on: bool) -> Iterator[Fault]:
        limits, heat = self._limits, health.temperature
        for at in self._lasting(
            "temperature", heat > limits.too_hot_c, ~np.isnan(heat), now, limits.slow_reading_s
        ):
            yield self._fault(
                "temperature", now, at, heat[at], limits.too_hot_c,
                f"has {heat[at]:.0f} degrees C, at most {limits.too_hot_c:.0f}; let it cool",
            )  # fmt: skip
        flow = np.abs(health.current)
        for at in self._lasting(
            "current", flow > limits.current_a, ~np.isnan(flow), now, limits.current_s
        ):
            yield self._fault(
                "current", now, at, flow[at], limits.current_a,
                f"takes {flow[at]:.2f} A, at most {limits.current_a:.2f} for "
                f"{limits.current_s:.1f} s; see what it pushes against",
            )  # fmt: skip
        low = np.full_like(self._supply, limits.voltage_v[0])
        high = np.full_like(self._supply, limits.voltage_v[1])
        if is_on:
            low = np.fmax(low, self._supply * (1 - limits.voltage_share))
            high = np.fmin(high, self._supply * (1 + limits.voltage_share))
        volt = health.voltage
        for at in self._lasting(
            "voltage", (volt < low) | (volt > high), ~np.isnan(volt), now, limits.slow_reading_s
        ):
            yield self._fault(
                "voltage", now, at, volt[at], low[at] if volt[at] < low[at] else high[at],
                f"has {volt[at]:.1f} V, {low[at]:.1f} to {high[at]:.1f} expected; check the power "
                "supply and its plug",
            )  # fmt: skip

    def _lasting(
        self, name: str, is_wrong: Mask, is_known: Mask, now: float, seconds: float
    ) -> list[int]:
        """Returns the joints for which something has been wrong for so long.

        A reading that did not come neither begins nor ends it.
        """
        since = self._since.setdefault(name, np.full(len(is_wrong), np.nan))
        since[is_known & ~is_wrong] = np.nan
        since[is_known & is_wrong & np.isnan(since)] = now
        lasts = is_known & is_wrong & (now - since >= seconds - _ROUNDING_S)
        return [int(at) for at in np.flatnonzero(lasts)]

    def _fault(
        self, kind: Kind, now: float, at: int, value: SupportsFloat, limit: SupportsFloat, what: str
    ) -> Fault:
        joint = self._names[at]
        sentence = f"{joint} {what}, then reset_fault()"
        return make_fault(kind, sentence, now, joint, float(value), float(limit))


def _mend(alarms: tuple[str, ...]) -> str:
    """What to do about a servo's alarms."""
    if set(alarms) <= {"voltage"}:
        return "check the power supply and its plug"
    return "take the load off and let it cool"
