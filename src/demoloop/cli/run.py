"""`demoloop run`: a robot in this process, its policy in another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from demoloop.cli.arm_address import EMULATED, parse_arm
from demoloop.cli.attended import Attended
from demoloop.cli.chaos import through_chaos
from demoloop.cli.robots import SIM, open_emulated, open_real
from demoloop.cli.stopping import stop_on_signals
from demoloop.deploy.chunks import REPLAN_EVERY
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.endpoints import check_endpoint
from demoloop.deploy.errors import DeployError
from demoloop.deploy.guard import GUARD_HZ, check_guard_hz
from demoloop.deploy.io_desk import IO_DIED, IoDesk
from demoloop.deploy.io_process import IoProcess
from demoloop.deploy.metrics_server import parse_address
from demoloop.deploy.notes import Ready, Setup
from demoloop.deploy.report import EpisodeReport, RunReport
from demoloop.deploy.run import run_remote
from demoloop.deploy.standing import Standing
from demoloop.deploy.vitals import Vitals
from demoloop.robot import Action, Observation, Robot
from demoloop.robot.arms.so101 import SO101

if TYPE_CHECKING:
    from demoloop.sim.robot import SimRobot

_REAL_S = 60.0  # an episode on a real arm, unless somebody says otherwise


@dataclass(frozen=True)
class Options:
    """Run an arm in real time with a policy that `demoloop serve` serves.

    The arm is simulated unless --robot names another.
    """

    server: str = "tcp://127.0.0.1:5555"
    """Where the policy is served."""
    keys: Path | None = None
    """Folder of `demoloop keys`; needed unless the server is on this computer."""
    server_key: str | None = None
    """The server's name in that folder; default is the only key trusted as policy."""
    robot: str = SIM
    """`sim`; so101:emulated, through serial bytes; or ARM:PORT, such as so101:/dev/ttyACM0."""
    cameras: str = ""
    """Of a real arm: front=/dev/v4l/by-path/…,wrist=…"""
    calibration: Path | None = None
    """Of a real arm; by default found by the serial number of its adapter."""
    task: str = "pick_place"
    """What stands on the table."""
    seed: int = 0
    """Of the first episode; the following ones count up."""
    episodes: int = 1
    """How many."""
    max_seconds: float | None = None
    """After which an episode ends; default is the task's own, for a real arm a minute."""
    replan_every: int = REPLAN_EVERY
    """Control steps from one question to the server to the next, as in `demoloop evaluate`."""
    guard_hz: float = GUARD_HZ
    """Ticks per second of the loop that owns the robot; the policy keeps its own rate."""
    timeout_s: float = 10.0
    """How long to wait for the server to answer at all."""
    video: Path | None = None
    """MP4 file to write, rendered when the run is over so that it makes no step late."""
    report: Path | None = None
    """JSON file to write: states, lateness, latency."""
    log: Path | None = None
    """File to append to, a JSON object a line: every change of state, every fault."""
    metrics: str | None = None
    """HOST:PORT on loopback where Prometheus may ask, such as 127.0.0.1:9100."""
    chaos: str | None = None
    """A bad network on purpose, in simulation: `wifi`, `far`, `awful`, or drop=0.3,delay=0.5 ..."""
    control: str = "tcp://127.0.0.1:5556"
    """Where `demoloop operate` finds the run; port * is a free one. Off loopback with --keys."""
    telemetry: str = "tcp://127.0.0.1:5557"
    """Where `demoloop watch` finds the run; port * is a free one. Off loopback with --keys."""
    need_operator: bool = False
    """Move only while an operator is connected, and only after he said go: a dead-man's switch."""
    relax_after: float | None = None
    """Seconds of holding after which the motors' torque is lowered; default is never."""


@dataclass(frozen=True)
class _Setup:
    """A robot and what the run must know of it beyond the protocol."""

    robot: Robot
    max_steps: int
    has_succeeded: Callable[[], bool] | None = None  # None: a real arm cannot tell
    film: _Film | None = None
    rest: Callable[[], None] = lambda: None  # called after each episode


def main(options: Options) -> int:
    """Runs; exit code 0 whatever the policy achieves."""
    _check(options)
    way = (options.chaos, options.seed, options.server, options.keys, options.server_key)
    with through_chaos(*way) as server:
        return _main(replace(options, server=server))


