"""How often the scripted experts succeed: `python benchmarks/experts.py [episodes]`.

Every task, calm and with somebody nudging the arm, with 95 % Wilson intervals. No pictures are
rendered: an expert looks at the simulation itself.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from statistics import median

from demoloop.robot import run_episode
from demoloop.robot.arms.so101 import SO101
from demoloop.sim import TASKS, make_robot
from demoloop.sim.evaluate import wilson_interval
from demoloop.sim.randomize import Disturbance

BAR = {"pick_place": 98}  # of 100
OTHER_BAR = 95


def seconds_to_success(task: str, disturbed: bool, seed: int) -> float | None:
    """Returns simulated seconds, None when the expert failed."""
    disturbance = Disturbance() if disturbed else None
    robot = make_robot(task, [seed], spec=replace(SO101, cameras=()), disturbance=disturbance)
    expert = robot.task.make_expert(robot, 0)
    report = run_episode(robot, expert, robot.max_steps, is_over=robot.succeeded)
    return report.num_steps / SO101.control_hz if robot.succeeded() else None


def main() -> None:
    """Prints one line per task and condition."""
    num_episodes = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for task in TASKS:
            for disturbed in (False, True):
                run = partial(seconds_to_success, task, disturbed)
                times = list(pool.map(run, range(num_episodes), chunksize=5))
                good = [time for time in times if time is not None]
                low, high = wilson_interval(len(good), num_episodes)
                print(
                    f"{task:10} {'disturbed' if disturbed else 'calm':9} "
                    f"{len(good)} of {num_episodes} ({100 * low:.0f} to {100 * high:.0f} %), "
                    f"median {median(good) if good else float('nan'):.1f} s; "
                    f"bar: {BAR.get(task, OTHER_BAR)} of 100"
                )


if __name__ == "__main__":
    main()
