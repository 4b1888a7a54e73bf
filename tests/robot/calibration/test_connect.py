"""Laws of an arm and its calibration: together they tell the truth, a foreign one is refused."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from tests.robot.calibration.person import Person, built

from demoloop.robot import RobotError
from demoloop.robot.arms import ARMS
from demoloop.robot.arms.servo_map import ServoMap
from demoloop.robot.bus import serial_bus
from demoloop.robot.calibration import Procedure
from demoloop.robot.emulator.emulator import emulated_arm
from demoloop.robot.servo_arm import ServoArm

SO101 = ARMS["so101"]
BUILT = built(SO101, shoulder_pan={"zero_tick": 2300}, shoulder_lift={"zero_tick": 1500})
BUILT = replace(
    BUILT, joints=tuple(replace(it, sign=-1) if it.id == 5 else it for it in BUILT.joints)
)


def measured() -> ServoMap:
    """What the guided calibration finds on the arm as it was built."""
    person, procedure = Person(SO101, BUILT), Procedure(SO101)
    while procedure.step is not None:
        try:
            person.obey(procedure)
        except RobotError as error:
            assert "counts the other way" in str(error)
    return procedure.calibration("1").servos(SO101)


def test_calibrated_arm_sees_its_joints_where_they_truly_are() -> None:
    with emulated_arm(SO101, servos=BUILT) as emulator:
        bus = serial_bus(SO101.servos, emulator.port)
        with closing(ServoArm(SO101.spec, measured(), bus)) as arm:
            arm.connect()
            emulator.control.place([0.4, -0.7, 0.5, 0.6, 1.2, 0.3])
            arm.enable_torque()
            seen = arm.observe().proprioception[:5]
            true = emulator.control.state().qpos[:5]
    np.testing.assert_allclose(seen, true, atol=0.02)  # it sags while we look


def test_arm_with_anothers_calibration_is_refused_with_joint_and_numbers() -> None:
    with emulated_arm(SO101, servos=BUILT) as emulator:
        bus = serial_bus(SO101.servos, emulator.port)
        arm = ServoArm(SO101.spec, SO101.servos, bus)
        with pytest.raises(RobotError, match=r"shoulder_lift stands at -2\.\d+ rad .* \[-1\.75,"):
            arm.connect()
        arm.close()
        assert not any(servo.has_torque for servo in emulator.control.state().lines["arm"])
