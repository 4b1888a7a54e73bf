"""`demoloop evaluate --robot ENDPOINT`: the policy is here, the world and its judge there."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from demoloop.cli.evaluate import ExpertAgent, Options, PolicyAgent
from demoloop.cli.station import find_station
from demoloop.robot import Agent, RobotError, WallClock, run_episode
from demoloop.robot.safety import SafetyError
from demoloop.sim.evaluate import EpisodeResult, Evaluation
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
    results: list[EpisodeResult] = []
    with finding as station:
        if station.world is None:
            raise RobotError(f"--robot {options.robot}: only a world can judge; take sim")
        with station.open_bench(seeds) as bench:
            agent = make_agent(bench.robot)
            bar = tqdm(seeds, desc=f"evaluate {options.task}, remote", unit="episode")
            for _ in bar:
                results.append(_run_one(bench, agent, station.world.max_seconds, bar))
                bar.set_postfix_str(f"{sum(r.success for r in results)} succeeded")
    evaluation = Evaluation(options.task, tuple(results))
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        evaluation.save(options.out / "evaluation.json")
    return evaluation


def _run_one(bench: Bench, agent: Agent, max_seconds: float, bar: tqdm[int]) -> EpisodeResult:
    """Judges one episode, in the world of the next seed."""
    seed = bench.prepare(again=False)
    assert seed is not None  # a world has one
    robot, clock, num_steps = AsItStands(bench.robot), WallClock(), 0
    began_at = clock.now()

    def count(*_: object) -> None:
        nonlocal num_steps
        num_steps += 1

    def is_over() -> bool:
        # By time and not by steps: whoever skips some has no longer than others.
        return bool(bench.succeeded()) or clock.now() - began_at > max_seconds

    most = round(max_seconds * bench.hz)
    try:
        run_episode(robot, agent, most, count, is_over=is_over, clock=clock)
        is_solved = bool(bench.succeeded())
    except SafetyError as error:
        bar.write(f"seed {seed}: {error}")
        is_solved = False
    return EpisodeResult(seed, is_solved, num_steps, clock.now() - began_at, None)
