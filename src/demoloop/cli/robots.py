"""`--robot`: an arm on the desk or an emulated one, put together from its parts and then armed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from demoloop.cli.arm_address import EMULATED, parse_arm
from demoloop.robot import Robot, RobotError
from demoloop.robot.arms import ArmModel
from demoloop.robot.bus import serial_bus
from demoloop.robot.calibration import (
    Calibration,
    calibration_file,
    load_calibration,
    port_serial,
)
from demoloop.robot.calibration.servos import Servos
from demoloop.robot.cameras import Cameras, OpenCapture, open_capture, parse_cameras
from demoloop.robot.safety import Body, Event, Limits, Supervised
from demoloop.robot.safety.let_go import watchdog_of
from demoloop.robot.servo_arm import ServoArm

if TYPE_CHECKING:
    from demoloop.sim.emulated import EmulatedRobot

SIM = "sim"
_LOOK_EVERY_S = 0.02


@dataclass(frozen=True)
class Opened:
    """A robot that is armed, and who watches over it."""

    robot: Robot
    supervised: Supervised
    world: EmulatedRobot | None = None  # None: a real arm, and nobody knows where things are
    calibration: Calibration | None = None  # None: an emulated arm, which is as planned
    cameras: Cameras | None = None  # None: those of the emulated arm, or none at all

    @property
    def events(self) -> tuple[str, ...]:
        """What every episode notes at its first step: as what, and with which eyes, it was seen."""
        calibrated = () if self.calibration is None else (self.calibration.event,)
        settings = {} if self.cameras is None else self.cameras.settings
        return calibrated + tuple(
            " ".join([f"camera {name}", *(f"{what}={value:g}" for what, value in locked.items())])
            for name, locked in settings.items()
            if locked
        )

    @property
    def fault(self) -> str:
        """What the supervisor has latched, in a sentence; empty when nothing is."""
        fault = self.supervised.fault
        return "" if fault is None else fault.sentence

    def succeeded(self) -> bool | None:
        """Whether the task is solved; None where only a person can tell."""
        return None if self.world is None else self.world.succeeded()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within the block the arm holds still, and is looked at by a thread of its own.

        For whatever takes a while between episodes: a question, a disk. The block itself must not
        speak to the robot.

        Raises:
            SafetyError: What happened to the arm meanwhile, when the block is over.
        """
        if self.supervised.state in ("ARMED", "RUNNING"):  # in FAULT it has stopped by itself
            self.supervised.hold()
        with looked_at(self.supervised):
            yield


@contextmanager
def looked_at(robot: Robot) -> Iterator[None]:
    """Within the block a robot is looked at by a thread of its own, and spoken to by nobody else.

    Raises:
        RobotError: What happened to it meanwhile, when the block is over.
    """
    is_over, errors = threading.Event(), list[RobotError]()

    def look() -> None:
        try:
            while not is_over.wait(_LOOK_EVERY_S):
                robot.observe()
        except RobotError as error:
            errors.append(error)

    thread = threading.Thread(target=look, name="looks at the robot", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    if errors:
        raise errors[0]


def check_emulated(text: str) -> None:
    """Raises RobotError unless `text` names the emulated arm that the tasks are built around."""
    if text != f"so101:{EMULATED}":
        raise RobotError(
            f"--robot {text}: tasks, their experts and their judge are those of {SIM} and "
            f"so101:{EMULATED}; take one of them"
        )


@contextmanager
def open_emulated(
    text: str, task: str, seeds: Iterable[int], *, is_disturbed: bool = False
) -> Iterator[Opened]:
    """Starts the emulated arm at a task, one seed per episode; `is_disturbed`: nudged at times.

    Raises:
        RobotError: It is another arm, or the emulator did not start.
        SimError: There is no such task.
    """
    check_emulated(text)
    from demoloop.sim.emulated import EmulatedRobot  # a robot on a table needs no simulator
    from demoloop.sim.make import find_task
    from demoloop.sim.randomize import Disturbance

    disturbance = Disturbance() if is_disturbed else None
    with EmulatedRobot(find_task(task), seeds, disturbance=disturbance) as robot:
        yield Opened(robot, robot.supervised, robot)


@contextmanager
def open_real(
    text: str,
    cameras: str,
    calibration: Path | None = None,
    *,
    limits: Limits | None = None,
    opens: OpenCapture = open_capture,
) -> Iterator[Opened]:
    """Opens an arm at a port with its cameras and calibration, and switches its torque on.

    Args:
        text: ARM:PORT.
        cameras: As in `--cameras`: a path for each camera of the arm's spec.
        calibration: The file; None: where `demoloop calibrate` puts that of the port's adapter.
        limits: What is allowed; None: the usual.
        opens: Another way to open a camera.

    Raises:
        RobotError: What is missing, busy, foreign or wrong, and the next step; the arm at rest.
    """
    arm, port = parse_arm(text)
    with ExitStack() as opened:
        found = _calibration(arm, port, calibration)
        servos = found.servos(arm)
        eyes = None
        if arm.spec.cameras or cameras:
            setups = parse_cameras(cameras) if cameras else ()
            eyes = opened.enter_context(Cameras(arm.spec, setups, opens=opens))
        bus, limits = serial_bus(servos, port), limits or Limits()
        robot = Supervised(
            ServoArm(arm.spec, servos, bus, eyes, max_velocity=limits.max_velocity),
            limits=limits,
            body=Body(arm.mjcf, arm.spec, limits),
            home=np.array(arm.home, np.float32),
            watchdog=watchdog_of(servos, port),
            on_event=_say,
        )
        opened.enter_context(robot)
        Servos(arm, bus).check_offsets(found)
        robot.arm()
        yield Opened(robot, robot, calibration=found, cameras=eyes)


@contextmanager
def open_leader(text: str, calibration: Path | None = None) -> Iterator[ServoArm]:
    """Opens a leader, which is only read; an emulated one lies where nobody touches it.

    Raises:
        RobotError: What is missing, busy, foreign or wrong, and the next step.
    """
    arm, port = parse_arm(text)
    with ExitStack() as opened:
        if port == EMULATED:
            from demoloop.robot.emulator.emulator import emulated_arm

            port, servos = opened.enter_context(emulated_arm(arm)).port, arm.servos
        else:
            servos = _calibration(arm, port, calibration).servos(arm)
        leader = opened.enter_context(closing(ServoArm(arm.spec, servos, serial_bus(servos, port))))
        leader.connect()
        yield leader


def _calibration(arm: ArmModel, port: str, file: Path | None) -> Calibration:
    """Reads the calibration of the arm at a port; a port that is not there is said first."""
    with closing(serial_bus(arm.servos, port)) as bus:
        bus.open()
    return load_calibration(file or calibration_file(arm.spec.name, port_serial(port)))


def _say(event: Event) -> None:
    """What happens to the arm, for whoever stands beside it."""
    if event.fault is not None or event.before == event.after:
        print(event.sentence, flush=True)
