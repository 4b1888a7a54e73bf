"""A person on the same seeds as a policy: who succeeds how often, and how quickly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from demoloop.cli.evaluate import Options, evaluate_agent
from demoloop.cli.panel import Chosen, Devices, run_with_panel
from demoloop.cli.station import Station, find_station
from demoloop.cli.stopping import stop_on_signals
from demoloop.robot import RobotError
from demoloop.sim.evaluate import EpisodeResult, Evaluation
from demoloop.sim.seeds import check_evaluation_seeds
from demoloop.teleop.look import Shown
from demoloop.teleop.session import Session
from demoloop.teleop.stage import Plan


def compare(options: Options) -> int:
    """Judges a person, and on the seeds they did the policy; exit code 0.

    Ctrl-C ends it for the person; what they did until then is judged and said.

    Raises:
        RobotError: The robot is none with a judge.
        TeleopError: The device or the panel cannot be had.
    """
    person = evaluate_person(options)
    if not person.episodes:
        print("nobody has shown anything")
        return 0
    judged: dict[str, Evaluation] = {options.agent: person}
    if options.policy is not None:
        # The person may have ended early: both are judged on what both did.
        judged[options.policy.name] = evaluate_agent(
            replace(options, episodes=len(person.episodes))
        )
    print(table(judged))
    if options.out is not None:
        _save(options.out, judged)
    return 0


def evaluate_person(options: Options) -> Evaluation:
    """Lets a person do one episode per seed, judged by physics; ends early when they finish."""
    if options.randomize:
        raise RobotError("--randomize changes worlds of a policy only; leave it out")
    seeds = range(options.seed, options.seed + options.episodes)
    check_evaluation_seeds(seeds)
    finding = find_station(
        options.robot, options.task, keys=options.keys, server_key=options.server_key
    )
    with finding as station:
        results = _shown(options, station, seeds)
    return Evaluation(
        options.task,
        tuple(
            EpisodeResult(shown.seed or 0, bool(shown.success), shown.steps, shown.seconds, None)
            for shown in results
        ),
    )


def _shown(options: Options, station: Station, seeds: Sequence[int]) -> tuple[Shown, ...]:
    """Holds the session; returns what came of each seed."""
    task = station.judge()
    chosen = Chosen(
        station.arm, options.leader, options.leader_calibration, webcam=options.webcam,
        hand=options.hand,
    )  # fmt: skip
    devices = Devices(chosen)
    plan = Plan(
        task=task.instruction,
        wanted=options.episodes,
        max_seconds=task.max_seconds,  # as a policy has
        agents=devices.names(options.agent),
        countdown_s=options.countdown_s,
        judges=True,
        fixes_task=True,
    )
    with stop_on_signals() as stop, station.open_bench(seeds) as bench:
        session = Session(bench, devices.opens, plan, stop=stop)
        run_with_panel(session, devices, options.panel, "evaluate", None)
    return session.results


def table(judged: Mapping[str, Evaluation]) -> str:
    """Returns one row for each, under a heading."""
    width = max(len(name) for name in judged)
    rows = [f"{'':{width}}  succeeded  95 % interval  median time to success"]
    for name, result in judged.items():
        low, high = result.interval
        seconds = "-" if result.median_seconds is None else f"{result.median_seconds:.1f} s"
        done = f"{result.num_successes} of {len(result.episodes)}"
        interval = f"{100 * low:.0f} to {100 * high:.0f} %"
        rows.append(f"{name:{width}}  {done:>9}  {interval:>13}  {seconds:>22}")
    return "\n".join(rows)


def _save(folder: Path, judged: Mapping[str, Evaluation]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    value = {name: result.to_json() for name, result in judged.items()}
    (folder / "comparison.json").write_text(json.dumps(value, indent=2))
    print(f"comparison.json: {folder}")