def _main(options: Options) -> int:
    with IoProcess("demoloop.cli.run_io", _asked_of_io(options)) as io, _opened(options) as setup:
        # Before the robot moves: a key that cannot be used shall not first move an arm.
        report, is_io_alive = _run(options, setup, io, io.await_ready())
    _write(options, report, setup.film)
    print(report.summary())
    if not is_io_alive:
        raise DeployError(IO_DIED)
    if report.was_interrupted:
        raise KeyboardInterrupt
    return 0


def _asked_of_io(options: Options) -> Setup:
    return Setup(
        server=options.server,
        folder="",
        keys=None if options.keys is None else str(options.keys),
        server_key=options.server_key,
        control=options.control,
        telemetry=options.telemetry,
        metrics=options.metrics,
        log=None if options.log is None else str(options.log),
    )


def _check(options: Options) -> None:
    """Refuses here what would else come to light after the run, or look like one that failed."""
    if options.episodes < 1:
        raise DeployError(f"--episodes is {options.episodes}; ask for at least 1")
    if options.seed < 0:
        raise DeployError(f"--seed is {options.seed}; worlds are counted from 0")
    if not 0 < options.timeout_s < float("inf"):
        raise DeployError(f"--timeout-s is {options.timeout_s}; a server needs some time to answer")
    if options.max_seconds is not None and not 0 < options.max_seconds < float("inf"):
        raise DeployError(f"--max-seconds is {options.max_seconds}; an episode needs some time")
    if options.replan_every < 1:
        raise DeployError(f"--replan-every is {options.replan_every}; take at least one step")
    if options.server_key is not None and options.keys is None:
        raise DeployError("--server-key names a key in a folder; say --keys FOLDER too")
    if options.relax_after is not None and not 0 < options.relax_after < float("inf"):
        raise DeployError(f"--relax-after is {options.relax_after}; say seconds, such as 2")
    has_keys = options.keys is not None
    check_endpoint(options.server, "--server", has_keys=has_keys)
    check_endpoint(options.control, "--control", any_port=True, has_keys=has_keys)
    check_endpoint(options.telemetry, "--telemetry", any_port=True, has_keys=has_keys)
    for name, endpoint in (("control", options.control), ("telemetry", options.telemetry)):
        if not endpoint.startswith("tcp:"):
            raise DeployError(f"--{name} is {endpoint!r}; say tcp://HOST:PORT")
    if options.video is not None and options.robot != SIM:
        raise DeployError(f"--video films the simulation, not {options.robot}; leave it out")
    if options.metrics is not None:
        parse_address(options.metrics)
    for path in (options.video, options.report, options.log):
        if path is not None and path.is_dir():
            raise DeployError(f"{path} is a folder; name the file to write")


def _run(options: Options, setup: _Setup, io: IoProcess, ready: Ready) -> tuple[RunReport, bool]:
    """Returns the report, and whether the io process was there to the end."""
    spec = setup.robot.spec
    relay = ready.server if ready.server != options.server else None
    connection = RemotePolicy(options.server, spec, options.timeout_s, relay=relay)
    standing = Standing(setup.robot, needs_operator=options.need_operator)
    tell = io.telling
    desk = IoDesk(io.notes, io.pictures, standing, tell.note)
    with tell, connection as policy, stop_on_signals() as stop:
        tell.say(f"{spec.name} at {spec.control_hz:g} Hz with {policy.policy} of {policy.endpoint}")
        for line in ready.lines:
            tell.say(line)
        tell.note("connected", policy.session, policy=policy.policy, endpoint=policy.endpoint)
        number = 0

        def show(episode: EpisodeReport) -> None:
            nonlocal number
            tell.say(f"{options.task}, seed {options.seed + number}: {episode.summary()}")
            number += 1
            setup.rest()

        report = run_remote(
            setup.robot,
            policy,
            num_episodes=options.episodes,
            max_steps=setup.max_steps,
            replan_every=options.replan_every,
            guard_hz=options.guard_hz,
            has_succeeded=setup.has_succeeded,
            stop=stop,
            on_step=setup.film,
            on_episode=show,
            on_event=tell.note,
            vitals=Vitals(policy, options.guard_hz, options.episodes),
            overseer=desk,
            relax_after_s=options.relax_after,
        )
    return report, not standing.has_ended


