"""Recording by a person, through the panel, on any robot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from demoloop.cli.panel import Chosen, Devices, run_with_panel
from demoloop.cli.station import Station
from demoloop.cli.stopping import stop_on_signals
from demoloop.datasets import DatasetWriter
from demoloop.teleop.session import Session
from demoloop.teleop.stage import Plan

if TYPE_CHECKING:
    from demoloop.cli.record import Options


def record_by_hand(
    options: Options, station: Station, writer: DatasetWriter, seeds: Iterator[int]
) -> None:
    """A person shows what to do until the dataset has enough; Ctrl-C ends it and keeps all.

    Args:
        options: Of the verb.
        station: Where.
        writer: Of the dataset.
        seeds: Of the worlds, where there are any.

    Raises:
        RobotError: Something about the arm, its leader or its cameras; the arm at rest.
        TeleopError: Something about the devices or the panel.
    """
    devices = Devices(
        Chosen(
            station.arm,
            options.leader,
            options.leader_calibration,
            webcam=options.webcam,
            hand=options.hand,
            replay=options.replay,
            replay_episode=options.replay_episode,
        )
    )
    plan = Plan(
        task=station.instruction,
        wanted=options.episodes,
        max_seconds=seconds_at(station, options.max_seconds),
        agents=devices.names(options.agent),
        countdown_s=options.countdown_s,
        fixes_task=station.world is not None,
    )
    with stop_on_signals() as stop, station.open_bench(seeds) as bench:
        session = Session(bench, devices.opens, plan, writer=writer, stop=stop)
        run_with_panel(session, devices, options.panel, "record", options.out)
    if stop.is_set():
        raise KeyboardInterrupt


def seconds_at(station: Station, at_least: float) -> float:
    """Returns how long a person may take: an expert, whose time a task has, is quicker."""
    return at_least if station.world is None else max(station.world.max_seconds, at_least)
