"""How many pairs of camera pictures a CPU second renders: `python benchmarks/rendering.py`.

Counts the process's own CPU time with the software renderer held to one thread, so that other
work on the machine does not count. The arm moves between pictures, as it does when recording.
"""

from __future__ import annotations

import os
import time

os.environ["LP_NUM_THREADS"] = "1"  # read when the renderer starts
os.environ.setdefault("MUJOCO_GL", "egl")

from demoloop.robot.arms.so101 import SO101
from demoloop.sim import make_robot

NUM_PAIRS = 500
BAR = 250  # pairs per CPU second


def main() -> None:
    """Prints one line."""
    robot = make_robot("pick_place", [0])
    robot.reset()
    expert = robot.task.make_expert(robot, 0)
    expert.reset()
    spent = 0.0
    for _ in range(NUM_PAIRS):
        start = time.process_time()
        observation = robot.observe()
        spent += time.process_time() - start
        robot.act(expert.decide(observation))
    robot.close()
    sizes = " and ".join(f"{c.name} {c.height}x{c.width}" for c in SO101.cameras)
    print(f"pick_place, {sizes}: {NUM_PAIRS / spent:.0f} pairs per CPU second (bar: {BAR})")


if __name__ == "__main__":
    main()
