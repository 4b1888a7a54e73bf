"""`demoloop record`: demonstrations, by a scripted expert or by a person at the panel."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from tqdm import tqdm

from demoloop.cli.arm_address import EMULATED, is_remote, parse_arm
from demoloop.cli.hand_options import HandOptions
from demoloop.cli.panel_options import PanelOptions
from demoloop.cli.record_live import record_emulated
from demoloop.cli.robots import SIM, check_emulated
from demoloop.datasets import (
    DatasetError,
    DatasetWriter,
    EpisodeRecorder,
    StagedEpisode,
)
from demoloop.datasets.view import recorded_contents
from demoloop.robot import RobotError, run_episode
from demoloop.robot.arms.so101 import SO101
from demoloop.sim.astray import SHARE, check_recoveries, demonstrator, leaving_out_blunders
from demoloop.sim.errors import DEAD_WORKER, SimError
from demoloop.sim.make import find_task, make_robot, marks_of
from demoloop.sim.randomize import MODERATE, Disturbance
from demoloop.sim.seeds import FIRST_TRAINING_SEED, check_training_seeds
from demoloop.sim.workers import worker_pool

EXPERT = "expert"


@dataclass(frozen=True)
class Options:
    """The scripted expert shows the task, or you do, led by a page in the browser.

    Ctrl-C keeps what is recorded.
    """

    out: Path
    """Folder of the dataset; one that is there already is continued."""
    robot: str = SIM
    """`sim`; so101:emulated, in real time and through serial bytes; ARM:PORT; or where `demoloop
    host` offers one of them, as in tcp://127.0.0.1:5558."""
    agent: str = EXPERT
    """Who shows it: the expert, or you with keyboard, gamepad, spacemouse, leader, phone or hand;
    replay does an episode again."""
    leader: str = ""
    """The arm you lead with: so101_leader:/dev/ttyACM1; on an arm at a port that is the agent."""
    cameras: str = ""
    """Of a real arm: front=/dev/v4l/by-path/…,wrist=…"""
    calibration: Path | None = None
    """Of a real arm; by default found by the serial number of its adapter."""
    leader_calibration: Path | None = None
    """Likewise of the leader."""
    webcam: str = ""
    """Where your hand is seen: /dev/v4l/by-path/…; by default the camera of the page."""
    hand: HandOptions = field(default_factory=HandOptions)
    """How it moves the arm."""
    replay: Path | None = None
    """Dataset of the episode that --agent replay does again."""
    replay_episode: int = 0
    """Which of its episodes."""
    task: str = "pick_place"
    """What to demonstrate; for a real arm also any sentence that says what to do."""
    max_seconds: float = 60.0
    """After which a demonstration of yours ends by itself."""
    countdown_s: float = 3.0
    """Before one of yours begins."""
    panel: PanelOptions = field(default_factory=PanelOptions)
    """The page in the browser."""
    episodes: int = 200
    """How many demonstrations the dataset shall have in the end."""
    seed: int = FIRST_TRAINING_SEED
    """Of the first demonstration; the following ones count up."""
    expert: int = 0
    """Which person demonstrates: another number, other habits."""
    recoveries: float = SHARE
    """Share of them that begin where a hand that missed has wandered to, if the task grasps."""
    disturbance: bool = True
    """Nudge the arm now and then, so that recoveries are demonstrated too."""
    randomize: bool = False
    """Let colours, light, cameras, friction, servos and delay differ from world to world."""
    keep_failures: bool = False
    """Keep demonstrations that did not succeed, marked as such; training leaves them out."""
    workers: int = 2
    """Processes side by side, in simulation."""
    keys: Path | None = None
    """Folder of `demoloop keys`; needed for a robot at another computer."""
    server_key: str | None = None
    """Its host's name in that folder; default is the only key trusted as policy."""


def main(options: Options) -> int:
    """Records; exit code 0."""
    options = _with_agent(options)
    if options.agent != EXPERT:
        num_episodes = _record_by_hand(options)
    elif options.robot == SIM:
        num_episodes = record_expert(options)
    else:
        num_episodes = _record_emulated(options)
    print(f"recorded: {options.out} has {num_episodes} demonstrations of {options.task}")
    print(f"next: demoloop train --data {options.out} --out {options.out.parent / 'policy'}")
    return 0


def _with_agent(options: Options) -> Options:
    """Whoever has an arm on the desk shows it themselves."""
    is_desk = options.robot != SIM and (
        is_remote(options.robot) or parse_arm(options.robot)[1] != EMULATED
    )
    if options.agent != EXPERT or not is_desk:
        return options
    if not options.leader:
        raise RobotError(
            f"nobody shows {options.robot} what to do; name the arm you lead it with, as in "
            "--leader so101_leader:/dev/ttyACM1, or another device, as in --agent keyboard"
        )
    return replace(options, agent="leader")