def _write(options: Options, report: RunReport, film: _Film | None) -> None:
    try:
        if options.report is not None:
            seeds = [options.seed + i for i in range(len(report.episodes))]
            options.report.parent.mkdir(parents=True, exist_ok=True)
            options.report.write_text(report.dumps(task=options.task, seeds=seeds))
            print(f"report: {options.report}")
        if options.video is not None and film is not None:
            film.write(options.video)
            print(f"video: {options.video}")
    except OSError as error:
        raise DeployError(f"{error.filename or options.video} cannot be written: "
                          f"{error.strerror}; choose another place") from error  # fmt: skip


@contextmanager
def _opened(options: Options) -> Iterator[_Setup]:
    """Yields the robot that is asked for; in the end it is at rest."""
    if options.robot == SIM:
        setup = _simulated(options)
        try:
            yield setup
        finally:
            setup.robot.close()
        return
    arm, port = parse_arm(options.robot)
    check_guard_hz(arm.spec, options.guard_hz)
    is_emulated = port == EMULATED
    seeds = range(options.seed, options.seed + options.episodes)
    opening = (
        open_emulated(options.robot, options.task, seeds)
        if is_emulated
        else open_real(options.robot, options.cameras, options.calibration)
    )
    with opening as opened, Attended(opened) as robot:
        usual = _REAL_S if opened.world is None else opened.world.task.max_seconds
        max_steps = round((options.max_seconds or usual) * arm.spec.control_hz)
        has_succeeded = None if opened.world is None else opened.world.succeeded
        yield _Setup(robot, max(1, max_steps), has_succeeded, rest=robot.rest)


def _simulated(options: Options) -> _Setup:
    # The software renderer's threads would take the cores that inference needs. Read at its start.
    os.environ.setdefault("LP_NUM_THREADS", "1")
    from demoloop.sim.make import make_robot  # here, since a robot on a table needs no simulator

    check_guard_hz(SO101, options.guard_hz)
    seeds = range(options.seed, options.seed + options.episodes)
    robot = make_robot(options.task, seeds, acting_hz=options.guard_hz)
    for camera in robot.spec.cameras:
        # The first picture takes 0.3 s: the loop would begin with late steps.
        robot.render(camera.name, camera.height, camera.width)
    seconds = options.max_seconds
    max_steps = robot.max_steps if seconds is None else round(seconds * robot.spec.control_hz)
    film = _Film(robot) if options.video is not None else None
    return _Setup(robot, max(1, max_steps), robot.succeeded, film)


class _Moment(NamedTuple):
    """Where everything was at one step."""

    qpos: NDArray[np.float64]  # joints and free bodies
    mocap_pos: NDArray[np.float64]  # (n, 3) m: what no force moves, such as the outline of push
    mocap_quat: NDArray[np.float64]  # (n, 4) wxyz
    action: Action


@dataclass
class _Film:
    """Notes where everything is at each step, and renders that when there is time."""

    robot: SimRobot
    steps: list[_Moment] = field(default_factory=list)
    image_times: dict[str, float] = field(default_factory=dict)

    def __call__(self, observation: Observation, action: Action) -> None:
        """Listens to one step; keeps one per picture."""
        if dict(observation.image_times) == self.image_times:
            return
        self.image_times = dict(observation.image_times)
        data = self.robot.data
        placed = (data.mocap_pos.copy(), data.mocap_quat.copy())
        self.steps.append(_Moment(data.qpos.copy(), *placed, action))

    def write(self, path: Path) -> None:
        """Films all steps as if they happened now."""
        import mujoco

        from demoloop.sim.film import Film

        path.parent.mkdir(parents=True, exist_ok=True)
        with Film(self.robot, path, 480, shadows=True) as film:
            data = self.robot.data
            for moment in self.steps:
                data.qpos[:] = moment.qpos
                data.mocap_pos[:], data.mocap_quat[:] = moment.mocap_pos, moment.mocap_quat
                mujoco.mj_forward(self.robot.model, data)
                film(self.robot.observe(), moment.action)
