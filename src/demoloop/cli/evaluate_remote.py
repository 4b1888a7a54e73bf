"""`demoloop evaluate --robot ENDPOINT`: the policy is here, the world and its judge there."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tqdm import tqdm

from demoloop.cli.evaluate import ExpertAgent, Options, PolicyAgent
from demoloop.cli.station import find_station
from demoloop.robot import RobotError
from demoloop.sim.evaluate import EpisodeResult, Evaluation
from demoloop.sim.evaluate_live import judge_live, run_live
from demoloop.sim.seeds import check_evaluation_seeds
from demoloop.teleop.bench import Bench
from demoloop.teleop.pacing import AsItStands


def evaluate_remote(
    options: Options, make_agent: PolicyAgent | ExpertAgent, seeds: Sequence[int]
) -> Evaluation:
    """Runs one episode per seed on a hosted world, one after the other and in real time.

    An episode in which the robot stops has failed. No video.

    Raises:
        SimError: There is no such task or no seed, or a seed belongs to training.
        RobotError: No world is hosted there, which alone can judge; or something is asked for that
            only a world on this computer can do.
        Disconnected: The line broke; a rate over what was left would be none.
    """
    check_evaluation_seeds(seeds)
    if not isinstance(make_agent, PolicyAgent):
        raise RobotError("the expert sees the world itself, which is elsewhere; name a policy")
    if options.randomize or options.misleading_marks:
        raise RobotError(
            "--randomize and --misleading-marks change worlds of this computer only; leave them "
            "out, or use sim"
        )
    finding = find_station(
        options.robot, options.task, keys=options.keys, server_key=options.server_key
    )
    with finding as station:
        world = station.judge()
        with station.open_bench(seeds) as bench:
            agent = make_agent(bench.robot)
            most = round(world.max_seconds * bench.hz)
            bar = tqdm(seeds, desc=f"evaluate {options.task}, remote", unit="episode")

            def run(seed: int) -> EpisodeResult:
                bench.prepare(again=False)
                judge = _Timed(bench, world.max_seconds)
                return run_live(AsItStands(bench.robot), agent, seed, most, judge, bar.write)

            return judge_live(options.task, run, bar, options.out)


class _Timed:
    """The world's verdict, and the time since this was made; it is up after `max_seconds`."""

    def __init__(self, bench: Bench, max_seconds: float) -> None:
        self._bench, self._max_seconds, self._began_at = bench, max_seconds, time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the episode began."""
        return time.monotonic() - self._began_at

    def is_over(self) -> bool:
        """By time and not by steps: whoever skips some has no longer than others."""
        return bool(self.succeeded()) or self.seconds > self._max_seconds

    def succeeded(self) -> bool | None:
        """What physics says there."""
        return self._bench.succeeded()
