"""`demoloop demo`: the whole loop in simulation, ending in one page that shows it."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demoloop.cli.demo_page import Story, write_page
from demoloop.cli.evaluate import PolicyAgent
from demoloop.cli.judge import SimJudge
from demoloop.cli.record import Options as RecordOptions
from demoloop.cli.record import record_expert
from demoloop.deploy.errors import DeployError
from demoloop.policies.export import export
from demoloop.policies.train import train
from demoloop.policies.train_config import TrainConfig
from demoloop.robot import run_episode
from demoloop.sim.astray import demonstrator, leaving_out_blunders
from demoloop.sim.evaluate import evaluate
from demoloop.sim.film import Film
from demoloop.sim.make import find_task, make_robot
from demoloop.sim.randomize import Disturbance
from demoloop.sim.seeds import EVALUATION_SEEDS, FIRST_TRAINING_SEED, VALIDATION_SEEDS

_LIVE_SEED = EVALUATION_SEEDS[4000]  # worlds that neither training nor judging has seen
_PATIENCE_S = 60.0  # for the server to start on a machine that is busy


@dataclass(frozen=True)
class Options:
    """An expert shows the task, a policy learns it, is judged, and is deployed: about 15 minutes.

    A dataset that is in the folder already is used again; everything else is made anew.
    """

    out: Path = Path("demo")
    """Folder for everything that is made; open index.html in it."""
    task: str = "pick_place"
    """What to teach."""
    demonstrations: int = 200
    """How many are recorded."""
    budget_minutes: float = 8.0
    """How long to train."""
    episodes: int = 100
    """How many the policy is judged by, each with a seed that training never saw."""
    curve_episodes: int = 20
    """How many each of the four points of the success curve is tried on; 0 leaves it out."""
    live_episodes: int = 3
    """How many it then does in real time, with the policy in another process."""
    seed: int = 0
    """Of training."""
    workers: int = 2
    """Processes that record and judge side by side."""


def main(options: Options) -> int:
    """Runs the loop and writes the page; exit code 0."""
    _check(options)
    out = options.out
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeployError(
            f"{out} cannot be a folder: {error.strerror}; choose another --out"
        ) from error
    clock = _Stages(5)

    with clock.stage(f"show: an expert demonstrates {options.task} {options.demonstrations} times"):
        dataset = out / "dataset"
        record_expert(
            RecordOptions(
                dataset,
                task=options.task,
                episodes=options.demonstrations,
                workers=options.workers,
            )
        )
        _film_demonstration(options.task, out / "demonstration.mp4")

    with clock.stage(f"learn: {options.budget_minutes:g} minutes of behaviour cloning from pixels"):
        run = train(
            TrainConfig(
                data=dataset,
                out=out / "policy",
                budget_minutes=options.budget_minutes,
                max_episodes=options.demonstrations,  # a dataset used again may hold more
                seed=options.seed,
                num_judgements=4 if options.curve_episodes else 0,
            ),
            SimJudge(options.task, options.curve_episodes) if options.curve_episodes else None,
        )

    policy = out / "policy.onnx"
    with clock.stage("export: one ONNX file, checked against torch"):
        exported = export(run, policy)
        print(f"      {exported.megabytes:.1f} MB, differs from torch by at most "
              f"{exported.worst_error:.1e} of a joint's range")  # fmt: skip

    with clock.stage(f"judge: {options.episodes} episodes in worlds it has never seen"):
        seeds = EVALUATION_SEEDS[: options.episodes]
        judged = evaluate(
            options.task,
            PolicyAgent(policy),
            seeds,
            workers=options.workers,
            folder=out / "evaluation",
        )
        print(f"      {judged.summary()}")

    with clock.stage("deploy: serve and run in two processes, in real time"):
        memory_mb = _run_live(options, policy, out / "live")

    page = write_page(
        Story(
            folder=out,
            task=find_task(options.task),
            num_demonstrations=options.demonstrations,
            export=exported,
            evaluation=judged,
            server_memory_mb=memory_mb,
            seconds=clock.seconds,
        )
    )
    print(f"\n{judged.summary()}")
    print(f"all of it on one page: {page}")
    return 0


def _check(options: Options) -> None:
    """Refuses now what a later stage would refuse after minutes of work."""
    find_task(options.task)
    for name in ("demonstrations", "episodes", "live_episodes", "workers"):
        if getattr(options, name) < 1:
            raise DeployError(
                f"--{name.replace('_', '-')} is {getattr(options, name)}; ask for at least 1"
            )
    if options.episodes > _LIVE_SEED:
        raise DeployError(
            f"--episodes is {options.episodes}; seeds from {_LIVE_SEED} on are kept for the live "
            f"run, ask for at most {_LIVE_SEED}"
        )
    if not 0 < options.budget_minutes < math.inf or options.seed < 0:
        raise DeployError(
            f"--budget-minutes is {options.budget_minutes} and --seed {options.seed}; "
            "training needs some time and a seed from 0 up"
        )
    if not 0 <= options.curve_episodes <= len(VALIDATION_SEEDS):
        raise DeployError(
            f"--curve-episodes is {options.curve_episodes}; it must be 0 to {len(VALIDATION_SEEDS)}"
        )


@dataclass
class _Stages:
    """Says which stage begins and notes how long each took."""

    total: int
    seconds: dict[str, float] = field(default_factory=dict)  # first word of the stage -> s

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """One stage."""
        print(f"\n[{len(self.seconds) + 1}/{self.total}] {title}", flush=True)
        start = time.monotonic()
        yield
        self.seconds[title.partition(":")[0]] = time.monotonic() - start


def _film_demonstration(task: str, path: Path) -> None:
    """Films the demonstration of the first seed: the same seed is the same episode."""
    robot = make_robot(task, [FIRST_TRAINING_SEED], disturbance=Disturbance())
    try:
        with Film(robot, path, 480, shadows=True) as film:
            agent = demonstrator(robot)
            listener = leaving_out_blunders(agent, film)
            run_episode(robot, agent, robot.max_steps, listener, is_over=robot.succeeded)
    finally:
        robot.close()


def _run_live(options: Options, policy: Path, folder: Path) -> float | None:
    """Runs `demoloop serve` and `demoloop run`; returns the server's peak memory [MB].

    Raises:
        DeployError: One of the two ended with an error.
    """
    folder.mkdir(exist_ok=True)
    demoloop = [sys.executable, "-m", "demoloop"]
    serve = [*demoloop, "serve", str(policy), "--bind", "tcp://127.0.0.1:*"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        try:
            endpoint = _wait_until_ready(server)
            print(f"      server: process {server.pid} at {endpoint}", flush=True)
            run = [
                *(*demoloop, "run", "--server", endpoint, "--task", options.task),
                *("--seed", str(_LIVE_SEED), "--episodes", str(options.live_episodes)),
                # Another run may be listening where runs do.
                *("--control", "tcp://127.0.0.1:*", "--telemetry", "tcp://127.0.0.1:*"),
                *("--video", str(folder / "run.mp4"), "--report", str(folder / "report.json")),
            ]
            code = subprocess.run(run, check=False).returncode
            memory_mb = _peak_memory_mb(server.pid)
        finally:
            server.terminate()
    if code != 0:
        raise DeployError(f"demoloop run ended with exit code {code}; its own words are above")
    return memory_mb


def _wait_until_ready(server: subprocess.Popen[str]) -> str:
    """Returns the endpoint that a starting server names in its `ready` line."""
    assert server.stdout is not None
    alarm = threading.Timer(_PATIENCE_S, server.kill)
    alarm.start()
    line = server.stdout.readline()  # ends at once when the server does
    alarm.cancel()
    word, _, rest = line.partition(" ")
    if word != "ready":
        raise DeployError(f"demoloop serve did not start: {line.strip() or 'see above'}")
    return rest.split()[0]


def _peak_memory_mb(pid: int) -> float | None:
    """Returns the largest resident size of a running process, None where nobody tells."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None
