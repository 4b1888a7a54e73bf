"""The control loop. Recording, evaluating, deploying and taking over are all this one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

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


def run_episode(
    robot: Robot,
    agent: Agent,
    num_steps: int,
    on_step: OnStep | None = None,
    *,
    is_over: Callable[[], bool] | None = None,
    clock: WallClock | None = None,
) -> LoopReport:
    """Runs one episode of at most `num_steps` steps.

    With a `clock` step i starts at start + i / control_hz. Deadlines are absolute, so one slow
    step does not delay all the following ones. Without one it runs as fast as it can, which is
    what a simulation wants: its time passes inside `robot.act`.

    Args:
        robot: Whose joints move.
        agent: Who decides.
        num_steps: At most so many.
        on_step: Listens to each step.
        is_over: Asked after each step; the episode ends when it says so.
        clock: Keeps real time; None for simulated time.

    Raises:
        ActionError: The agent decided on something outside the robot's limits.
    """
    period = 1.0 / robot.spec.control_hz
    robot.reset()
    agent.reset()
    start = clock.now() if clock else 0.0
    num_late, worst = 0, 0.0
    for step in range(num_steps):
        if clock is not None:
            deadline = start + step * period
            lateness = clock.now() - deadline
            if lateness > 0 and step > 0:
                num_late, worst = num_late + 1, max(worst, lateness)
            clock.sleep_until(deadline)
        observation = robot.observe()
        sent = robot.act(check_action(robot.spec, agent.decide(observation)))
        if on_step is not None:
            on_step(observation, sent)
        if is_over is not None and is_over():
            return LoopReport(step + 1, num_late, worst)
    return LoopReport(num_steps, num_late, worst)
