"""The whole way: supervision, driver, bytes, emulated servos, and processes that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from demoloop.robot.arms import ARMS
from demoloop.robot.arms.so101 import ARM
from demoloop.robot.bus import serial_bus
from demoloop.robot.emulator.emulator import Emulator, emulated_arm
from demoloop.robot.emulator.faults import Overload
from demoloop.robot.safety import Body, Limits, SafetyError, Supervised
from demoloop.robot.safety.let_go import watchdog_of
from demoloop.robot.servo_arm import ServoArm

pytestmark = pytest.mark.realtime

DRIVER = Path(__file__).with_name("driver_of_emulated.py")
PATIENCE_S = 30.0  # until something that must come has come, on a busy machine


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with emulated_arm(ARM) as emulator:
        yield emulator


def supervised(emulator: Emulator) -> Supervised:
    arm = ServoArm(ARM.spec, ARM.servos, serial_bus(ARM.servos, emulator.port))
    # On a busy machine servos in another process are silent for some tenths of a second.
    return Supervised(arm, body=Body(ARM.mjcf, ARM.spec), limits=Limits(silent_s=1.0))


def torques(emulator: Emulator) -> list[bool]:
    return [servo.has_torque for servo in emulator.control.state().lines["arm"]]


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)


def test_an_emulated_arm_is_armed_without_moving_and_goes_home(emulator: Emulator) -> None:
    with supervised(emulator) as robot:
        # Folded to its stops it rests without torque; elsewhere gravity moves it before and after.
        emulator.control.place([0.0, -1.7453, 1.6895, 1.6581, 0.0, -0.1745], holds=False)
        stop = ARM.spec.high[3]
        wait_until(lambda: abs(robot.observe().proprioception[3] - stop) < 0.05)
        before = np.array(emulator.control.state().qpos)
        robot.arm()
        assert all(torques(emulator))
        assert np.abs(np.array(emulator.control.state().qpos) - before).max() <= 0.01
        robot.go(np.array(ARM.home, np.float32), 1.0)
        joints = robot.observe().proprioception[:6]
        assert np.abs(joints - np.array(ARM.home)).max() < 0.2  # it droops
        assert robot.estop("key")
        assert not any(torques(emulator))
    assert robot.state == "DISCONNECTED"


def test_a_tripped_servo_and_a_pulled_plug_are_seen_and_mended(emulator: Emulator) -> None:
    with supervised(emulator) as robot:
        robot.arm()
        emulator.control.inject(Overload(id=3))

        def is_in_fault() -> bool:
            robot.observe()
            return robot.state == "FAULT"

        wait_until(is_in_fault)
        assert robot.fault is not None
        assert "elbow_flex: its servo reports overload" in robot.fault.sentence
        emulator.control.clear()
        robot.reset_fault()
        assert not any(torques(emulator))
        emulator.control.unplug()

        def is_gone() -> bool:
            try:
                robot.observe()
            except SafetyError:
                return True
            return False

        wait_until(is_gone)
        assert robot.state == "DISCONNECTED"
        emulator.control.replug()
        wait_until(lambda: not is_gone())
        assert robot.state == "IDLE"
        assert not any(torques(emulator))


@pytest.fixture
def holding(emulator: Emulator) -> Iterator[subprocess.Popen[str]]:
    """A program that holds the emulated arm."""
    process = subprocess.Popen(
        [sys.executable, str(DRIVER), emulator.port],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")},
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said == "holding\n", said
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_an_arm_whose_program_dies_or_hangs_loses_its_torque(
    emulator: Emulator, holding: subprocess.Popen[str], number: int
) -> None:
    assert all(torques(emulator))
    holding.send_signal(number)
    wait_until(lambda: not any(torques(emulator)))


def test_a_program_that_goes_on_after_hanging_finds_that_the_arm_was_let_go(
    emulator: Emulator, holding: subprocess.Popen[str]
) -> None:
    holding.send_signal(signal.SIGSTOP)
    wait_until(lambda: not any(torques(emulator)))
    holding.send_signal(signal.SIGCONT)
    assert holding.stdout is not None
    sentence = holding.stdout.readline()
    assert "lost its torque by itself" in sentence or "has let the arm go" in sentence


@pytest.mark.parametrize("name", ARMS)
def test_only_feetech_arms_need_a_watchdog(name: str) -> None:
    servos = ARMS[name].servos
    assert (watchdog_of(servos, "/dev/null") is None) == (servos.bus == "dynamixel")


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_is_free_where_it_begins_and_where_it_rests(name: str) -> None:
    arm = ARMS[name]
    body = Body(arm.mjcf, arm.spec)
    for pose in (arm.home, arm.rest):
        assert all(margin.room_m > 0 for margin in body.margins(pose)), body.margins(pose)
