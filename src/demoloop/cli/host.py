"""`demoloop host`: a robot on this computer, driven from another.

A verb of its own: `serve` offers a policy to robots, which connect to it; here the robot is what is
offered, and whoever drives it connects. The two never share an endpoint, a role or an option.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from demoloop.cli.arm_address import EMULATED, parse_arm
from demoloop.cli.hosted import HostedArm, HostedSim, Worlds
from demoloop.cli.robots import SIM, open_emulated, open_real
from demoloop.cli.stopping import stop_on_signals
from demoloop.cli.traces import logged
from demoloop.deploy.arm_loop import HOSTED_HZ, SILENCE_S, ArmLoop, Hosted
from demoloop.deploy.endpoints import check_endpoint
from demoloop.deploy.errors import DeployError
from demoloop.deploy.events import Detail, EventLog
from demoloop.deploy.guard import check_guard_hz
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.robot_server import RobotServer
from demoloop.deploy.robot_wire import Seat
from demoloop.robot.arms.so101 import SO101
from demoloop.robot.safety import Limits

# The loop's own silence comes first: what it takes for "nobody drives" is a hold and no fault.
_LIMITS = replace(Limits(), heartbeat_s=2 * SILENCE_S)


@dataclass(frozen=True)
class Options:
    """Offer a robot until Ctrl-C. Prints `ready ENDPOINT ...` when somebody may drive it.

    `record`, `takeover` and `evaluate` drive it from another computer with `--robot ENDPOINT`, one
    at a time. It holds when it hears no action for 0.2 s. No certified safety function: stay beside
    the arm's switch, since whoever drives cannot reach it.
    """

    robot: tyro.conf.Positional[str] = SIM
    """`sim`; so101:emulated, through serial bytes; or ARM:PORT, such as so101:/dev/ttyACM0."""
    bind: str = "tcp://127.0.0.1:5558"
    """Where to listen; port * takes a free one. Other computers need keys to connect."""
    keys: Path | None = None
    """Folder of `demoloop keys`: let in who is trusted there as operator, and nobody else."""
    cameras: str = ""
    """Of a real arm: front=/dev/v4l/by-path/…,wrist=…"""
    calibration: Path | None = None
    """Of a real arm; by default found by the serial number of its adapter."""
    task: str = "pick_place"
    """What stands on a simulated or emulated table."""
    seed: int = 0
    """Of its first world; the following ones count up, unless whoever drives asks for another."""
    hz: float = HOSTED_HZ
    """Looks per second of the loop that owns the robot."""
    log: Path | None = None
    """File to append to, a JSON object a line: who came and went, refusals, stops, faults."""


def main(options: Options) -> int:
    """Offers; exit code 0 when it was told to stop. The robot is brought to rest."""
    check_endpoint(options.bind, "--bind", any_port=True, has_keys=options.keys is not None)
    if options.seed < 0:
        raise DeployError(f"--seed is {options.seed}; worlds are counted from 0")
    spec = SO101 if options.robot == SIM else parse_arm(options.robot)[0].spec
    check_guard_hz(spec, options.hz)
    keys = None if options.keys is None else KeyFolder(options.keys)
    with stop_on_signals() as stop, logged(options.log, "host") as log, _offered(options) as offer:
        robot, seat = offer
        server = RobotServer(
            ArmLoop(robot, options.hz), seat, options.bind, keys, on_event=_Teller(log)
        )
        with server:
            # Another process waits for this line and reads the endpoint off it.
            print(f"ready {server.endpoint} {options.robot}", flush=True)
            server.serve(stop)
    print("stopped; the robot is at rest")
    return 0


class _Teller:
    """Says who comes and goes to whoever stands beside the robot, and notes all in the log."""

    def __init__(self, log: EventLog | None) -> None:
        self._log = log

    def __call__(self, event: str, session: int = 0, **details: Detail) -> None:
        """Takes one event."""
        if self._log is not None:
            self._log.note(event, session, **details)
        if event == "seated":
            print(f"{details['who']} drives", flush=True)
        elif event == "left":
            print(f"nobody drives ({details['reason']}): it holds", flush=True)
        elif event == "stopped":
            print(f"STOPPED: {details['reason']}", flush=True)


@contextmanager
def _offered(options: Options) -> Iterator[tuple[Hosted, Seat]]:
    """Yields the robot that is asked for, armed, and what its driver is told; it ends at rest."""
    worlds = Worlds(options.seed)
    if options.robot == SIM:
        with _simulated(options, worlds) as robot:
            yield robot, Seat(robot.spec, options.task)
    elif parse_arm(options.robot)[1] == EMULATED:
        with open_emulated(options.robot, options.task, worlds) as opened:
            yield HostedArm(opened, worlds), Seat(opened.robot.spec, options.task)
    else:
        with open_real(
            options.robot, options.cameras, options.calibration, limits=_LIMITS
        ) as opened:
            yield HostedArm(opened), Seat(opened.robot.spec, events=opened.events)


@contextmanager
def _simulated(options: Options, worlds: Worlds) -> Iterator[Hosted]:
    # The software renderer's threads would take the cores that others need. Read at its start.
    os.environ.setdefault("LP_NUM_THREADS", "1")
    from demoloop.sim.make import make_robot  # here, since a robot on a table needs no simulator

    with closing(make_robot(options.task, worlds, acting_hz=options.hz)) as robot:
        hosted = HostedSim(robot, worlds)
        hosted.reset(None)
        hosted.observe()  # the first picture takes 0.3 s, in which nobody could drive
        yield hosted
