"""The guard: the loop that owns the arm, ticks faster than any policy, and stops it gently.

Whatever decides, its every action passes `check_action`, at deadlines that the system's real-time
means keep as far as they are granted. When the episode is over, or something breaks, the arm is
not left with the velocity of its last two commands: it is slowed down within its limits first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from demoloop.deploy.errors import DeployError
from demoloop.robot import (
    Action,
    Agent,
    LoopReport,
    Observation,
    OnStep,
    Robot,
    RobotSpec,
    WallClock,
    run_episode,
)
from demoloop.robot.limiter import Limiter
from demoloop.robot.realtime import RealtimeClock, realtime

GUARD_HZ = 100.0
"""Ticks per second: well above a policy's rate, well below what a servo bus can carry."""


@dataclass(frozen=True)
class GuardReport:
    """One guarded episode."""

    loop: LoopReport
    refusals: tuple[str, ...]  # real-time means that the system did not grant


def check_guard_hz(spec: RobotSpec, guard_hz: float) -> None:
    """Raises DeployError for a rate below the policy's, or one no loop in Python keeps."""
    if not spec.control_hz <= guard_hz <= 1000:
        raise DeployError(
            f"the guard's rate is {guard_hz:g} Hz; it must be {spec.control_hz:g} Hz, the control "
            f"rate of {spec.name}, to 1000 Hz"
        )


def guard_episode(
    robot: Robot,
    agent: Agent,
    seconds: float,
    *,
    guard_hz: float = GUARD_HZ,
    on_step: OnStep | None = None,
    is_over: Callable[[], bool] | None = None,
    clock: WallClock | None = None,
) -> GuardReport:
    """Runs one episode of at most `seconds` at `guard_hz`, and brings the arm to rest.

    Args:
        robot: Whose joints move.
        agent: Who decides, at each tick; a `RemoteAgent` is made for that.
        seconds: At most so long.
        guard_hz: Ticks per second.
        on_step: Listens to each tick.
        is_over: Asked after each tick.
        clock: Another than the system's.

    Raises:
        DeployError: The rate makes no sense, or the agent cannot go on.
        ActionError: The agent decided on something outside the robot's limits.
    """
    check_guard_hz(robot.spec, guard_hz)
    clock = clock or RealtimeClock()
    sent: list[Action] = []  # the last two

    def listen(observation: Observation, action: Action) -> None:
        sent.append(action)
        del sent[:-2]
        if on_step is not None:
            on_step(observation, action)

    num_ticks = max(1, round(seconds * guard_hz))
    with realtime() as granted:
        try:
            loop = run_episode(
                robot, agent, num_ticks, listen, is_over=is_over, clock=clock, hz=guard_hz
            )
        finally:
            if len(sent) == 2:
                _come_to_rest(robot, sent[0], sent[1], guard_hz, clock)
    return GuardReport(loop, granted.refusals)


def _come_to_rest(
    robot: Robot, before: Action, last: Action, guard_hz: float, clock: WallClock
) -> None:
    """Goes on from two commands a tick apart, slowing down as quickly as is allowed."""
    limiter, period = Limiter(robot.spec), 1.0 / guard_hz
    limiter.start(last, 0.0)
    fastest = limiter.max_velocity
    limiter.velocity = np.clip((last.astype(np.float64) - before) / period, -fastest, fastest)
    # An arm that was commanded within its limits needs no more ticks than these.
    num_ticks = int(np.ceil((fastest / limiter.max_acceleration).max() * guard_hz)) + 1
    start = clock.now()
    for tick in range(1, num_ticks + 1):
        if not limiter.velocity.any():
            return
        clock.sleep_until(start + tick * period)
        robot.act(limiter.brake(tick * period).astype(np.float32))
