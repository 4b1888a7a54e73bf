"""Two arms as one at 100 Hz, through bytes: `python benchmarks/two_arms.py [--seconds 60]`.

Two emulated SO-101 in processes of their own, each on a pseudo-terminal paced at 1 Mbaud, as one
`Bimanual` under `Supervised`: read all twelve servos, judge, write all twelve. A tick that is not
done when the next is due is an overrun. Exit code 1 when 0.5 % of them or more are.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import pi, sin

import numpy as np
import tyro

from demoloop.robot.arms.bimanual import Bimanual
from demoloop.robot.arms.so101 import ARM
from demoloop.robot.bus import serial_bus
from demoloop.robot.emulator.emulator import emulated_arm
from demoloop.robot.realtime import RealtimeClock, realtime
from demoloop.robot.safety import Limits, Supervised
from demoloop.robot.servo_arm import ServoArm

BAR_SHARE = 0.005
SPEC = replace(ARM.spec, cameras=())


@dataclass(frozen=True)
class Options:
    """Prints how long a tick takes, and how many took too long."""

    seconds: float = 60.0
    """For how long."""
    hz: float = 100.0
    """Ticks per second."""
    realtime: bool = True
    """The loop runs as that of `demoloop run` does, where the system lets it."""


def main(options: Options) -> int:
    """Returns the exit code."""
    print(f"load {os.getloadavg()[0]:.1f}, {options.seconds:g} s at {options.hz:g} Hz")
    with emulated_arm(ARM) as left, emulated_arm(ARM) as right:
        arms = [ServoArm(SPEC, ARM.servos, serial_bus(ARM.servos, it.port)) for it in (left, right)]
        robot = Supervised(Bimanual(*arms), limits=Limits(arm_s=0.2, relax_s=0.2))
        with robot, realtime() if options.realtime else nullcontext():
            robot.arm()
            times = _swing(robot, options)
            state = robot.state
    took = np.array(times) * 1e3
    overruns = int((took > 1e3 / options.hz).sum())
    share = overruns / len(took)
    print(f"tick [ms]: p50 {np.median(took):.2f}, p99 {np.percentile(took, 99):.2f}, "
          f"worst {took.max():.1f}")  # fmt: skip
    is_met = share < BAR_SHARE and state == "RUNNING"
    print(
        f"overruns: {overruns} of {len(took)}, {100 * share:.2f} %, bar {100 * BAR_SHARE:g} %: "
        f"{'met' if is_met else 'MISSED'}; {state} in the end"
    )
    return 0 if is_met else 1


def _swing(robot: Supervised, options: Options) -> list[float]:
    """Turns both arms to and fro; returns from when each tick was due until it was done [s]."""
    clock, period = RealtimeClock(), 1.0 / options.hz
    dim = robot.spec.action_dim
    base = robot.observe().proprioception[:dim].clip(robot.spec.low, robot.spec.high)
    base[[0, dim // 2]] = 0.0
    start, times = clock.now(), list[float]()
    tick = 0
    while tick * period < options.seconds:
        clock.sleep_until(start + tick * period)
        robot.observe()
        action = base.copy()
        action[0] = 0.3 * sin(pi * tick * period)
        action[dim // 2] = -action[0]
        robot.act(action)
        now = clock.now() - start
        times.append(now - tick * period)
        tick = max(tick + 1, int(np.ceil(now / period)))
    return times


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
