"""Laws of an arm of servos, on the emulator's servos in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.robot.bus.line import MemoryLink

from demoloop.robot.arm import Arm
from demoloop.robot.arms import ARMS, ArmModel
from demoloop.robot.bus import bus_over
from demoloop.robot.emulator.dynamixel import DynamixelChain
from demoloop.robot.emulator.dynamixel_servo import DynamixelServo
from demoloop.robot.emulator.faults import (
    BrownOut,
    Corrupt,
    Dead,
    Drop,
    DuplicateId,
    Mute,
    UnderVoltage,
    WrongModel,
)
from demoloop.robot.emulator.feetech import FeetechChain
from demoloop.robot.emulator.feetech_servo import FeetechServo
from demoloop.robot.errors import Disconnected, RobotError
from demoloop.robot.servo_arm import ServoArm
from demoloop.robot.servo_checks import servo_ids

RAD_PER_TICK = 2 * np.pi / 4096
KINDS = pytest.mark.parametrize("name", ["so101", "koch", "viperx_300s"])


def emulated(name: str = "so101", *, max_velocity: float = np.inf) -> tuple[MemoryLink, ServoArm]:
    """An arm at its home, torque off, not connected."""
    model = ARMS[name]
    chain = FeetechChain([]) if model.servos.bus == "feetech" else DynamixelChain([])
    for joint, at in zip(model.servos.joints, model.home, strict=True):
        for servo_id in servo_ids(joint):
            servo = (
                FeetechServo(servo_id, baud=model.servos.baud)
                if model.servos.bus == "feetech"
                else DynamixelServo(servo_id, joint.model, baud=model.servos.baud)
            )
            if servo_id == joint.shadow_id:
                servo.memory["secondary_id"] = joint.id
            servo.motor.shaft.position = joint.scale.to_tick(at) * RAD_PER_TICK  # type: ignore[misc]
            servo.tick(0.0)
            chain.servos.append(servo)  # type: ignore[arg-type]
    link = MemoryLink(chain)
    spec = replace(model.spec, cameras=())
    return link, ServoArm(
        spec, model.servos, bus_over(model.servos, link), read_s=0.02, max_velocity=max_velocity
    )


def connected(name: str = "so101") -> tuple[MemoryLink, ServoArm]:
    link, arm = emulated(name)
    arm.connect()
    return link, arm


def torques(link: MemoryLink) -> list[int]:
    return [servo.memory["torque_enable"] for servo in link.chain.servos]


def cycles(link: MemoryLink, arm: ServoArm, num: int) -> None:
    for _ in range(num):
        arm.observe()
        link.pass_time(0.01)


def home(name: str = "so101") -> np.ndarray:
    return np.array(ARMS[name].home, np.float32)


def test_it_is_an_arm() -> None:
    arm: Arm = emulated()[1]
    assert arm.spec.name == "so101"


@KINDS
def test_connecting_moves_nothing_and_switches_nothing(name: str) -> None:
    link, arm = emulated(name)
    before = [servo.motor.shaft.position for servo in link.chain.servos]
    arm.connect()
    cycles(link, arm, 20)
    assert torques(link) == [0] * len(before)
    assert [servo.motor.shaft.position for servo in link.chain.servos] == before


@KINDS
def test_joints_are_read_in_their_own_units(name: str) -> None:
    link, arm = connected(name)
    observation = arm.observe()
    dim = arm.spec.action_dim
    np.testing.assert_allclose(observation.proprioception[:dim], home(name), atol=2e-3)
    assert not observation.proprioception[dim:].any()
    assert observation.time == pytest.approx(link.time, abs=0.01)
    assert arm.health().silent == () and not arm.health().alarms


@KINDS
def test_an_action_is_where_the_arm_goes(name: str) -> None:
    link, arm = connected(name)
    arm.enable_torque()
    wanted = home(name) + np.float32(0.1)
    sent = arm.act(wanted)
    cycles(link, arm, 150)
    np.testing.assert_allclose(sent, wanted, atol=2e-3)
    np.testing.assert_allclose(arm.observe().proprioception[: len(wanted)], wanted, atol=5e-3)


@KINDS
def test_velocity_has_the_sign_and_size_of_the_motion(name: str) -> None:
    link, arm = connected(name)
    arm.enable_torque()
    goal, dim = home(name), arm.spec.action_dim
    for _ in range(60):
        goal = goal + np.float32(0.003)
        arm.act(goal)
        cycles(link, arm, 1)
    at = arm.observe().proprioception
    link.pass_time(0.02)
    moved = (arm.observe().proprioception[:dim] - at[:dim]) / 0.02
    assert (at[dim:] > 0).all()
    np.testing.assert_allclose(at[dim:], moved, atol=0.25)


@KINDS
def test_a_servo_keeps_to_the_greatest_velocity_by_itself(name: str) -> None:
    link, arm = emulated(name, max_velocity=1.0)
    arm.connect()
    arm.enable_torque()
    arm.act(home(name) + np.array([1.0, *[0] * (arm.spec.action_dim - 1)], np.float32))
    speeds = []
    for _ in range(50):
        speeds.append(float(arm.observe().proprioception[arm.spec.action_dim]))
        link.pass_time(0.01)
    assert 0.9 < max(speeds) < 1.1


@KINDS
def test_torque_comes_on_where_the_arm_is_whatever_the_goals_were(name: str) -> None:
    link, arm = connected(name)
    for servo in link.chain.servos:
        servo.memory["goal_position"] = 1000  # of yesterday
    arm.enable_torque()
    cycles(link, arm, 50)
    np.testing.assert_allclose(
        arm.observe().proprioception[: arm.spec.action_dim], home(name), atol=0.01
    )
    assert (arm.health().torque == 1).all()


def test_torque_that_is_not_confirmed_by_all_is_taken_back_from_all() -> None:
    link, arm = connected()
    link.wire.inject(Dead(id=4))
    with pytest.raises(RobotError, match="torque stays off: servo 4"):
        arm.enable_torque()
    assert torques(link) == [0] * 6


def test_one_servo_that_refuses_torque_leaves_the_others_off_too() -> None:
    link, arm = connected("koch")
    link.chain.servos[2].trip("overload")  # shut down: no torque until it is rebooted
    link.pass_time(0.01)
    arm.observe()
    with pytest.raises(RobotError, match="does not take torque_enable = 1"):
        arm.enable_torque()
    assert torques(link) == [0] * 6


@KINDS
def test_torque_off_reaches_all_and_is_read_back(name: str) -> None:
    link, arm = connected(name)
    arm.enable_torque()
    before = link.time
    assert arm.disable_torque() == ()
    assert link.time - before < 0.02
    assert not any(torques(link))
    assert (arm.health().torque == 0).all()


@pytest.mark.parametrize("fault", [Dead(id=2), Mute(id=2), Corrupt(id=2)])
def test_torque_off_reaches_the_others_when_one_is_in_trouble(
    fault: Dead | Mute | Corrupt,
) -> None:
    # Peers stop at the first servo that complains, and leave those after it on.
    link, arm = connected()
    arm.enable_torque()
    link.wire.inject(fault)
    assert arm.disable_torque() == ("shoulder_lift",)
    assert not any(torques(link))


def test_an_overloaded_servo_is_no_reason_to_leave_torque_on() -> None:
    link, arm = connected()
    arm.enable_torque()
    link.chain.servos[1].trip("overload")
    assert arm.disable_torque() == ()
    assert not any(torques(link))


def test_torque_off_gets_through_a_line_that_loses_every_fifth_packet() -> None:
    link, arm = connected()
    for on in ("requests", "answers"):
        link.wire.clear()
        arm.enable_torque()
        link.wire.inject(Drop(share=0.2, on=on))  # type: ignore[arg-type]
        unconfirmed = arm.disable_torque()
        on_still = [
            joint.name
            for joint, torque in zip(ARMS["so101"].servos.joints, torques(link), strict=True)
            if torque
        ]
        assert set(on_still) <= set(unconfirmed)


def test_torque_off_of_an_arm_that_is_gone_names_all_joints_and_raises_nothing() -> None:
    link, arm = connected()
    link.is_there = False
    assert arm.disable_torque() == arm.spec.joint_names
    arm.close()


def test_a_limit_reaches_each_servo_in_its_share() -> None:
    link, arm = connected()
    arm.limit_torque(0.4)
    shares = [joint.torque_share for joint in ARMS["so101"].servos.joints]
    limits = [servo.memory["torque_limit"] for servo in link.chain.servos]
    assert limits == [round(400 * share) for share in shares]


def test_a_servo_that_lost_its_limit_is_told_again() -> None:
    link, arm = connected()
    arm.enable_torque()
    arm.limit_torque(0.4)
    link.wire.inject(BrownOut(id=1))
    assert link.chain.servos[0].memory["torque_limit"] == 1000
    cycles(link, arm, 30)
    assert link.chain.servos[0].memory["torque_limit"] == 400
    assert arm.health().torque[0] == 0  # and it is seen


def test_a_leader_that_is_only_read_is_written_nothing() -> None:
    link, arm = connected()
    link.sent.clear()
    cycles(link, arm, 50)
    assert {request[4] for request in link.sent} == {0x82}  # SYNC READ


@KINDS
def test_a_silent_joint_stays_where_it_was_and_is_named(name: str) -> None:
    link, arm = connected(name)
    arm.observe()
    link.wire.inject(Mute(id=2))
    observation = arm.observe()
    assert arm.health().silent == (arm.spec.joint_names[1],)
    np.testing.assert_allclose(
        observation.proprioception[: arm.spec.action_dim], home(name), atol=2e-3
    )


def test_time_stands_still_when_nobody_answers() -> None:
    link, arm = connected()
    before = arm.observe().time
    link.wire.inject(Mute())
    link.pass_time(0.01)
    assert arm.observe().time == before
    assert arm.health().silent == arm.spec.joint_names


def test_an_alarm_is_named_with_its_joint() -> None:
    link, arm = connected()
    link.chain.servos[5].trip("overload")
    link.pass_time(0.01)
    arm.observe()
    assert arm.health().alarms == {"gripper": ("overload",)}


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Dead(id=3), "elbow_flex: no servo answers to id 3; check the cable"),
        (Dead(), "no servo answers at 1000000 baud; switch the arm's power on"),
        (WrongModel(id=5), "wrist_roll: id 5 is model 1284 .*should be 777"),
        (UnderVoltage(volts=3.5), "shoulder_pan: servo 1 has 3.5 V, and wants 4.0 to 8.0"),
        (DuplicateId(id=2, twin=3), "id 3 is garbled; two servos have this id"),
    ],
)
def test_what_is_wrong_with_an_arm_is_said_at_connecting(fault: object, sentence: str) -> None:
    link, arm = emulated()
    link.wire.inject(fault)  # type: ignore[arg-type]
    with pytest.raises(RobotError, match=sentence):
        arm.connect()
    assert not link.is_open
    with pytest.raises(Disconnected, match="connect"):
        arm.observe()


def test_a_foreign_calibration_is_refused_with_joint_and_numbers() -> None:
    link, arm = emulated()
    link.chain.servos[2].motor.shaft.position += 1.6
    link.chain.servos[2].tick(0.0)
    with pytest.raises(RobotError, match=r"elbow_flex stands at 2\.55 rad .*\[-1.69, 1.69\]"):
        arm.connect()


def test_a_servo_that_counts_turns_is_refused() -> None:
    link, arm = emulated()
    servo = link.chain.servos[0]
    servo.memory["phase"] |= 1 << 4
    servo.motor.shaft.position += 2 * np.pi
    servo.tick(0.0)
    with pytest.raises(RobotError, match=r"shoulder_pan: servo 1 stands at tick .* bit 4"):
        arm.connect()


def test_a_servo_in_another_mode_is_refused() -> None:
    link, arm = emulated()
    link.chain.servos[3].memory["mode"] = 1
    with pytest.raises(RobotError, match="wrist_flex: servo 4 is in operating mode 1"):
        arm.connect()


def test_a_goal_beyond_the_turn_of_a_servo_becomes_its_end() -> None:
    model: ArmModel = ARMS["so101"]
    link, arm = emulated()
    joints = (replace(model.servos.joints[0], zero_tick=3500), *model.servos.joints[1:])
    servos = replace(model.servos, joints=joints)
    arm = ServoArm(arm.spec, servos, bus_over(servos, link))
    link.chain.servos[0].motor.shaft.position = 3500 * RAD_PER_TICK
    link.chain.servos[0].tick(0.0)
    arm.connect()
    goal = home()
    goal[0] = 1.5
    sent = arm.act(goal)
    assert link.chain.servos[0].memory["goal_position"] == 4095
    assert sent[0] == pytest.approx((4095 - 3500) * RAD_PER_TICK)


def test_unplugging_is_said_and_connecting_again_is_an_explicit_act() -> None:
    link, arm = connected()
    arm.enable_torque()
    link.is_there = False
    with pytest.raises(Disconnected):
        arm.observe()
    link.is_there = True
    arm.close()
    with pytest.raises(Disconnected, match=r"connect\(\) first"):
        arm.act(home())
    arm.connect()
    assert arm.observe().proprioception.shape == (12,)


def test_closing_brings_it_to_rest_and_may_be_repeated() -> None:
    link, arm = connected()
    arm.enable_torque()
    arm.close()
    assert not any(torques(link)) and not link.is_open
    arm.close()


def test_a_dynamixel_arm_stops_by_itself_when_nobody_speaks() -> None:
    link, arm = connected("koch")
    arm.enable_torque()
    cycles(link, arm, 20)
    assert not arm.health().alarms
    link.pass_time(0.3)  # the process was killed, say
    for _ in range(20):
        arm.observe()
        link.pass_time(0.01)
    assert any("watchdog" in alarms for alarms in arm.health().alarms.values())
    arm.disable_torque()
    arm.enable_torque()
    cycles(link, arm, 20)
    assert not arm.health().alarms