def _check(options: Options) -> None:
    """Refuses what cannot be recorded."""
    check_training_seeds([options.seed])
    check_recoveries(options.recoveries)
    if options.workers < 1:
        raise SimError(f"{options.workers} workers cannot record anything; ask for at least 1")
    if options.episodes < 1:
        raise SimError(f"--episodes is {options.episodes}; ask for at least 1")
    if options.expert < 0:
        raise SimError(f"--expert is {options.expert}; persons are counted from 0")


def _record_emulated(options: Options) -> int:
    """Lets the expert record in real time; returns how many episodes the dataset has."""
    arm, _ = parse_arm(options.robot)
    _check(options)
    _check_plain(options)
    check_emulated(options.robot)
    task = find_task(options.task)
    marks = marks_of(task)
    with DatasetWriter(options.out, arm.spec, marks=marks, recovers=False) as writer:
        first = _next_seed(options, task.instruction) if writer.num_episodes else options.seed
        record_emulated(options, first, writer)
    return writer.num_episodes


def _record_by_hand(options: Options) -> int:
    """Lets a person record; returns how many episodes the dataset has."""
    from demoloop.cli.record_panel import record_by_hand  # both load a web server
    from demoloop.cli.station import find_station

    _check(options)
    _check_plain(options)
    finding = find_station(
        options.robot, options.task, cameras=options.cameras, calibration=options.calibration,
        keys=options.keys, server_key=options.server_key,
    )  # fmt: skip
    with (
        finding as station,
        DatasetWriter(options.out, station.arm.spec, marks=station.marks) as writer,
    ):
        first = options.seed
        if station.world is not None and writer.num_episodes:
            first = _next_seed(options, station.instruction)
        record_by_hand(options, station, writer, count(first))
    return writer.num_episodes


def _check_plain(options: Options) -> None:
    if options.randomize:
        raise RobotError(
            "--randomize changes simulated worlds only, and the expert's; leave it out, or use sim"
        )


def record_expert(options: Options, *, progress: bool = True) -> int:
    """Records until the dataset has `options.episodes` episodes; returns how many it has.

    Episodes are committed in the order of their seeds, whichever worker is quicker, so the same
    options give the same dataset. Ctrl-C keeps what is committed.

    Raises:
        SimError: There is no such task, no worker, a worker died, or the seed is kept for judging.
        DatasetError: The folder holds something else, or the disk is full.
    """
    _check(options)
    task = find_task(options.task)
    with DatasetWriter(options.out, SO101, marks=marks_of(task), recovers=False) as writer:
        first = _next_seed(options, task.instruction) if writer.num_episodes else options.seed
        bar = tqdm(
            total=options.episodes, initial=writer.num_episodes, disable=not progress,
            desc=f"record {task.name}", unit="episode",
        )  # fmt: skip
        pool = worker_pool(options.workers)
        jobs: deque[Future[StagedEpisode | None]] = deque()
        seeds = count(first)
        with bar, pool:
            try:
                while writer.num_episodes < options.episodes:
                    while len(jobs) < 2 * options.workers:
                        jobs.append(pool.submit(_demonstrate, options, next(seeds)))
                    staged = jobs.popleft().result()
                    if staged is not None:
                        writer.commit(staged)
                        bar.update()
            except BrokenProcessPool as error:
                raise SimError(DEAD_WORKER) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        return writer.num_episodes


def _next_seed(options: Options, instruction: str) -> int:
    """Goes on after the last seed a continued dataset was recorded with.

    Raises:
        DatasetError: The dataset shows another task, which would be counted as this one.
    """
    # As recorded: an edit neither frees a seed nor makes it another task's dataset.
    episodes = [files.info for files in recorded_contents(options.out).episodes]
    for episode in episodes:
        if episode.task != instruction:
            raise DatasetError(
                f"{options.out} holds demonstrations of {episode.task!r}, not {instruction!r}; "
                "record another task into a folder of its own"
            )
    recorded = [episode.seed for episode in episodes if episode.seed is not None]
    return max([options.seed - 1, *recorded]) + 1


def _demonstrate(options: Options, seed: int) -> StagedEpisode | None:
    """Records one episode in a worker; None when it failed and failures are not kept."""
    disturbance = Disturbance() if options.disturbance else None
    randomization = MODERATE if options.randomize else None
    robot = make_robot(options.task, [seed], randomization=randomization, disturbance=disturbance)
    agent = demonstrator(robot, options.expert, options.recoveries)
    task = robot.task.instruction
    try:
        with EpisodeRecorder(options.out, task=task, seed=seed, waits=True) as recorder:
            listener = leaving_out_blunders(agent, recorder)
            run_episode(robot, agent, robot.max_steps, listener, is_over=robot.succeeded)
            success = robot.succeeded()
            if len(recorder) and (success or options.keep_failures):
                return recorder.finish(success=success)
            recorder.discard()
            return None
    finally:
        robot.close()
