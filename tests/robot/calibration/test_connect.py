"""Laws of an arm and its calibration: together they tell the truth, a foreign one is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.robot.calibration.bench import Bench
from tests.robot.calibration.person import Person, built

from demoloop.robot import RobotError
from demoloop.robot.arms import ARMS
from demoloop.robot.arms.servo_map import ServoMap
from demoloop.robot.bus import Bus
from demoloop.robot.calibration import Procedure
from demoloop.robot.emulator.feetech_servo import FeetechServo
from demoloop.robot.emulator.motor import FreeShaft
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


def line_of_servos(pose: tuple[float, ...]) -> Bus:
    """The arm as it was built, standing at a pose, on a clock of its own."""
    bench = Bench("feetech")
    ticks = [it.scale.to_tick(value) for it, value in zip(BUILT.joints, pose, strict=True)]
    bench.plug_in(
        [FeetechServo(i + 1, FreeShaft(tick * 2 * np.pi / 4096)) for i, tick in enumerate(ticks)]
    )
    return bench.make_bus(1_000_000)


def test_calibrated_arm_sees_its_joints_where_they_truly_are() -> None:
    pose = (0.4, -0.7, 0.5, 0.6, 1.2, 0.3)
    arm = ServoArm(SO101.spec, measured(), line_of_servos(pose))
    arm.connect()
    seen = arm.observe().proprioception[:6]
    np.testing.assert_allclose(seen, pose, atol=0.003)  # two ticks


def test_arm_with_anothers_calibration_is_refused_with_joint_and_numbers() -> None:
    arm = ServoArm(SO101.spec, SO101.servos, line_of_servos(SO101.rest))
    with pytest.raises(RobotError, match=r"shoulder_lift stands at -2\.\d+ rad .* \[-1\.75,"):
        arm.connect()
