"""The control loop. Recording, evaluating, deploying and taking over are all this one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from demoloop.robot.interface import Action, Agent, Observation, Robot, check_action

OnStep = Callable[[Observation, Action], None]
"""Called after each step with what was seen and the action really sent."""


class WallClock:
    """Real time."""

    def now(self) -> float:
        """Seconds, monotonic."""
        return time.monotonic()

    def sleep_until(self, deadline: float) -> None:
        """Returns at `deadline` [s], at once when it has passed."""
        time.sleep(max(0.0, deadline - self.now()))


@dataclass(frozen=True)
class LoopReport:
    """How the loop kept its time."""

    num_steps: int
    num_late: int  # steps that began after their deadline; always 0 in simulated time
    worst_lateness_s: float
    num_skipped: int = 0  # deadlines that passed without a step, because the one before took longer


def run_episode(
    robot: Robot,
    agent: Agent,
    num_steps: int,
    on_step: OnStep | None = None,
    *,
    is_over: Callable[[], bool] | None = None,
    clock: WallClock | None = None,
    hz: float | None = None,
) -> LoopReport:
    """Runs one episode of at most `num_steps` steps.

    With a `clock` steps start at whole periods after the start. Deadlines are absolute, so one slow
    step does not delay all the following ones; those that passed meanwhile are skipped and not
    made up for, since steps back to back are a leap to an arm. Without a clock it runs as fast as
    it can, which is what a simulation wants: its time passes inside `robot.act`.

    Args:
        robot: Whose joints move.
        agent: Who decides.
        num_steps: At most so many.
        on_step: Listens to each step.
        is_over: Asked after each step; the episode ends when it says so.
        clock: Keeps real time; None for simulated time.
        hz: Steps per second; None for the control rate of the robot's spec.

    Raises:
        ActionError: The agent decided on something outside the robot's limits.
    """
    period = 1.0 / (hz or robot.spec.control_hz)
    robot.reset()
    agent.reset()
    start = clock.now() if clock else 0.0
    num_late, worst, num_skipped = 0, 0.0, 0
    for step in range(num_steps):
        if clock is not None:
            deadline = start + (step + num_skipped) * period
            lateness = clock.now() - deadline
            if lateness > 0 and step > 0:
                num_late, worst = num_late + 1, max(worst, lateness)
            if lateness > period:
                missed = ceil(lateness / period)
                num_skipped += missed
                deadline += missed * period
            clock.sleep_until(deadline)
        observation = robot.observe()
        sent = robot.act(check_action(robot.spec, agent.decide(observation)))
        if on_step is not None:
            on_step(observation, sent)
        if is_over is not None and is_over():
            return LoopReport(step + 1, num_late, worst, num_skipped)
    return LoopReport(num_steps, num_late, worst, num_skipped)
