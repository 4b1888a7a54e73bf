"""How often an agent succeeds where time is real: on the emulated arm, or on a hosted world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from demoloop.robot import Agent, Robot, WallClock, run_episode
from demoloop.robot.safety import SafetyError
from demoloop.sim.emulated import EmulatedRobot
from demoloop.sim.evaluate import EpisodeResult, Evaluation, MakeAgent, check_misleads
from demoloop.sim.make import find_task
from demoloop.sim.seeds import check_evaluation_seeds


class Judge(Protocol):
    """Who tells how an episode in real time goes."""

    @property
    def seconds(self) -> float:
        """Since it began."""
        ...

    def is_over(self) -> bool:
        """Whether it has succeeded, or its time is up."""
        ...

    def succeeded(self) -> bool | None:
        """Whether the task is solved."""
        ...


def run_live(
    robot: Robot, agent: Agent, seed: int, most: int, judge: Judge, say: Callable[[str], object]
) -> EpisodeResult:
    """Runs one episode in real time; one in which the robot stops has failed.

    Args:
        robot: Brought to where it begins by its `reset`.
        agent: Decides.
        seed: Of the world.
        most: Steps.
        judge: Of the world.
        say: Takes the sentence of a robot that stopped.
    """
    num_steps = 0

    def count(*_: object) -> None:
        nonlocal num_steps
        num_steps += 1

    try:
        run_episode(robot, agent, most, count, is_over=judge.is_over, clock=WallClock())
    except SafetyError as error:
        say(f"seed {seed}: {error}")
        return EpisodeResult(seed, False, num_steps, judge.seconds, None)
    return EpisodeResult(seed, bool(judge.succeeded()), num_steps, judge.seconds, None)


def judge_live(
    task: str,
    run: Callable[[int], EpisodeResult],
    bar: tqdm[int],
    folder: Path | None = None,
    *,
    misleads: bool = False,
) -> Evaluation:
    """Runs one episode after the other, in real time.

    Args:
        task: Name of the task.
        run: Judges the episode of a seed.
        bar: Over the seeds.
        folder: Where to write `evaluation.json`.
        misleads: As for `evaluate`.
    """
    results: list[EpisodeResult] = []
    for seed in bar:
        results.append(run(seed))
        bar.set_postfix_str(f"{sum(r.success for r in results)} succeeded")
    evaluation = Evaluation(task, tuple(results), misleads=misleads)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        evaluation.save(folder / "evaluation.json")
    return evaluation


def evaluate_emulated(
    task: str,
    make_agent: MakeAgent,
    seeds: Sequence[int],
    *,
    folder: Path | None = None,
    misleads: bool = False,
    progress: bool = True,
) -> Evaluation:
    """Runs one episode per seed on the emulated arm, one after the other and in real time.

    An episode in which the supervisor stops the arm has failed. Arguments as for `evaluate`; no
    video.

    Raises:
        SimError: There is no such task or no seed, or a seed belongs to training.
        RobotError: The emulator did not start.
    """
    check_evaluation_seeds(seeds)
    check_misleads(task, misleads)
    bar = tqdm(seeds, desc=f"evaluate {task}, emulated", unit="episode", disable=not progress)
    with EmulatedRobot(find_task(task), seeds, misleads=misleads) as robot:
        agent = make_agent(robot)

        def run(seed: int) -> EpisodeResult:
            return run_live(robot, agent, seed, robot.max_steps, robot, bar.write)

        return judge_live(task, run, bar, folder, misleads=misleads)
