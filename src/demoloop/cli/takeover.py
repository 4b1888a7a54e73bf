"""`demoloop takeover`: a policy works, a person corrects it, and who did what is recorded."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import tyro

from demoloop.cli.arm_address import EMULATED
from demoloop.cli.evaluate import PolicyAgent
from demoloop.cli.hand_options import HandOptions
from demoloop.cli.panel import LEADER, Chosen, Devices, run_with_panel
from demoloop.cli.panel_options import PanelOptions
from demoloop.cli.station import Station, find_station
from demoloop.cli.stopping import stop_on_signals
from demoloop.datasets import DatasetWriter
from demoloop.datasets.view import recorded_contents
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.robot import RobotError
from demoloop.sim.seeds import FIRST_TRAINING_SEED, check_training_seeds
from demoloop.teleop.session import Session
from demoloop.teleop.stage import Plan


@dataclass(frozen=True)
class Options:
    """A policy works, led by a page in the browser; take the arm there, and give it back.

    Ctrl-C ends the session and keeps what is recorded.
    """

    policy: tyro.conf.Positional[Path]
    """ONNX file that `demoloop export` wrote."""
    out: Path
    """Folder of the dataset of corrections; one that is there already is continued."""
    robot: str = f"so101:{EMULATED}"
    """sim, so101:emulated, ARM:PORT, or where `demoloop host` offers one of them."""
    keys: Path | None = None
    """Folder of `demoloop keys`; needed for a robot at another computer."""
    server_key: str | None = None
    """Its host's name in that folder; default is the only key trusted as policy."""
    agent: str = ""
    """What you correct it with: keyboard, gamepad, spacemouse, phone, hand or leader; by default
    the leader where there is one, else the keyboard."""
    leader: str = ""
    """The arm you lead with: so101_leader:/dev/ttyACM1. Only its movement counts, not its pose."""
    webcam: str = ""
    """Where your hand is seen: /dev/v4l/by-path/…; by default the camera of the page."""
    hand: HandOptions = field(default_factory=HandOptions)
    """How it moves the arm."""
    task: str = "pick_place"
    """A task of the simulation; for a real arm also any sentence that says what to do."""
    episodes: int = 10
    """How many to record now."""
    seed: int = FIRST_TRAINING_SEED
    """Of the first world; the following ones count up."""
    max_seconds: float = 60.0
    """After which an episode on a real arm ends by itself."""
    countdown_s: float = 1.0
    """Before the policy begins."""
    cameras: str = ""
    """Of a real arm: front=/dev/v4l/by-path/…,wrist=…"""
    calibration: Path | None = None
    """Of a real arm; by default found by the serial number of its adapter."""
    leader_calibration: Path | None = None
    """Likewise of the leader."""
    panel: PanelOptions = field(default_factory=PanelOptions)
    """The page in the browser."""


def main(options: Options) -> int:
    """Records; exit code 0."""
    if options.episodes < 1:
        raise RobotError(f"--episodes is {options.episodes}; ask for at least 1")
    finding = find_station(
        options.robot, options.task, cameras=options.cameras, calibration=options.calibration,
        keys=options.keys, server_key=options.server_key,
    )  # fmt: skip
    with finding as station, stop_on_signals() as stop:
        num_episodes = _correct(options, station, stop)
    print(f"recorded: {options.out} has {num_episodes} episodes")
    if stop.is_set():
        raise KeyboardInterrupt
    return 0


def _correct(options: Options, station: Station, stop: threading.Event) -> int:
    """Holds the session; returns how many episodes the dataset has."""
    seeds: Iterable[int] = ()
    if station.world is not None:
        check_training_seeds([options.seed])
        seeds = count(_next_seed(options))
    chosen = Chosen(
        station.arm, options.leader, options.leader_calibration, is_relative=True,
        webcam=options.webcam, hand=options.hand,
    )  # fmt: skip
    devices = Devices(chosen)
    agents = devices.names(options.agent or (LEADER if options.leader else "keyboard"))
    # A bad file is refused before an arm has torque.
    OnnxPolicy.load(options.policy, station.arm.spec)
    with (
        DatasetWriter(options.out, station.arm.spec, marks=station.marks) as writer,
        station.open_bench(seeds) as bench,
    ):
        world = station.world
        plan = Plan(
            task=station.instruction,
            wanted=writer.num_episodes + options.episodes,
            max_seconds=options.max_seconds if world is None else world.max_seconds,
            agents=agents,
            countdown_s=options.countdown_s,
            fixes_task=world is not None,
        )
        policy = PolicyAgent(options.policy)(bench.robot)
        session = Session(bench, devices.opens, plan, writer=writer, policy=policy, stop=stop)
        run_with_panel(session, devices, options.panel, "takeover", options.out)
    return writer.num_episodes


def _next_seed(options: Options) -> int:
    """Goes on after the last seed of a dataset that is continued."""
    if not (options.out / "meta").exists():
        return options.seed
    recorded = [files.info.seed for files in recorded_contents(options.out).episodes]
    return max([options.seed - 1, *(seed for seed in recorded if seed is not None)]) + 1
