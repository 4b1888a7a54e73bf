"""`demoloop evaluate`: the success rate of an exported policy, or of the expert."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from demoloop.cli.arm_address import is_remote
from demoloop.cli.hand_options import HandOptions
from demoloop.cli.panel_options import PanelOptions
from demoloop.cli.robots import SIM, check_emulated
from demoloop.deploy.chunks import REPLAN_EVERY, ChunkExecution, TemporalEnsemble
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.deploy.seen_range import StillOutside, WithinSeenRange
from demoloop.robot import Agent, Robot, RobotError
from demoloop.robot.arms.so101 import SO101
from demoloop.sim.emulated import EmulatedRobot
from demoloop.sim.evaluate import Evaluation, evaluate
from demoloop.sim.evaluate_live import evaluate_emulated
from demoloop.sim.make import find_task
from demoloop.sim.randomize import MODERATE
from demoloop.sim.robot import SimRobot


@dataclass(frozen=True)
class PolicyAgent:
    """Builds the agent around a policy file, in whichever process judges it."""

    path: Path
    replan_every: int = REPLAN_EVERY
    ensemble: bool = False

    def __call__(self, robot: Robot) -> Agent:
        """Loads and checks the file against the robot."""
        file = OnnxPolicy.load(self.path, robot.spec)
        policy = WithinSeenRange(file, file.card)
        follow = (
            TemporalEnsemble(policy) if self.ensemble else ChunkExecution(policy, self.replan_every)
        )
        return StillOutside(follow, robot.spec)


@dataclass(frozen=True)
class ExpertAgent:
    """Builds the task's scripted expert."""

    person: int = 0

    def __call__(self, robot: SimRobot | EmulatedRobot) -> Agent:
        """The expert sees the simulation itself, so it is built beside it."""
        return robot.task.make_expert(robot, self.person)


@dataclass(frozen=True)
class Options:
    """Prints the success rate with its 95 % interval; the same seeds give the same answer."""

    policy: tyro.conf.Positional[Path | None] = None
    """ONNX file that `demoloop export` wrote; leave it out to judge the expert."""
    agent: str = ""
    """A person with keyboard, gamepad, spacemouse, phone, hand or leader, on the same seeds; beside
    the policy, if one is given."""
    robot: str = SIM
    """Where: `sim`; `so101:emulated`, through serial bytes and in real time; or the endpoint at
    which `demoloop host` offers one of them."""
    keys: Path | None = None
    """Folder of `demoloop keys`; needed for a robot at another computer."""
    server_key: str | None = None
    """Its host's name in that folder; default is the only key trusted as policy."""
    task: str = "pick_place"
    """What it should do."""
    episodes: int = 100
    """How many, each with a seed of its own."""
    seed: int = 0
    """Of the first episode; below 10000, where training seeds begin."""
    execution: Literal["replan", "ensemble"] = "replan"
    """Follow a chunk for some steps and predict anew, or predict at each step and average."""
    replan_every: int = REPLAN_EVERY
    """Steps to follow one chunk."""
    randomize: bool = False
    """Let colours, light, cameras, friction, servos and delay differ from world to world."""
    misleading_marks: bool = False
    """The control experiment where people point, as in sort: at another cube, another tray."""
    out: Path | None = None
    """Folder for evaluation.json and a video of every episode, failures first."""
    workers: int = 2
    """Processes side by side."""
    leader: str = ""
    """The arm a person leads with: so101_leader:/dev/ttyACM1."""
    leader_calibration: Path | None = None
    """Of that; by default found by the serial number of its adapter."""
    webcam: str = ""
    """Where a person's hand is seen: /dev/v4l/by-path/…; by default the camera of the page."""
    hand: HandOptions = field(default_factory=HandOptions)
    """How that moves the arm."""
    countdown_s: float = 3.0
    """Before an episode of a person begins."""
    panel: PanelOptions = field(default_factory=PanelOptions)
    """The page in the browser, for a person."""


def main(options: Options) -> int:
    """Judges; exit code 0 whatever the success rate."""
    find_task(options.task)
    if options.agent:
        from demoloop.cli.evaluate_person import compare  # loads a web server

        return compare(options)
    return judge_agent(options)


def judge_agent(options: Options) -> int:
    """Judges a policy, or the expert; exit code 0."""
    result = evaluate_agent(options)
    print(result.summary())
    if options.out is not None:
        videos = "videos, failures first" if options.robot == SIM else "evaluation.json"
        print(f"{videos}: {options.out}")
    return 0


def evaluate_agent(options: Options) -> Evaluation:
    """Returns how a policy did, or the expert."""
    if options.policy is None:
        agent: PolicyAgent | ExpertAgent = ExpertAgent()
    else:
        is_ensemble = options.execution == "ensemble"
        agent = PolicyAgent(options.policy, options.replan_every, is_ensemble)
        OnnxPolicy.load(options.policy, SO101)  # a bad file is refused here, not in a worker
    seeds = range(options.seed, options.seed + options.episodes)
    if options.robot == SIM:
        return evaluate(
            options.task,
            agent,
            seeds,
            workers=options.workers,
            folder=options.out,
            randomization=MODERATE if options.randomize else None,
            misleads=options.misleading_marks,
        )
    if is_remote(options.robot):
        from demoloop.cli.evaluate_remote import evaluate_remote  # loads a web server

        return evaluate_remote(options, agent, seeds)
    check_emulated(options.robot)
    if options.randomize:
        raise RobotError("--randomize changes simulated worlds only; leave it out, or use sim")
    misleads = options.misleading_marks
    return evaluate_emulated(options.task, agent, seeds, folder=options.out, misleads=misleads)
