"""How often an agent succeeds, on which seeds, how fast, and what it looked like."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
from tqdm import tqdm

from demoloop.robot import Agent, OnStep, run_episode
from demoloop.sim.emulated import EmulatedRobot
from demoloop.sim.errors import DEAD_WORKER, SimError
from demoloop.sim.film import STEPS_PER_FRAME, Film
from demoloop.sim.make import find_task, make_robot
from demoloop.sim.randomize import Randomization
from demoloop.sim.robot import SimRobot
from demoloop.sim.seeds import check_evaluation_seeds
from demoloop.sim.tasks import TASKS
from demoloop.sim.workers import worker_pool

MakeAgent = Callable[[SimRobot | EmulatedRobot], Agent]
"""Builds the agent inside a worker process: a function of a module, or a dataclass instance."""

_SHARE = 5  # episodes a worker does in one go: a world and its renderers take 0.15 s to build


@dataclass(frozen=True)
class EpisodeResult:
    """One episode."""

    seed: int
    success: bool
    num_steps: int
    seconds: float  # of simulated time
    video: str | None  # file name beside the JSON


@dataclass(frozen=True)
class Evaluation:
    """All episodes of one agent at one task, in the order of their seeds."""

    task: str
    episodes: tuple[EpisodeResult, ...]
    randomization: Randomization | None = None  # how much the worlds differed
    misleads: bool = False  # whoever pointed pointed at what was not meant

    @property
    def num_successes(self) -> int:
        """How many succeeded."""
        return sum(episode.success for episode in self.episodes)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the success rate."""
        return wilson_interval(self.num_successes, len(self.episodes))

    @property
    def median_seconds(self) -> float | None:
        """Median time to success, None without any."""
        times = [episode.seconds for episode in self.episodes if episode.success]
        return median(times) if times else None

    def summary(self) -> str:
        """One sentence with everything a number needs to be believed."""
        low, high = self.interval
        seeds = [episode.seed for episode in self.episodes]
        time = "" if self.median_seconds is None else f", median {self.median_seconds:.1f} s"
        where = " in randomised worlds" if self.randomization else ""
        where += " with misleading marks" if self.misleads else ""
        return (
            f"{self.task}: {self.num_successes} of {len(seeds)} succeeded{where} "
            f"(95 % interval {100 * low:.0f} to {100 * high:.0f} %, "
            f"seeds {min(seeds)} to {max(seeds)}{time})"
        )

    def to_json(self) -> dict[str, object]:
        """Returns plain JSON values."""
        low, high = self.interval
        return {
            "task": self.task,
            "randomization": asdict(self.randomization) if self.randomization else None,
            "misleading_marks": self.misleads,
            "successes": self.num_successes,
            "episodes": len(self.episodes),
            "interval": [low, high],
            "median_seconds": self.median_seconds,
            "results": [asdict(episode) for episode in self.episodes],
        }

    def save(self, path: Path) -> None:
        """Writes JSON."""
        path.write_text(json.dumps(self.to_json(), indent=2))


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """Returns the 95 % interval of a rate, as fractions (Wilson 1927, JASA 22, p. 209).

    Unlike two sigma either way it is honest near 0 and 1.
    """
    if not 0 <= successes <= total or total < 1:
        raise ValueError(f"{successes} successes of {total} episodes make no rate")
    z = 1.959964
    rate, weight = successes / total, z * z / total
    centre = (rate + weight / 2) / (1 + weight)
    half = z * np.sqrt(rate * (1 - rate) / total + weight / (4 * total)) / (1 + weight)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def evaluate(
    task: str,
    make_agent: MakeAgent,
    seeds: Sequence[int],
    *,
    workers: int = 2,
    folder: Path | None = None,
    video: bool = True,
    randomization: Randomization | None = None,
    acting_hz: float | None = None,
    misleads: bool = False,
    progress: bool = True,
) -> Evaluation:
    """Runs one episode per seed and returns what came of each.

    Args:
        task: Name of the task.
        make_agent: Called in a worker process, for a few episodes each time.
        seeds: For judging, so none that is recorded with.
        workers: Processes side by side; the results do not depend on it.
        folder: Where to write `evaluation.json` and the videos, failures first.
        video: Films every episode, at some 2 ms of CPU per control step.
        randomization: How much the worlds differ; None for the plain one.
        acting_hz: Actions per second, for an agent that ticks like a guard; None for the control
            rate.
        misleads: The control experiment of a policy that is told by marks: whoever points, points
            at what is not meant, and who listens must fail.
        progress: Shows a bar.

    Raises:
        SimError: There is no such task or no seed, a seed belongs to training, nobody points in
            this task, or a worker died.
    """
    check_evaluation_seeds(seeds)
    if workers < 1:
        raise SimError(f"{workers} workers cannot judge anything; ask for at least 1")
    check_misleads(task, misleads)  # also that there is such a task
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SimError(
                f"{folder} cannot be made: {error.strerror}; choose another folder for the videos"
            ) from error
    films = folder if video else None
    world = (randomization, acting_hz, misleads)
    shares = [list(seeds[i : i + _SHARE]) for i in range(0, len(seeds), _SHARE)]
    results: list[EpisodeResult] = []
    bar = tqdm(total=len(seeds), desc=f"evaluate {task}", unit="episode", disable=not progress)
    with bar, worker_pool(workers) as pool:
        try:
            jobs = [
                pool.submit(_run_share, task, make_agent, share, films, *world) for share in shares
            ]
            for job in as_completed(jobs):
                results += job.result()
                bar.update(len(results) - bar.n)
                bar.set_postfix_str(f"{sum(r.success for r in results)} succeeded")
        except BrokenProcessPool as error:
            raise SimError(DEAD_WORKER) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    results.sort(key=lambda result: result.seed)
    evaluation = Evaluation(task, tuple(results), randomization, misleads)
    if folder is not None:
        evaluation.save(folder / "evaluation.json")
    return evaluation


