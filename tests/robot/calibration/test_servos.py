"""Laws of looking at an arm's servos: who they are, where they are, and that nothing moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.robot.calibration.bench import Bench, built_arm
from tests.robot.calibration.person import Person

from demoloop.robot import RobotError
from demoloop.robot.arms import ARMS, ArmModel
from demoloop.robot.calibration import Calibration, Procedure
from demoloop.robot.calibration.servos import Servos, slots

SO101 = ARMS["so101"]


@pytest.fixture(params=["so101", "koch", "viperx_300s"])
def arm(request: pytest.FixtureRequest) -> ArmModel:
    return ARMS[request.param]


@pytest.fixture
def bench(arm: ArmModel) -> Bench:
    bench = Bench(arm.servos.bus)
    bench.plug_in(built_arm(arm))
    return bench


def calibrated() -> Calibration:
    person, procedure = Person(SO101, SO101.servos), Procedure(SO101)
    while procedure.step is not None:
        person.obey(procedure)
    return procedure.calibration("1")


def test_every_servo_says_who_and_how_it_is(arm: ArmModel, bench: Bench) -> None:
    reports = Servos(arm, bench.make_bus(arm.servos.baud)).reports()
    assert {report.name: report.id for report in reports} == slots(arm)
    assert all(4 < report.voltage < 13 and 0 < report.temperature < 60 for report in reports)


def test_looking_switches_no_torque_on(arm: ArmModel, bench: Bench) -> None:
    Servos(arm, bench.make_bus(arm.servos.baud)).reports()
    assert not any(servo.has_torque for servo in bench.servos)


def test_letting_go_reaches_every_servo(arm: ArmModel, bench: Bench) -> None:
    for servo in bench.servos:
        servo.memory["torque_enable"] = 1
    Servos(arm, bench.make_bus(arm.servos.baud)).let_go()
    assert [servo.memory["torque_enable"] for servo in bench.servos] == [0] * len(bench.servos)


def test_servo_that_does_not_let_go_is_named() -> None:
    bench = Bench("feetech")
    bench.plug_in(built_arm(SO101))
    stuck = bench.servos[2]
    stuck.memory["torque_enable"] = 1
    stuck.write = lambda address, data: None
    with pytest.raises(RobotError, match=r"elbow_flex \(servo 3\) does not let go"):
        Servos(SO101, bench.make_bus(1_000_000)).let_go()


def test_joints_are_read_in_one_exchange(arm: ArmModel, bench: Bench) -> None:
    ticks = Servos(arm, bench.make_bus(arm.servos.baud)).ticks()
    assert dict(ticks) == dict.fromkeys(arm.spec.joint_names, 2048)


def test_offset_that_was_written_since_is_refused_with_both_numbers() -> None:
    bench = Bench("feetech")
    bench.plug_in(built_arm(SO101))
    servos = Servos(SO101, bench.make_bus(1_000_000))
    calibration = calibrated()
    servos.check_offsets(calibration)
    old = replace(calibration.joints[1], homing_offset=-77)
    changed = replace(calibration, joints=(calibration.joints[0], old, *calibration.joints[2:]))
    with pytest.raises(RobotError, match=r"shoulder_lift: .* homing offset 0 .* which had -77"):
        servos.check_offsets(changed)
