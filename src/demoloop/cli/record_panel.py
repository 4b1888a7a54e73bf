"""Recording by a person, through the panel, on any robot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from demoloop.cli.arm_address import EMULATED, parse_arm
from demoloop.cli.benches import Seeds, SimBench, SupervisedBench
from demoloop.cli.panel import Devices, run_with_panel
from demoloop.cli.robots import SIM, open_emulated, open_real
from demoloop.cli.stopping import stop_on_signals
from demoloop.datasets import DatasetWriter
from demoloop.robot.arms.arm_model import ArmModel
from demoloop.robot.arms.so101 import ARM
from demoloop.robot.cameras import OpenCapture, open_capture
from demoloop.sim.make import find_task
from demoloop.sim.tasks import TASKS
from demoloop.teleop.bench import Bench
from demoloop.teleop.inputs import Inputs
from demoloop.teleop.session import Session
from demoloop.teleop.stage import Plan

if TYPE_CHECKING:
    from demoloop.cli.record import Options


def record_by_hand(
    options: Options, writer: DatasetWriter, seeds: Iterator[int], opens: OpenCapture = open_capture
) -> None:
    """A person shows what to do until the dataset has enough; Ctrl-C ends it and keeps all.

    Args:
        options: Of the verb.
        writer: Of the dataset.
        seeds: Of the worlds, where there are any.
        opens: Another way to open a camera.

    Raises:
        RobotError: Something about the arm, its leader or its cameras; the arm at rest.
        TeleopError: Something about the devices or the panel.
    """
    inputs = Inputs()
    arm = arm_of(options.robot)
    devices = Devices(arm, inputs, options.leader, options.leader_calibration)
    agents = devices.names(options.agent)
    is_world = options.robot == SIM or options.robot.endswith(f":{EMULATED}")
    task = TASKS[options.task].instruction if options.task in TASKS else options.task
    seconds = find_task(options.task).max_seconds if is_world else options.max_seconds
    with stop_on_signals() as stop, open_bench(options, seeds, opens) as bench:
        plan = Plan(
            task=task,
            wanted=options.episodes,
            max_seconds=max(seconds, options.max_seconds),
            agents=agents,
            countdown_s=options.countdown_s,
            fixes_task=is_world,
        )
        session = Session(bench, devices.opens, plan, writer=writer, stop=stop)
        run_with_panel(session, inputs, options.panel, "record", options.out)
    if stop.is_set():
        raise KeyboardInterrupt


def arm_of(robot: str) -> ArmModel:
    """Returns which arm `--robot` names; the simulated one is the SO-101."""
    return ARM if robot == SIM else parse_arm(robot)[0]


@contextmanager
def open_bench(
    options: Options, seeds: Iterator[int], opens: OpenCapture = open_capture
) -> Iterator[Bench]:
    """Opens the robot that `--robot` names."""
    if options.robot == SIM:
        with SimBench(options.task, seeds) as bench:
            yield bench
    elif options.robot.endswith(f":{EMULATED}"):
        taken = Seeds(seeds)
        with open_emulated(options.robot, options.task, taken) as opened:
            yield SupervisedBench(opened, taken)
    else:
        with open_real(options.robot, options.cameras, options.calibration, opens=opens) as opened:
            yield SupervisedBench(opened)
