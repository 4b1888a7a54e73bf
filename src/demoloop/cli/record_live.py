"""Recording in real time: the expert at the emulated arm."""

from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING

from tqdm import tqdm

from demoloop.cli.robots import Opened, open_emulated
from demoloop.cli.stopping import stop_on_signals
from demoloop.datasets import DatasetWriter, EpisodeRecorder
from demoloop.robot import Agent, WallClock, run_episode
from demoloop.robot.safety import SafetyError
from demoloop.sim.astray import demonstrator, leaving_out_blunders
from demoloop.sim.errors import SimError

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


def _say_drops(recorder: EpisodeRecorder) -> None:
    for camera, number in recorder.drops.items():
        if number:
            tqdm.write(f"{camera}: {number} pictures dropped, the disk was too slow")
