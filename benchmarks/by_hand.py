"""How often a scripted person succeeds by hand: `python benchmarks/by_hand.py [device] [episodes]`.

`pick_place` through the real device and inverse kinematics, simulated time, no pictures; 95 %
Wilson intervals, seconds, and the share of steps in which nothing was commanded to move. Exit code
1 when the keyboard is below its bar. With a third word, a folder, it records what succeeds, with
pictures, as a dataset that `demoloop train` takes (MUJOCO_GL=egl where there is no screen).
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from person_fingers import ByHand, KeyFingers, PhoneFingers, StickFingers
from person_hand import BareHanded

from demoloop.datasets import DatasetWriter, EpisodeRecorder
from demoloop.robot import Action, Agent, LoopReport, Observation, OnStep, run_episode
from demoloop.robot.arms.so101 import SO101
from demoloop.sim import make_robot
from demoloop.sim.evaluate import wilson_interval
from demoloop.sim.robot import SimRobot
from demoloop.sim.seeds import FIRST_TRAINING_SEED

PEOPLE: dict[str, Callable[[SimRobot], Agent]] = {
    "keyboard": partial(ByHand, KeyFingers),
    "gamepad": partial(ByHand, StickFingers),
    "phone": partial(ByHand, PhoneFingers),
    "hand": BareHanded,
}
BAR = {"keyboard": 90}  # of 100


def drive(robot: SimRobot, device: str, listen: OnStep) -> LoopReport:
    """One episode: a person at `device`."""
    person = PEOPLE[device](robot)
    return run_episode(robot, person, robot.max_steps, listen, is_over=robot.succeeded)


def by_hand(device: str, seed: int) -> tuple[bool, float, float]:
    """Returns success, simulated seconds, and the share of idle steps."""
    robot = make_robot("pick_place", [seed], spec=replace(SO101, cameras=()))
    actions: list[Action] = []

    def listen(observation: Observation, action: Action) -> None:
        actions.append(action)

    report = drive(robot, device, listen)
    moved = np.abs(np.diff(np.array(actions), axis=0)).max(axis=1)
    idle = float((moved < 1e-4).mean())
    return robot.succeeded(), report.num_steps / SO101.control_hz, idle


def record(device: str, count: int, out: Path) -> None:
    """Records `count` successes into a dataset at `out`."""
    with DatasetWriter(out, SO101) as writer:
        for seed in itertools.count(FIRST_TRAINING_SEED):
            if writer.num_episodes >= count:
                return
            robot = make_robot("pick_place", [seed])
            task = robot.task.instruction
            with EpisodeRecorder(out, task=task, seed=seed, waits=True) as recorder:
                drive(robot, device, recorder)
                if robot.succeeded():
                    writer.commit(recorder.finish(success=True))
                else:
                    recorder.discard()
            robot.close()
            print(f"\r{writer.num_episodes} of {count}", end="", flush=True)


def main() -> int:
    """Prints one line per device."""
    devices = [sys.argv[1]] if len(sys.argv) > 1 else list(PEOPLE)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    if len(sys.argv) > 3:
        record(devices[0], count, Path(sys.argv[3]))
        return 0
    is_missed = False
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for device in devices:
            done = list(pool.map(partial(by_hand, device), range(count), chunksize=5))
            good = [seconds for success, seconds, _ in done if success]
            low, high = wilson_interval(len(good), count)
            print(
                f"{device:9} {len(good)} of {count} ({100 * low:.0f} to {100 * high:.0f} %), "
                f"median {median(good) if good else float('nan'):.1f} s, "
                f"idle {100 * float(np.mean([idle for _, _, idle in done])):.0f} % of steps; "
                f"failed: {[seed for seed, (success, _, _) in enumerate(done) if not success]}"
            )
            is_missed |= len(good) * 100 < BAR.get(device, 0) * count
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())
