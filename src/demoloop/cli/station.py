"""What `--robot` leads to: known before anything has torque, then opened as a bench to work at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from demoloop.cli.arm_address import EMULATED, is_remote, parse_arm
from demoloop.cli.benches import Seeds, SimBench, SupervisedBench
from demoloop.cli.remote_bench import RemoteBench, open_remote
from demoloop.cli.robots import SIM, check_emulated, open_emulated, open_real
from demoloop.robot import Marks, RobotError
from demoloop.robot.arms import ArmModel, find_arm
from demoloop.robot.arms.so101 import ARM
from demoloop.robot.cameras import OpenCapture, open_capture
from demoloop.sim.make import find_task, marks_of
from demoloop.sim.task import Task
from demoloop.sim.tasks import TASKS
from demoloop.teleop.bench import Bench

OpenBench = Callable[[Iterable[int]], AbstractContextManager[Bench]]
"""Opens it, with the seeds of its worlds; in the end the robot is at rest."""


@dataclass(frozen=True)
class Station:
    """A robot that was named, and what is known of it."""

    robot: str
    """As it was named."""
    arm: ArmModel
    world: Task | None
    """What stands there and judges; None: a desk, where only a person can tell."""
    instruction: str
    """What is shown there, in a sentence."""
    marks: Marks | None
    """What there is to point at."""
    open_bench: OpenBench

    def judge(self) -> Task:
        """Returns the world; raises RobotError where there is none."""
        if self.world is None:
            raise RobotError(f"--robot {self.robot}: only a world can judge; take sim")
        return self.world


@contextmanager
def find_station(
    robot: str,
    task: str,
    *,
    cameras: str = "",
    calibration: Path | None = None,
    keys: Path | None = None,
    server_key: str | None = None,
    opens: OpenCapture = open_capture,
) -> Iterator[Station]:
    """Finds the robot that `--robot` names: sim, so101:emulated, ARM:PORT, or a host's endpoint.

    Nothing moves and nothing is opened but the line to another computer, whose robot is nobody
    else's within the block.

    Args:
        robot: As in `--robot`.
        task: Of the world, where there is one; on a desk also any sentence.
        cameras: Of an arm at a port, as in `--cameras`.
        calibration: Likewise.
        keys: Folder of `demoloop keys`; needed for another computer.
        server_key: Name of that computer's key in the folder; None: the only one trusted as policy.
        opens: Another way to open a camera.

    Raises:
        RobotError: It names no robot, or something else stands there.
        SimError: There is no such task.
        DeployError: Nobody answers there, somebody else drives, or keys differ.
    """
    if is_remote(robot):
        with open_remote(robot, keys, server_key) as remote:
            if remote.task not in ("", task):
                raise RobotError(
                    f"{robot} hosts the task {remote.task!r}, not {task!r}; say "
                    f"--task {remote.task}, or --task {task} there"
                )
            arm = find_arm(remote.spec.name)
            if remote.spec != arm.spec:
                raise RobotError(
                    f"{robot} hosts an {arm.spec.name} with other joints or cameras than this "
                    "demoloop knows; install the same one on both computers"
                )
            yield _station(
                robot, arm, task, bool(remote.task),
                lambda seeds: nullcontext(RemoteBench(remote, _marks_at(task), Seeds(seeds))),
            )  # fmt: skip
    elif robot == SIM:
        yield _station(robot, ARM, task, True, lambda seeds: SimBench(task, seeds))
    elif parse_arm(robot)[1] == EMULATED:
        check_emulated(robot)
        yield _station(robot, ARM, task, True, lambda seeds: _emulated(robot, task, seeds))
    else:
        yield _station(
            robot, parse_arm(robot)[0], task, False,
            lambda _: _real(robot, task, cameras, calibration, opens),
        )  # fmt: skip


def _station(
    robot: str, arm: ArmModel, task: str, is_world: bool, open_bench: OpenBench
) -> Station:
    world = find_task(task) if is_world else None
    instruction = TASKS[task].instruction if task in TASKS else task
    return Station(robot, arm, world, instruction, _marks_at(task), open_bench)


def _marks_at(task: str) -> Marks | None:
    return marks_of(TASKS[task]) if task in TASKS else None


@contextmanager
def _emulated(robot: str, task: str, seeds: Iterable[int]) -> Iterator[Bench]:
    taken = Seeds(seeds)
    with open_emulated(robot, task, taken) as opened:
        yield SupervisedBench(opened, _marks_at(task), taken)


@contextmanager
def _real(
    robot: str, task: str, cameras: str, calibration: Path | None, opens: OpenCapture
) -> Iterator[Bench]:
    with open_real(robot, cameras, calibration, opens=opens) as opened:
        yield SupervisedBench(opened, _marks_at(task))
