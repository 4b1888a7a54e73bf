"""Laws of the guided calibration: what an arm truly is comes out, whatever the person does."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from tests.robot.calibration.person import Person, built

from demoloop.robot import RobotError
from demoloop.robot.arms import ARMS, ArmModel
from demoloop.robot.calibration import Procedure

SO101 = ARMS["so101"]


@pytest.fixture(params=ARMS)
def arm(request: pytest.FixtureRequest) -> ArmModel:
    return ARMS[request.param]


def calibrated(person: Person, procedure: Procedure) -> Procedure:
    """Goes through all of it."""
    while procedure.step is not None:
        try:
            person.obey(procedure)
        except RobotError as error:
            # The one question that is asked twice of an arm that is built the other way round.
            assert "counts the other way" in str(error)
    return procedure


def test_arm_as_planned_comes_out_as_planned(arm: ArmModel) -> None:
    procedure = calibrated(Person(arm, arm.servos), Procedure(arm))
    for found, planned in zip(
        procedure.calibration("1").servos(arm).joints, arm.servos.joints, strict=True
    ):
        for value in (0.0, 0.5, 1.0):
            assert abs(found.scale.to_tick(value) - planned.scale.to_tick(value)) <= 1, found.name


@pytest.mark.parametrize("seed", range(20))
def test_arm_put_together_anyhow_comes_out_as_it_truly_is(arm: ArmModel, seed: int) -> None:
    rng = np.random.default_rng(seed)
    joints = []
    for servo, spec in zip(arm.servos.joints, arm.spec.joints, strict=True):
        if spec.unit == "opening":
            closed = float(rng.integers(100, 1000))
            ends = (closed, closed + 1200) if rng.integers(2) else (closed + 1200, closed)
            joints.append(replace(servo, closed_tick=ends[0], open_tick=ends[1]))
            continue
        sign = int(rng.choice([-1, 1]))
        ends = sorted(sign * 4096 / (2 * np.pi) * value for value in (spec.low, spec.high))
        zero = round(float(rng.uniform(-ends[0], 4095 - ends[1])))
        joints.append(replace(servo, sign=sign, zero_tick=zero))
    true = replace(arm.servos, joints=tuple(joints))
    procedure = calibrated(Person(arm, true), Procedure(arm))
    found = procedure.calibration("1").servos(arm)
    for ours, theirs, spec in zip(found.joints, true.joints, arm.spec.joints, strict=True):
        for value in (spec.low, spec.high):
            assert abs(ours.scale.to_tick(value) - theirs.scale.to_tick(value)) <= 1, ours.name


def test_travel_across_the_end_of_a_servos_turn_is_counted_on() -> None:
    # The stops lie beyond the limits, so that a servo may be at 4095 there and still do its work.
    true = built(SO101, shoulder_pan={"zero_tick": 2800})
    person, procedure = Person(SO101, true), Procedure(SO101)
    person.obey(procedure)
    person.obey(procedure)
    found = procedure.done["shoulder_pan"]
    assert found.second_tick > 4095
    assert found.travel == pytest.approx(239 / 360 * 4096, abs=2)


def test_joint_whose_servo_ends_its_turn_within_the_limits_says_how_to_mount_the_horn() -> None:
    person = Person(SO101, built(SO101, shoulder_pan={"zero_tick": 3500}))
    procedure = Procedure(SO101)
    person.obey(procedure)
    with pytest.raises(RobotError, match=r"servo 1 counts from 4095 on to 0 within") as error:
        person.obey(procedure)
    assert "turn the servo 128 degrees so that it reads 1452 less" in str(error.value)
    mended = Person(SO101, built(SO101, shoulder_pan={"zero_tick": 3500 - 1452}))
    calibrated(mended, procedure)


def test_gripper_whose_servo_ends_its_turn_between_closed_and_open_is_refused_too() -> None:
    done = calibrated(Person(SO101, SO101.servos), Procedure(SO101)).done
    procedure = Procedure(SO101, [joint for joint in done.values() if joint.name != "gripper"])
    person = Person(SO101, built(SO101, gripper={"closed_tick": 3900, "open_tick": 5100}))
    person.obey(procedure)
    with pytest.raises(RobotError, match="gripper: servo 6 counts from 4095 on to 0 within"):
        person.obey(procedure)


def test_servo_that_counts_the_other_way_is_asked_twice_and_then_believed() -> None:
    person = Person(SO101, built(SO101, elbow_flex={"sign": -1}))
    done = calibrated(Person(SO101, SO101.servos), Procedure(SO101)).done
    procedure = Procedure(SO101, [done[name] for name in ("shoulder_pan", "shoulder_lift")])
    person.obey(procedure)
    with pytest.raises(RobotError, match=r"elbow_flex counts the other way .* places exchanged"):
        person.obey(procedure)
    person.obey(procedure)
    assert "mounted the other way round" in person.obey(procedure)


def test_places_exchanged_once_by_mistake_leave_no_trace() -> None:
    person, procedure = Person(SO101, SO101.servos), Procedure(SO101)
    guide = SO101.guides[0]
    person.bring(procedure, guide.joint, guide.second.position)
    procedure.confirm()
    person.bring(procedure, guide.joint, guide.first.position)
    with pytest.raises(RobotError, match="counts the other way"):
        procedure.confirm()
    servos = calibrated(person, procedure).calibration("1").servos(SO101)
    assert servos.joints[0].sign == 1


@pytest.mark.parametrize(("short_deg", "is_refused"), [(9, False), (11, True)])
def test_range_that_differs_by_more_than_10_degrees_is_refused_with_both_numbers(
    short_deg: float, is_refused: bool
) -> None:
    person, procedure = Person(SO101, SO101.servos), Procedure(SO101)
    person.obey(procedure)
    second = SO101.guides[0].second.position - np.radians(short_deg)
    person.bring(procedure, "shoulder_pan", second)
    if not is_refused:
        procedure.confirm()
        return
    with pytest.raises(RobotError, match=r"shoulder_pan went 228\.\d degrees .* it is 239\.0"):
        procedure.confirm()
    step = procedure.step
    assert step is not None
    assert (step.joint, step.which) == ("shoulder_pan", "first")


def test_closed_and_open_that_are_hardly_apart_are_refused() -> None:
    done = calibrated(Person(SO101, SO101.servos), Procedure(SO101)).done
    procedure = Procedure(SO101, [joint for joint in done.values() if joint.name != "gripper"])
    person = Person(SO101, SO101.servos)
    person.bring(procedure, "gripper", 0.0)
    procedure.confirm()
    person.bring(procedure, "gripper", 0.2)
    with pytest.raises(RobotError, match=r"closed and open are only 22\.0 degrees apart"):
        procedure.confirm()


def test_moving_joint_is_not_taken() -> None:
    person, procedure = Person(SO101, SO101.servos), Procedure(SO101)
    for position in (0.0, 0.1, 0.2, 0.3, 0.4):
        person.positions["shoulder_pan"] = position
        procedure.feed(person.ticks())
    with pytest.raises(RobotError, match="shoulder_pan moves; hold it still"):
        procedure.confirm()


def test_no_reading_is_taken_for_a_place() -> None:
    with pytest.raises(RobotError, match="too few readings came"):
        Procedure(SO101).confirm()


def test_leap_between_two_readings_is_not_guessed_at() -> None:
    person, procedure = Person(SO101, SO101.servos), Procedure(SO101)
    person.obey(procedure)
    person.positions["shoulder_pan"] = 0.0  # 119 degrees in no time
    with pytest.raises(RobotError, match="moved 119 degrees between two readings"):
        procedure.feed(person.ticks())
    step = procedure.step
    assert step is not None
    assert step.which == "first"


def test_it_goes_on_at_the_joint_where_it_was_left() -> None:
    person, procedure = Person(SO101, SO101.servos), Procedure(SO101)
    for _ in range(5):  # two joints and a half
        person.obey(procedure)
    resumed = Procedure(SO101, procedure.done.values())
    step = resumed.step
    assert step is not None
    assert (step.joint, step.which, step.number, step.total) == ("elbow_flex", "first", 5, 12)
    assert calibrated(person, resumed).calibration("1") == calibrated(
        Person(SO101, SO101.servos), Procedure(SO101)
    ).calibration("1")


def test_unfinished_calibration_names_what_is_missing() -> None:
    with pytest.raises(RobotError, match="not measured yet: shoulder_pan, shoulder_lift"):
        Procedure(SO101).calibration("1")


def test_joint_can_be_measured_again() -> None:
    procedure = calibrated(Person(SO101, SO101.servos), Procedure(SO101))
    procedure.redo("wrist_flex")
    step = procedure.step
    assert step is not None
    assert step.joint == "wrist_flex"
    with pytest.raises(RobotError, match=re.escape("has no joint 'knee'; it has shoulder_pan")):
        procedure.redo("knee")


def test_every_step_is_a_sentence_that_names_its_joint(arm: ArmModel) -> None:
    person, procedure = Person(arm, arm.servos), Procedure(arm)
    said = []
    while (step := procedure.step) is not None:
        assert step.words.startswith(f"{step.joint}: ")
        said.append(step.words)
        person.obey(procedure)
    assert len(set(said)) == 2 * arm.spec.action_dim
