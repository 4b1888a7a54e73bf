"""Joints: what is no number, what does not follow, what sits at its stop, what leaps.

The limits below were tried on clean simulated episodes and on spoilt ones; benchmarks/check.py
does it again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from demoloop.datasets.check.defect import Defect, still_stretches, stretches
from demoloop.datasets.check.signals import Joint, Signals, Values

STILL = 5e-4
"""Of a joint's span, what counts as not moving: one or two steps of a 12 bit encoder."""

COMMANDED = 0.05
"""Of a joint's span, how far a command must go before a joint that stays counts as dead."""

COMMANDED_ALL = 0.15
"""The same over a whole episode, for what may be blocked: a jaw that holds something."""

STILL_S = 0.5  # how long it must stay
REACTION_S = 0.2  # how long a healthy joint may take to follow

AT_LIMIT = 2e-3  # of the span: as near as this is at the limit
AT_LIMIT_S = 2.5
"""An expert that reaches to the edge of what the arm can sits there for up to 2.0 s."""

TOO_FAST = 1.3
"""Times the joint's own fastest; a blow may drive it somewhat faster than its motor can."""

SPIKE = 1.5
"""Times the joint's own largest acceleration, for a reading that leaps away and back."""

COMMAND_LEAP = (3.0, 0.25)
"""Times the fastest, and share of the span: a command may run ahead, but not be elsewhere."""

GUESSED_LEAP = (0.3, 20.0, 20)
"""Where no limits are known: share of the range seen, times the 99th percentile of all other
steps, and how many different readings there must be; a gripper may read only 0 and 1."""


def not_numbers(signals: Signals) -> Iterator[Defect]:
    """NaN or infinite readings and actions."""
    for name, values in signals.columns.items():
        found = stretches(~np.isfinite(values))
        if found:
            first, last = found[0][0], found[-1][1]
            count = int((~np.isfinite(values)).sum())
            sentence = f"{name} is not a number at {count} of {len(signals)} steps"
            yield signals.defect("not a number", first, last, name, sentence)


def joint_defects(signals: Signals) -> Iterator[Defect]:
    """Everything about joints that are numbers throughout."""
    for joint in signals.joints:
        if np.isfinite(joint.actions).all() and joint.span > 0:
            yield from _command_leaps(signals, joint)
            if joint.readings is not None and np.isfinite(joint.readings).all():
                yield from _dead(signals, joint, joint.readings)
                yield from _leaps(signals, joint, joint.readings)
            yield from _saturated(signals, joint)


def _dead(signals: Signals, joint: Joint, readings: Values) -> Iterator[Defect]:
    """The command moves and the reading does not. A joint nobody commanded is no defect."""
    least = signals.steps(STILL_S)
    reaction = signals.steps(REACTION_S)
    for first, last in still_stretches(readings, STILL * joint.span, least + reaction):
        commands = joint.actions[first : last + 1 - reaction]
        low, high = float(commands.min()), float(commands.max())
        moved = (high - low) / joint.span
        is_dead = moved >= COMMANDED
        if joint.may_be_blocked:
            here = float(readings[first])
            room = COMMANDED * joint.span
            is_whole = first == 0 and last == len(signals) - 1
            # Whoever is held from one side can still go to the other.
            is_dead = low < here - room and here + room < high
            is_dead = is_dead or (is_whole and moved >= COMMANDED_ALL)
        if is_dead:
            unit = "" if joint.spec.unit == "opening" else f" {joint.spec.unit}"
            sentence = (
                f"{joint.spec.name} stays at {readings[first]:.3f} for "
                f"{signals.seconds(first, last)} while its command goes from {low:.3f} to "
                f"{high:.3f}{unit}"
            )
            yield signals.defect("dead joint", first, last, joint.spec.name, sentence)


def _saturated(signals: Signals, joint: Joint) -> Iterator[Defect]:
    """Sits at a limit for long; a gripper may, closed and open are where it belongs."""
    if joint.may_be_blocked:
        return
    near = AT_LIMIT * joint.span
    for what, values in (("reading", joint.readings), ("command", joint.actions)):
        if values is None or not np.isfinite(values).all():
            continue
        for side, limit in (("lower", joint.spec.low), ("upper", joint.spec.high)):
            is_there = values <= limit + near if side == "lower" else values >= limit - near
            for first, last in stretches(is_there, signals.steps(AT_LIMIT_S)):
                sentence = (
                    f"the {what} of {joint.spec.name} sits at its {side} limit of {limit:.3f} "
                    f"{joint.spec.unit} for {signals.seconds(first, last)}"
                )
                yield signals.defect("saturation", first, last, joint.spec.name, sentence)


def _leaps(signals: Signals, joint: Joint, readings: Values) -> Iterator[Defect]:
    """The reading moves further in a step than the joint can."""
    moved = np.diff(readings)
    if joint.has_limits:
        period = _periods(signals)
        allowed = TOO_FAST * joint.spec.max_velocity * period
        is_leap = np.abs(moved) > allowed
        back = np.minimum(np.abs(moved[:-1]), np.abs(moved[1:])) * (moved[:-1] * moved[1:] < 0)
        is_spike = back > SPIKE * joint.spec.max_acceleration * period[1:] ** 2
        is_leap[1:] |= is_spike
        is_leap[:-1] |= is_spike
        reason = f"faster than {joint.spec.max_velocity:.2f} {joint.spec.unit}/s, or to and fro"
    else:
        share, times, different = GUESSED_LEAP
        if len(np.unique(readings)) < different:
            return
        usual = float(np.quantile(np.abs(moved), 0.99))
        is_leap = np.abs(moved) > max(share * float(np.ptp(readings)), times * usual)
        reason = f"other steps stay below {usual:.3f}"
    for first, last in stretches(is_leap):
        far = float(moved[first : last + 1][np.abs(moved[first : last + 1]).argmax()])
        sentence = f"{joint.spec.name} leaps by {far:+.3f} {joint.spec.unit} in a step ({reason})"
        yield signals.defect("jump", first, last + 1, joint.spec.name, sentence)


def _command_leaps(signals: Signals, joint: Joint) -> Iterator[Defect]:
    if joint.may_be_blocked:  # a gripper may be told "open" and "close" and nothing between
        return
    times, share = COMMAND_LEAP
    moved = np.diff(joint.actions)
    allowed = np.maximum(times * joint.spec.max_velocity * _periods(signals), share * joint.span)
    for first, last in stretches(np.abs(moved) > allowed):
        sentence = (
            f"the command of {joint.spec.name} leaps by {moved[first]:+.3f} {joint.spec.unit} "
            "in a step"
        )
        yield signals.defect("jump", first, last + 1, joint.spec.name, sentence)


def _periods(signals: Signals) -> Values:
    """Returns how long each step took [s], (T - 1,), never less than the frame rate says."""
    measured = np.diff(signals.time)
    return np.fmax(np.where(np.isfinite(measured), measured, 0.0), 1.0 / signals.fps)