def check_misleads(task: str, misleads: bool) -> None:
    """Raises SimError for misleading marks where there are none."""
    if find_task(task).pointing is None and misleads:
        telling = [name for name, one in TASKS.items() if one.pointing is not None]
        raise SimError(
            f"nobody points at anything in {task}, so nobody can mislead; the tasks with marks "
            f"are {', '.join(telling)}"
        )


def _run_share(
    task: str,
    make_agent: MakeAgent,
    seeds: list[int],
    films: Path | None,
    randomization: Randomization | None = None,
    acting_hz: float | None = None,
    misleads: bool = False,
) -> list[EpisodeResult]:
    robot = make_robot(
        task, seeds, randomization=randomization, acting_hz=acting_hz, misleads=misleads
    )
    try:
        agent = make_agent(robot)
        if films is None:
            return [_run_one(robot, agent, seed) for seed in seeds]
        return [_film_one(robot, agent, seed, films) for seed in seeds]
    finally:
        robot.close()


def _run_one(
    robot: SimRobot, agent: Agent, seed: int, on_step: OnStep | None = None
) -> EpisodeResult:
    num_acts = round(robot.max_steps * robot.acting_hz / robot.spec.control_hz)
    report = run_episode(robot, agent, num_acts, on_step, is_over=robot.succeeded)
    seconds = report.num_steps / robot.acting_hz
    return EpisodeResult(seed, robot.succeeded(), report.num_steps, seconds, None)


def _film_one(robot: SimRobot, agent: Agent, seed: int, folder: Path) -> EpisodeResult:
    unnamed = folder / f"seed-{seed:04d}.partial.mp4"
    every = round(STEPS_PER_FRAME * robot.acting_hz / robot.spec.control_hz)
    with Film(robot, unnamed, every=every) as film:
        result = _run_one(robot, agent, seed, film)
    # Failures come first in a folder sorted by name: they are what one learns from.
    outcome = "1-success" if result.success else "0-failure"
    name = f"{outcome}-seed-{seed:04d}.mp4"
    for older in folder.glob(f"[01]-*-seed-{seed:04d}.mp4"):
        older.unlink()  # of another agent, judged into the same folder before
    unnamed.rename(folder / name)
    return replace(result, video=name)
