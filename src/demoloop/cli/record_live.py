"""Recording in real time: an expert at the emulated arm, or a person who leads one on the desk."""

from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING

from tqdm import tqdm

from demoloop.cli.keyboard import ENTER, ESCAPE, Keyboard
from demoloop.cli.robots import Opened, open_emulated, open_leader, open_real
from demoloop.cli.stopping import stop_on_signals
from demoloop.datasets import DatasetWriter, EpisodeRecorder
from demoloop.robot import Agent, WallClock, run_episode
from demoloop.robot.cameras import OpenCapture, open_capture
from demoloop.robot.safety import SafetyError
from demoloop.sim.astray import demonstrator, leaving_out_blunders
from demoloop.sim.errors import SimError
from demoloop.teleop import Leader

if TYPE_CHECKING:
    from demoloop.cli.record import Options

_MOST_FAILURES = 20  # in a row; then something else is wrong than an expert who fumbled


def record_emulated(options: Options, first_seed: int, writer: DatasetWriter) -> None:
    """The expert demonstrates at the emulated arm until the dataset has enough; Ctrl-C ends it.

    Raises:
        RobotError: The emulator did not start.
        SimError: No demonstration succeeds any more.
    """
    with (
        stop_on_signals() as stop,
        open_emulated(
            options.robot, options.task, count(first_seed), is_disturbed=options.disturbance
        ) as opened,
        tqdm(total=options.episodes, initial=writer.num_episodes, unit="episode") as bar,
    ):
        assert opened.world is not None
        agent = demonstrator(opened.world, options.expert, options.recoveries)
        num_failures = 0
        for seed in count(first_seed):
            if writer.num_episodes >= options.episodes or stop.is_set():
                break
            if _demonstrate(options, opened, agent, seed, writer, stop):
                num_failures = 0
                bar.update()
            elif not stop.is_set():
                num_failures += 1
            if num_failures == _MOST_FAILURES:
                raise SimError(
                    f"{num_failures} demonstrations in a row have failed on {options.robot}; is "
                    "enough of the CPU left to draw its cameras? See `demoloop doctor`"
                )
    if stop.is_set():
        raise KeyboardInterrupt


def _demonstrate(
    options: Options,
    opened: Opened,
    agent: Agent,
    seed: int,
    writer: DatasetWriter,
    stop: threading.Event,
) -> bool:
    """Records one episode of the expert; returns whether it was kept."""
    world = opened.world
    assert world is not None

    def is_over() -> bool:
        return world.is_over() or stop.is_set()

    task = world.task.instruction
    with EpisodeRecorder(options.out, task=task, seed=seed, waits=False) as recorder:
        listener = leaving_out_blunders(agent, recorder)
        try:
            steps = world.max_steps
            run_episode(world, agent, steps, listener, is_over=is_over, clock=WallClock())
        except SafetyError as error:
            tqdm.write(f"seed {seed}: {error}")
        success = world.succeeded()
        if len(recorder) and not stop.is_set() and (success or options.keep_failures):
            _say_drops(recorder)
            writer.commit(recorder.finish(success=success))
            return True
        recorder.discard()
        return False


def record_led(
    options: Options, writer: DatasetWriter, instruction: str, opens: OpenCapture = open_capture
) -> None:
    """A person leads the arm on the desk; Ctrl-C ends it and keeps what is recorded.

    Args:
        options: Of the verb.
        writer: Of the dataset.
        instruction: What is shown, in a sentence.
        opens: Another way to open a camera.

    Raises:
        RobotError: Something about the arm, its leader or its cameras; the arm at rest.
    """
    with (
        stop_on_signals() as stop,
        open_leader(options.leader, options.leader_calibration) as arm,
        open_real(options.robot, options.cameras, options.calibration, opens=opens) as opened,
        Keyboard() as keyboard,
    ):
        leader = Leader(arm, opened.robot.spec)
        print("Enter ends a demonstration, Esc stops the arm, Ctrl-C ends the session.")
        while writer.num_episodes < options.episodes and not stop.is_set():
            print(f"demonstration {writer.num_episodes + 1} of {options.episodes}", flush=True)
            if _lead(options, opened, leader, keyboard, writer, instruction, stop):
                break
    if stop.is_set():
        raise KeyboardInterrupt


def _lead(
    options: Options,
    opened: Opened,
    leader: Leader,
    keyboard: Keyboard,
    writer: DatasetWriter,
    instruction: str,
    stop: threading.Event,
) -> bool:
    """Records one demonstration and asks what becomes of it; returns whether to end."""
    said = ""

    def is_over() -> bool:
        nonlocal said
        if leader.status != said:
            said = leader.status
            print(said or "following", flush=True)
        keys = keyboard.pressed()
        if ESCAPE in keys:
            opened.supervised.estop("Esc")
        return ENTER in keys or stop.is_set()

    robot = opened.robot
    steps = max(1, round(options.max_seconds * robot.spec.control_hz))
    with EpisodeRecorder(options.out, task=instruction, waits=False) as recorder:
        for event in opened.events:
            recorder.note(event)
        run_episode(robot, leader, steps, recorder, is_over=is_over, clock=WallClock())
        with opened.held():
            # What was shown when Ctrl-C came is kept: it can be dropped, but not shown again.
            answer = "k" if stop.is_set() else keyboard.choose(
                f"{len(recorder)} steps: keep (k), redo (r), discard and end (q)?", "krq"
            )  # fmt: skip
            if answer == "k":
                _say_drops(recorder)
                writer.commit(recorder.finish())
            else:
                recorder.discard()
    return answer == "q"


def _say_drops(recorder: EpisodeRecorder) -> None:
    for camera, number in recorder.drops.items():
        if number:
            tqdm.write(f"{camera}: {number} pictures dropped, the disk was too slow")
