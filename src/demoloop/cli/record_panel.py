"""Recording by a person, through the panel, on any robot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from demoloop.cli.benches import arm_of, is_world, open_bench
from demoloop.cli.panel import Chosen, Devices, run_with_panel
from demoloop.cli.stopping import stop_on_signals
from demoloop.datasets import DatasetWriter
from demoloop.robot.cameras import OpenCapture, open_capture
from demoloop.sim.make import find_task
from demoloop.sim.tasks import TASKS
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
    robot, is_simulated = options.robot, is_world(options.robot)
    devices = Devices(
        Chosen(
            arm_of(robot),
            options.leader,
            options.leader_calibration,
            webcam=options.webcam,
            replay=options.replay,
            replay_episode=options.replay_episode,
        )
    )
    plan = Plan(
        task=TASKS[options.task].instruction if options.task in TASKS else options.task,
        wanted=options.episodes,
        max_seconds=seconds_of(options.task, options.max_seconds)
        if is_simulated
        else options.max_seconds,
        agents=devices.names(options.agent),
        countdown_s=options.countdown_s,
        fixes_task=is_simulated,
    )
    bench = open_bench(
        robot, options.task, seeds, options.cameras, options.calibration, opens=opens
    )
    with stop_on_signals() as stop, bench as opened:
        session = Session(opened, devices.opens, plan, writer=writer, stop=stop)
        run_with_panel(session, devices, options.panel, "record", options.out)
    if stop.is_set():
        raise KeyboardInterrupt


def seconds_of(task: str, at_least: float) -> float:
    """Returns how long a person may take for a task: an expert is quicker than a beginner."""
    return max(find_task(task).max_seconds, at_least)
