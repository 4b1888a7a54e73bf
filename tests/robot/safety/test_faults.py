"""Laws of faults: each cause has its state, its sentence, its reaction, and its time."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from tests.robot.safety.simulated import Cell

from demoloop.robot import ActionError
from demoloop.robot.safety import Fault, Limits, SafetyError

LIMITS = Limits()
JOINTS = range(6)


def fault_of(cell: Cell) -> Fault:
    assert cell.robot.state == "FAULT"
    assert cell.robot.fault is not None
    return cell.robot.fault


def assert_holds_softly(cell: Cell) -> None:
    """With its torque on, limited, and the goal within a hair of where the joints are."""
    cell.drive_none(0.3)
    assert cell.arm.torque.all()
    assert (cell.arm.share == LIMITS.hold_share).all()
    assert np.abs(cell.arm.dq).max() < 0.05


def assert_lets_go(cell: Cell) -> None:
    shares = []
    for _ in range(200):
        cell.tick()
        shares.append(float(cell.arm.share[0]))
        if not cell.arm.torque.any():
            break
    assert not cell.arm.torque.any()
    assert len(shares) > 40  # not at once
    assert max(np.diff(shares)) <= 0


# -- the arm ------------------------------------------------------------------------------------


@pytest.mark.parametrize("alarm", ["overload", "voltage", "encoder"])
def test_an_alarm_is_a_fault_at_the_next_look(alarm: str) -> None:
    cell = Cell().running()
    cell.arm.alarms = {"elbow_flex": (alarm,)}
    assert cell.run_until_fault(cell.here(), 1.0) <= 0.02
    fault = fault_of(cell)
    assert (fault.kind, fault.joint, fault.reaction) == ("alarm", "elbow_flex", "hold")
    assert f"elbow_flex: its servo reports {alarm}" in fault.sentence
    assert "then reset_fault()" in fault.sentence
    assert_holds_softly(cell)


@pytest.mark.parametrize("alarm", ["overheat", "overcurrent"])
def test_an_alarm_that_holding_on_would_make_worse_lets_go(alarm: str) -> None:
    cell = Cell().running()
    cell.arm.alarms = {"shoulder_lift": (alarm,)}
    cell.run_until_fault(cell.here(), 1.0)
    assert fault_of(cell).reaction == "relax"
    assert_lets_go(cell)


def test_a_silent_joint_is_a_fault_after_60_ms_and_three_looks() -> None:
    cell = Cell().running()
    cell.arm.silent = ("wrist_roll",)
    took = cell.run_until_fault(cell.here(), 1.0)
    assert 0.05 <= took <= 0.08
    fault = fault_of(cell)
    assert (fault.kind, fault.joint, fault.limit) == ("silent", "wrist_roll", 0.06)
    assert "wrist_roll does not answer for 0.0" in fault.sentence
    assert "check the cable before it" in fault.sentence
    cell.drive_none(0.3)
    assert (cell.arm.share == LIMITS.hold_share).all()


def test_a_dead_bus_is_a_fault_within_80_ms() -> None:
    cell = Cell().running()
    cell.arm.silent = cell.arm.spec.joint_names
    assert cell.run_until_fault(cell.here(), 1.0) <= 0.08
    assert "no servo answers for" in fault_of(cell).sentence


def test_lost_replies_here_and_there_are_none() -> None:
    cell = Cell().running()
    rng = np.random.default_rng(0)
    names, here = np.array(cell.arm.spec.joint_names), cell.here()
    for _ in range(500):
        cell.arm.silent = tuple(names[rng.random(6) < 0.1])
        cell.tick(here)
    assert cell.robot.state == "RUNNING"


def test_a_slow_loop_that_misses_twice_is_judged_by_count() -> None:
    cell = Cell().running()
    here = cell.here()
    for is_silent in (True, True, False, True, True, False):  # 80 ms at a time
        cell.arm.silent = ("gripper",) if is_silent else ()
        cell.tick(here)
        cell.clock.time += 0.03
    assert cell.robot.state == "RUNNING"


def test_a_quick_loop_that_misses_three_times_is_judged_by_time() -> None:
    cell = Cell().running()
    here = cell.here()
    for _ in range(3):  # three misses in 30 ms
        cell.arm.silent = ("gripper",)
        cell.tick(here)
    cell.arm.silent = ()
    cell.tick(here)
    assert cell.robot.state == "RUNNING"


def test_a_loop_that_was_kept_from_running_does_not_take_that_for_silence() -> None:
    cell = Cell().running()
    here = cell.here()
    cell.arm.silent = ("gripper",)
    for _ in range(3):  # three misses in 0.2 s, of which it listened for a fifth
        cell.tick(here)
        cell.clock.time += 0.06
    assert cell.robot.state == "RUNNING"
    assert cell.run_until_fault(here, 1.0) <= 0.04
    assert fault_of(cell).kind == "silent"


@pytest.mark.parametrize("at", JOINTS)
def test_a_servo_that_resets_is_a_fault_at_the_next_look(at: int) -> None:
    cell = Cell().running()
    cell.arm.torque[at] = 0.0
    assert cell.run_until_fault(cell.here(), 1.0) <= 0.02
    fault = fault_of(cell)
    assert (fault.kind, fault.joint) == ("brown-out", cell.arm.spec.joint_names[at])
    assert "lost its torque by itself" in fault.sentence


@pytest.mark.parametrize("at", range(5))
def test_a_joint_that_is_held_is_a_stall_and_pushes_no_longer(at: int) -> None:
    cell = Cell(Limits(jump_rad=9)).running()
    target = cell.here()
    cell.arm.stops[at] = float(target[at]) + 0.1
    target[at] += 0.6
    took = cell.run_until_fault(target, 2.0)
    fault = fault_of(cell)
    assert (fault.kind, fault.joint) == ("stall", cell.arm.spec.joint_names[at])
    assert re.search(r"pushes with \d+ % of its drive and is 0\.\d\d rad from", fault.sentence)
    assert took < 0.25 + 0.35  # the way there, and a quarter of a second
    cell.drive_none(0.2)
    assert abs(cell.arm.goal[at] - cell.arm.q[at]) < 0.05


def test_a_joint_that_does_not_come_along_is_a_fault_though_it_is_not_loaded() -> None:
    cell = Cell(Limits(jump_rad=9)).running()
    cell.arm.fixed_load = 0.0  # its horn has slipped: it moves, the joint does not
    target = cell.here()
    cell.arm.stops[0] = 0.05
    target[0] = 1.0
    cell.run_until_fault(target, 2.0)
    fault = fault_of(cell)
    assert (fault.kind, fault.joint, fault.limit) == ("following", "shoulder_pan", 0.35)
    assert fault.value > 0.35
    assert "from where it was sent, at most 0.35 for 0.25 s" in fault.sentence
    assert_holds_softly(cell)


def test_a_joint_too_weak_for_the_speed_but_coming_is_no_fault() -> None:
    cell = Cell(Limits(jump_rad=9)).running()
    cell.arm.share[:] = 0.75
    target = cell.here()
    target[1] += 1.5
    cell.drive(target, 2.0)
    assert cell.robot.state == "RUNNING"


def test_heat_is_said_then_takes_torque_then_lets_go() -> None:
    cell = Cell().running()
    cell.arm.temperature[2] = 56.0
    cell.drive(cell.here(), 0.5)
    assert cell.robot.state == "RUNNING"
    assert cell.sentences().count("elbow_flex has 56 degrees C") == 1
    assert cell.arm.share[0] == 1.0
    cell.arm.temperature[2] = 62.5
    cell.drive(cell.here(), 0.5)
    assert cell.robot.state == "RUNNING"
    assert cell.arm.share[0] == pytest.approx(0.7)
    cell.arm.temperature[2] = 66.0
    took = cell.run_until_fault(cell.here(), 1.0)
    assert 0.25 <= took <= 0.27
    fault = fault_of(cell)
    assert (fault.kind, fault.joint, fault.value, fault.limit) == (
        "temperature", "elbow_flex", 66.0, 65.0,
    )  # fmt: skip
    assert "elbow_flex has 66 degrees C, at most 65; let it cool" in fault.sentence
    assert_lets_go(cell)


def test_one_wrong_temperature_is_no_fault() -> None:
    cell = Cell().running()
    for _ in range(20):
        cell.arm.temperature[0] = 121.0  # a corrupted frame that passed its checksum
        cell.tick(cell.here())
        cell.arm.temperature[0] = 35.0
        cell.drive(cell.here(), 0.05)
    assert cell.robot.state == "RUNNING"


def test_too_much_current_lets_go() -> None:
    cell = Cell().running()
    cell.arm.extra_current[5] = 2.5
    took = cell.run_until_fault(cell.here(), 1.0)
    assert 0.5 <= took <= 0.53
    fault = fault_of(cell)
    assert (fault.kind, fault.joint, fault.limit) == ("current", "gripper", 2.2)
    assert re.search(r"gripper takes 2\.\d\d A, at most 2\.20", fault.sentence)
    assert_lets_go(cell)


@pytest.mark.parametrize("volt", [6.1, 8.7])
def test_a_supply_that_changes_is_a_fault(volt: float) -> None:
    cell = Cell().running()
    cell.arm.voltage[:] = volt
    took = cell.run_until_fault(cell.here(), 1.0)
    assert 0.25 <= took <= 0.27
    fault = fault_of(cell)
    assert (fault.kind, fault.value) == ("voltage", volt)
    assert f"has {volt} V, 6.3 to 8.5 expected; check the power supply" in fault.sentence
    assert_holds_softly(cell)


@pytest.mark.parametrize("volt", [5.0, 7.4, 12.0])
def test_any_usual_supply_will_do_and_two_in_one_arm(volt: float) -> None:
    cell = Cell()
    cell.arm.voltage[:] = [volt] * 3 + [5.0] * 3
    cell.running()
    assert cell.robot.state == "RUNNING"


def test_a_supply_that_no_servo_stands_is_a_fault_before_torque_is_on() -> None:
    cell = Cell().at_rest()
    cell.arm.voltage[:] = 3.0
    cell.look(1.0)
    fault = fault_of(cell)
    assert (fault.kind, fault.limit) == ("voltage", 4.5)
    with pytest.raises(SafetyError, match=r"shoulder_pan has 3\.0 V"):
        cell.robot.arm()


# -- who commands -------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [math.nan, math.inf, 3.0])
def test_an_action_that_is_none_stops_the_arm(wrong: float) -> None:
    cell = Cell().running()
    action = cell.here()
    action[2] = wrong
    with pytest.raises(ActionError, match="so101, elbow_flex: target"):
        cell.tick(action)
    fault = fault_of(cell)
    assert (fault.kind, fault.reaction) == ("command", "brake")
    assert "elbow_flex" in fault.sentence and "then reset_fault()" in fault.sentence
    assert_holds_softly(cell)


def test_an_action_of_another_shape_stops_the_arm() -> None:
    cell = Cell().running()
    with pytest.raises(ActionError, match=r"shape \(6,\), got \(7,\)"):
        cell.tick(np.zeros(7))
    assert fault_of(cell).kind == "command"


def test_a_jump_stops_the_arm_within_its_limits() -> None:
    cell = Cell().running()
    target = cell.here()
    for _ in range(40):  # 2 rad/s, which is fine
        target[0] += 0.02
        cell.tick(target)
    assert cell.arm.dq[0] > 1.5
    target[0] -= 0.5
    with pytest.raises(
        SafetyError, match=r"shoulder_pan was told to jump 0\.50 rad, at most 0\.35"
    ):
        cell.tick(target)
    fault = fault_of(cell)
    assert (fault.kind, fault.joint, fault.limit) == ("jump", "shoulder_pan", 0.35)
    goals = [cell.arm.goal[0]]
    for _ in range(20):
        cell.tick()
        goals.append(cell.arm.goal[0])
    steps = np.diff(goals)
    assert (np.diff(steps[1:]) <= 1e-6).all()  # slower and slower, after one short tick
    assert steps[1] > 0.005 and steps[-1] == 0.0  # not at once, but in the end
    assert_holds_softly(cell)


def test_a_gripper_may_be_told_to_close_at_once() -> None:
    cell = Cell().running()
    target = cell.here()
    target[5] = 0.0
    cell.drive(target, 1.0)
    assert cell.robot.state == "RUNNING" and cell.arm.q[5] < 0.02


def test_without_actions_a_running_arm_stops_after_200_ms() -> None:
    cell = Cell().running()
    took = cell.look(1.0)
    assert 0.19 <= took <= 0.22
    fault = fault_of(cell)
    assert (fault.kind, fault.limit) == ("heartbeat", 0.2)
    assert "no action for 0.2" in fault.sentence and "ended without hold()" in fault.sentence
    assert_holds_softly(cell)


def test_an_armed_arm_waits_for_ever() -> None:
    cell = Cell().armed()
    cell.drive_none(5.0)
    assert cell.robot.state == "ARMED"


def test_an_action_that_answers_an_old_look_stops_the_arm() -> None:
    cell = Cell().running()
    cell.robot.observe()
    cell.clock.time += 0.3  # the policy thinks
    with pytest.raises(SafetyError, match=r"answers a look 0\.30 s ago, at most 0\.20"):
        cell.robot.act(cell.here().astype(np.float32))
    assert fault_of(cell).kind == "heartbeat"


def test_an_old_picture_stops_a_running_arm_and_no_other() -> None:
    cell = Cell()
    cell.arm.image_age_s = 0.3
    cell.armed()
    cell.drive_none(1.0)
    assert cell.robot.state == "ARMED"
    cell.run_until_fault(cell.here(), 1.0)
    fault = fault_of(cell)
    assert (fault.kind, fault.joint, fault.limit) == ("camera", "wrist", 0.25)
    assert "the picture of camera wrist is 0.30 s old, at most 0.25" in fault.sentence
    assert_holds_softly(cell)


# -- latched ------------------------------------------------------------------------------------


def test_a_fault_stays_until_a_person_resets_it() -> None:
    cell = Cell().running()
    cell.arm.alarms = {"gripper": ("overload",)}
    cell.run_until_fault(cell.here(), 1.0)
    cell.arm.alarms = {}
    cell.drive_none(5.0)
    for call in (cell.robot.arm, cell.robot.hold, cell.robot.reset):
        with pytest.raises(SafetyError, match="so101 is in FAULT: gripper: its servo reports"):
            call()
    with pytest.raises(SafetyError, match="so101 is in FAULT"):
        cell.robot.act(cell.here().astype(np.float32))
    cell.robot.reset_fault()
    assert cell.robot.state == "IDLE" and cell.robot.fault is None
    assert not cell.arm.torque.any()
    cell.robot.arm()
    assert cell.robot.state == "ARMED"


def test_a_cause_that_is_still_there_comes_back() -> None:
    cell = Cell().running()
    cell.arm.alarms = {"gripper": ("overload",)}
    cell.run_until_fault(cell.here(), 1.0)
    cell.robot.reset_fault()
    cell.tick()
    assert fault_of(cell).kind == "alarm"


def test_a_graver_fault_overrides_and_a_lesser_one_does_not() -> None:
    cell = Cell().running()
    cell.look(1.0)
    assert fault_of(cell).kind == "heartbeat"
    cell.arm.temperature[1] = 70.0
    cell.drive_none(0.3)
    assert fault_of(cell).kind == "temperature"
    cell.arm.alarms = {"gripper": ("overload",)}
    cell.drive_none(0.1)
    assert fault_of(cell).kind == "temperature"
    assert sum(event.fault is not None for event in cell.events) == 2
    assert_lets_go(cell)


def test_an_arm_in_fault_comes_to_rest_when_it_is_closed() -> None:
    cell = Cell().running()
    cell.look(1.0)
    cell.robot.close()
    assert not cell.arm.torque.any() and cell.arm.closed
    cell.robot.connect()
    assert cell.robot.state == "FAULT"  # nobody has looked at it


def test_torque_off_is_repeated_until_it_is_confirmed() -> None:
    cell = Cell().running()
    cell.arm.refuses_off = {"elbow_flex": 2}
    cell.robot.estop("key")
    assert not cell.arm.torque.any()
    assert "did not confirm" not in cell.sentences()


def test_torque_that_stays_on_is_named_reaches_the_others_and_is_tried_again() -> None:
    cell = Cell().running()
    cell.arm.refuses_off = {"elbow_flex": 10, "gripper": 10}
    with pytest.raises(SafetyError, match="elbow_flex, gripper did not confirm that torque is off"):
        cell.robot.relax()
    assert fault_of(cell).kind == "torque"
    assert cell.arm.torque.tolist() == [0, 0, 1, 0, 0, 1]
    assert "cut the power of so101" in fault_of(cell).sentence
    cell.drive_none(0.2)
    assert not cell.arm.torque.any()


def test_joints_that_never_confirm_are_given_up_and_said_when_closing() -> None:
    cell = Cell().running()
    cell.arm.refuses_off = {"elbow_flex": 10**6}
    cell.robot.estop("key")
    cell.drive_none(2.0)
    count = cell.arm.words.count("disable")
    cell.drive_none(2.0)
    assert cell.arm.words.count("disable") == count
    with pytest.raises(SafetyError, match="elbow_flex did not confirm"):
        cell.robot.close()
    assert cell.arm.closed


# -- plugs --------------------------------------------------------------------------------------


def test_unplugged_is_seen_at_the_next_word_and_comes_back_idle_without_torque() -> None:
    cell = Cell().running()
    here = cell.here()
    cell.arm.unplugged = True
    with pytest.raises(SafetyError, match="so101 is gone: /dev/ttyACM0 was unplugged"):
        cell.tick(here)
    assert cell.robot.state == "DISCONNECTED"
    cell.clock.time += 3.0
    with pytest.raises(SafetyError, match="so101 is unplugged"):
        cell.robot.observe()
    cell.arm.unplugged = False
    assert cell.arm.torque.all()  # servos keep what they were told
    start = cell.clock.now()
    while cell.robot.state == "DISCONNECTED":
        try:
            cell.tick()
        except SafetyError:
            cell.clock.sleep_until(cell.clock.now() + 0.01)
    assert cell.clock.now() - start <= 0.5
    assert cell.robot.state == "IDLE" and not cell.arm.torque.any()
    cell.drive_none(1.0)
    assert not cell.arm.torque.any()


def test_an_arm_that_was_in_fault_comes_back_in_fault() -> None:
    cell = Cell().running()
    cell.look(1.0)
    cell.arm.unplugged = True
    with pytest.raises(SafetyError):
        cell.tick()
    cell.arm.unplugged = False
    cell.tick()
    assert fault_of(cell).kind == "heartbeat"
    assert not cell.arm.torque.any()


def test_looking_for_an_unplugged_arm_ends() -> None:
    cell = Cell().running()
    cell.arm.unplugged = True
    with pytest.raises(SafetyError):
        cell.tick()
    cell.clock.time += 61.0
    cell.arm.unplugged = False
    with pytest.raises(SafetyError, match=r"did not come back within 60 s; plug it in and connect"):
        cell.robot.observe()
    cell.robot.connect()
    assert cell.robot.state == "IDLE"


def test_an_arm_is_looked_for_ten_times_per_second_at_most() -> None:
    cell = Cell().running()
    cell.arm.unplugged = True
    with pytest.raises(SafetyError):
        cell.tick()
    before = cell.arm.words.count("connect")
    for _ in range(100):
        cell.clock.time += 0.01
        with pytest.raises(SafetyError):
            cell.robot.observe()
    assert 8 <= cell.arm.words.count("connect") - before <= 12
