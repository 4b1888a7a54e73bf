"""`demoloop takeover`: a policy works, a person corrects it, and who did what is recorded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count, islice, repeat
from pathlib import Path

import tyro

from demoloop.cli.arm_address import EMULATED, parse_arm
from demoloop.cli.evaluate import PolicyAgent
from demoloop.cli.keyboard import ENTER, ESCAPE, Keyboard
from demoloop.cli.robots import Opened, open_emulated, open_leader, open_real
from demoloop.cli.stopping import stop_on_signals
from demoloop.datasets import DatasetWriter, EpisodeRecorder
from demoloop.datasets.view import recorded_contents
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.robot import RobotError, WallClock, run_episode
from demoloop.sim.make import find_task, marks_of
from demoloop.sim.seeds import FIRST_TRAINING_SEED, check_training_seeds
from demoloop.sim.tasks import TASKS
from demoloop.teleop import Leader, Takeover, marking


@dataclass(frozen=True)
class Options:
    """A policy works until you press t and lead the arm yourself; g gives it back.

    Enter ends an episode, Esc stops the arm, Ctrl-C ends the session and keeps what is recorded.
    """

    policy: tyro.conf.Positional[Path]
    """ONNX file that `demoloop export` wrote."""
    out: Path
    """Folder of the dataset of corrections; one that is there already is continued."""
    robot: str = f"so101:{EMULATED}"
    """ARM:PORT, or so101:emulated."""
    leader: str = f"so101_leader:{EMULATED}"
    """The arm you lead with; an emulated one lies still, so that taking over stops the robot."""
    task: str = "pick_place"
    """A task of the simulation; for a real arm also any sentence that says what to do."""
    episodes: int = 10
    """How many to record now."""
    seed: int = FIRST_TRAINING_SEED
    """Of the first emulated episode; the following ones count up."""
    max_seconds: float = 60.0
    """After which an episode on a real arm ends by itself."""
    cameras: str = ""
    """Of a real arm: front=/dev/v4l/by-path/…,wrist=…"""
    calibration: Path | None = None
    """Of a real arm; by default found by the serial number of its adapter."""
    leader_calibration: Path | None = None
    """Likewise of the leader."""


def main(options: Options) -> int:
    """Records; exit code 0."""
    if options.episodes < 1:
        raise RobotError(f"--episodes is {options.episodes}; ask for at least 1")
    arm, port = parse_arm(options.robot)
    opening: AbstractContextManager[Opened]
    if port == EMULATED:
        marks = marks_of(find_task(options.task))
        check_training_seeds([options.seed])
        first = _next_seed(options)
        seeds: Iterator[int | None] = count(first)
        opening = open_emulated(options.robot, options.task, count(first))
    else:
        seeds, marks = repeat(None), None
        opening = open_real(options.robot, options.cameras, options.calibration)
    OnnxPolicy.load(options.policy, arm.spec)  # a bad file is refused before an arm has torque
    with (
        DatasetWriter(options.out, arm.spec, marks=marks) as writer,
        stop_on_signals() as stop,
        open_leader(options.leader, options.leader_calibration) as leader,
        opening as opened,
        Keyboard() as keyboard,
    ):
        policy = PolicyAgent(options.policy)(opened.robot)
        following = Leader(leader, opened.robot.spec, is_relative=True)
        session = _Session(options, opened, Takeover(policy, following), keyboard, writer, stop)
        print("t takes over, g gives back, Enter ends an episode, Esc stops the arm.", flush=True)
        for seed in islice(seeds, options.episodes):
            if stop.is_set():
                break
            session.record(seed)
    print(f"recorded: {options.out} has {writer.num_episodes} episodes")
    if stop.is_set():
        raise KeyboardInterrupt
    return 0


@dataclass
class _Session:
    """What stays the same from one episode to the next."""

    options: Options
    opened: Opened
    takeover: Takeover
    keyboard: Keyboard
    writer: DatasetWriter
    stop: threading.Event

    def record(self, seed: int | None) -> None:
        """Runs one episode and keeps it, however it ended."""
        options, opened = self.options, self.opened
        robot, world = opened.robot, opened.world
        task = TASKS[options.task].instruction if options.task in TASKS else options.task
        seconds = options.max_seconds if world is None else world.task.max_seconds
        steps = max(1, round(seconds * robot.spec.control_hz))
        with EpisodeRecorder(options.out, task=task, seed=seed, waits=False) as recorder:
            for event in opened.events:
                recorder.note(event)
            on_step, clock = marking(self.takeover, recorder), WallClock()
            run_episode(robot, self.takeover, steps, on_step, is_over=self._is_over, clock=clock)
            with opened.held():
                success = opened.succeeded()
                self.writer.commit(recorder.finish(success=success))
        verdict = {True: "solved", False: "not solved", None: "kept"}[success]
        print(f"{'' if seed is None else f'seed {seed}: '}{verdict}", flush=True)

    def _is_over(self) -> bool:
        """Hears the keys, and says whether the episode ends."""
        keys = self.keyboard.pressed()
        for key in keys:
            if key == "t":
                self.takeover.take()
                print("yours", flush=True)
            elif key == "g":
                self.takeover.give_back()
                print("the policy's", flush=True)
            elif key == ESCAPE:
                self.opened.supervised.estop("Esc")
        is_over = self.opened.succeeded() or ENTER in keys or self.stop.is_set()
        return bool(is_over)


def _next_seed(options: Options) -> int:
    """Goes on after the last seed of a dataset that is continued."""
    if not (options.out / "meta").exists():
        return options.seed
    recorded = [files.info.seed for files in recorded_contents(options.out).episodes]
    return max([options.seed - 1, *(seed for seed in recorded if seed is not None)]) + 1
