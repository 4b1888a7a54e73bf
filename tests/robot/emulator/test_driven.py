"""The whole way: our driver on a real pseudo-terminal, servos in another process, and physics."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from demoloop.robot import RobotError
from demoloop.robot.arms import koch, so100, so101, viperx_300s
from demoloop.robot.arms.arm_model import ArmModel
from demoloop.robot.bus import serial_bus
from demoloop.robot.emulator.emulator import Emulator, emulated_arm
from demoloop.robot.emulator.faults import Overload
from demoloop.robot.servo_arm import ServoArm

pytestmark = pytest.mark.realtime

ARMS = {"so101": so101.ARM, "so100": so100.ARM, "koch": koch.ARM, "viperx_300s": viperx_300s.ARM}
PATIENCE_S = 20.0  # until something that must come has come, on a busy machine


def connected(model: ArmModel, emulator: Emulator) -> ServoArm:
    """Tries until patience ends: on a busy machine servos may be later than a driver waits."""
    until = time.monotonic() + PATIENCE_S
    while True:
        arm = ServoArm(model.spec, model.servos, serial_bus(model.servos, emulator.port))
        try:
            arm.connect()
        except RobotError:
            if time.monotonic() > until:
                raise
        else:
            return arm


def switch_on(arm: ServoArm) -> None:
    """Likewise."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            arm.enable_torque()
        except RobotError:
            if time.monotonic() > until:
                raise
        else:
            return


def wait_until(arm: ServoArm, is_so: Callable[[np.ndarray], bool]) -> np.ndarray:
    """Looks at the joints until they are as they shall be, or patience ends."""
    until = time.monotonic() + PATIENCE_S
    while True:
        joints = arm.observe().proprioception[: arm.spec.action_dim]
        if is_so(joints) or time.monotonic() > until:
            return joints


@pytest.mark.parametrize("name", ARMS)
def test_an_emulated_arm_goes_where_the_driver_sends_it(name: str) -> None:
    model = ARMS[name]
    with emulated_arm(model) as emulator:
        arm = connected(model, emulator)
        try:
            switch_on(arm)
            goal = np.array(model.home, np.float32)
            arm.act(goal)
            joints = wait_until(arm, lambda q: bool(np.abs(q - goal).max() < 0.15))
            assert np.abs(joints - goal).max() < 0.15  # it droops, as arms do
            arm.disable_torque()
            assert not any(s.has_torque for s in emulator.control.state().lines["arm"])
        finally:
            arm.close()


def test_a_tripped_servo_is_an_alarm_of_its_joint() -> None:
    with emulated_arm(so101.ARM) as emulator:
        arm = connected(so101.ARM, emulator)
        try:
            emulator.control.inject(Overload(id=3))
            until = time.monotonic() + PATIENCE_S
            while not arm.health().alarms and time.monotonic() < until:
                arm.observe()
            assert arm.health().alarms == {"elbow_flex": ("overload",)}
        finally:
            arm.close()


def test_a_pulled_plug_is_an_error_and_a_new_driver_finds_the_arm_again() -> None:
    with emulated_arm(so101.ARM) as emulator:
        arm = connected(so101.ARM, emulator)
        emulator.control.unplug()
        until = time.monotonic() + PATIENCE_S
        with pytest.raises(RobotError):
            while time.monotonic() < until:
                arm.observe()
        arm.close()
        emulator.control.replug()
        arm = connected(so101.ARM, emulator)
        assert not np.isnan(arm.observe().proprioception).any()
        arm.close()
