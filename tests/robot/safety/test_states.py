"""Laws of the states: who may do what when, what leaves torque on, and what comes to rest."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tests.robot.safety.simulated import REST, Cell, SimulatedArm

from demoloop.robot import ActionError, RobotError
from demoloop.robot.arm import Arm
from demoloop.robot.safety import Limits, SafetyError


def test_the_simulated_arm_is_one() -> None:
    assert isinstance(SimulatedArm(Cell().clock), Arm)


def test_connecting_moves_nothing_and_leaves_torque_off() -> None:
    cell = Cell().at_rest()
    assert cell.robot.state == "IDLE"
    assert not cell.arm.torque.any()
    assert "act" not in cell.arm.words and "enable" not in cell.arm.words


def test_an_arm_that_is_found_holding_is_let_go_slowly() -> None:
    cell = Cell()
    cell.arm.enable_torque()
    start = cell.clock.now()
    cell.robot.connect()
    assert cell.robot.state == "IDLE"
    assert not cell.arm.torque.any()
    assert cell.clock.now() - start > 0.9 * Limits().relax_s
    assert cell.robot.fault is None


@pytest.mark.parametrize(
    ("verb", "before", "sentence"),
    [
        ("arm", "DISCONNECTED", "so101 is DISCONNECTED: connect() first"),
        ("observe", "DISCONNECTED", "so101 is not connected; connect() first"),
        ("act", "DISCONNECTED", "so101 is DISCONNECTED: connect() first"),
        ("act", "IDLE", "so101 is IDLE: its torque is off: arm() first"),
        ("hold", "IDLE", "so101 is IDLE: its torque is off: arm() first"),
        ("reset", "IDLE", "so101 is IDLE: its torque is off: arm() first"),
        ("connect", "IDLE", "so101 is IDLE: its torque is off: arm() first"),
        ("reset_fault", "IDLE", "so101 has no fault to reset; it is IDLE"),
        ("arm", "ARMED", "so101 is ARMED: it holds: relax() first"),
        ("arm", "RUNNING", "so101 is RUNNING: it moves: hold() or relax() first"),
    ],
)
def test_a_wrong_call_is_refused_with_the_next_step(verb: str, before: str, sentence: str) -> None:
    cell = Cell()
    if before != "DISCONNECTED":
        {"IDLE": cell.at_rest, "ARMED": cell.armed, "RUNNING": cell.running}[before]()
    call = getattr(cell.robot, verb)
    with pytest.raises(SafetyError, match=re.escape(sentence)):
        call(REST.astype(np.float32)) if verb == "act" else call()
    assert cell.robot.state == before


def test_switching_torque_on_moves_nothing() -> None:
    cell = Cell().at_rest()
    cell.arm.goal[:] = 0.4  # what a servo may remember
    cell.arm.q[1:3] = 0.0, -1.57  # upright: it stays there without torque
    before = cell.here()
    cell.robot.arm()
    assert cell.robot.state == "ARMED"
    assert cell.arm.torque.all() and (cell.arm.share == 1.0).all()
    assert np.abs(cell.here() - before).max() <= 0.01


def test_torque_comes_gradually() -> None:
    cell = Cell().at_rest()
    shares: list[float] = []
    limit = cell.arm.limit_torque

    def note(share: float) -> None:
        shares.append(share)
        limit(share)

    cell.arm.limit_torque = note  # type: ignore[method-assign]
    cell.robot.arm()
    assert shares[0] == Limits().arm_share and shares[-1] == 1.0
    assert max(np.diff(shares)) < 0.1


def test_a_joint_far_outside_its_range_is_not_armed() -> None:
    cell = Cell().at_rest()
    cell.arm.advance = lambda: None  # type: ignore[method-assign]  # somebody holds it there
    cell.arm.q[3] = 1.9
    with pytest.raises(SafetyError, match=r"wrist_flex is at 1\.90 rad, outside \[-1\.66, 1\.66\]"):
        cell.robot.arm()
    assert cell.robot.state == "IDLE" and not cell.arm.torque.any()


def test_torque_that_cannot_be_switched_on_is_off_everywhere() -> None:
    cell = Cell().at_rest()

    def break_off() -> None:
        cell.arm.torque[:3] = 1.0
        raise RobotError("servo 4 refuses")

    cell.arm.enable_torque = break_off  # type: ignore[method-assign]
    with pytest.raises(RobotError, match="servo 4 refuses"):
        cell.robot.arm()
    assert cell.robot.state == "IDLE" and not cell.arm.torque.any()


def test_the_first_action_is_approached_slowly_however_far_it_is() -> None:
    cell = Cell().armed()
    cell.arm.speeds.clear()
    target = REST.copy()
    target[0] = 1.2
    for _ in range(150):
        cell.tick(target)
    assert cell.robot.state == "RUNNING"
    assert np.abs(cell.arm.speeds)[:, 0].max() <= 1.05 * Limits().start_speed
    cell.drive(target, 2.0)
    assert abs(cell.arm.q[0] - 1.2) < 0.02


def test_what_is_within_all_limits_passes_unchanged() -> None:
    cell = Cell().running()
    base = cell.here()
    cell.drive(base, 0.3)
    start = cell.clock.now()
    for _ in range(300):
        at = cell.clock.now() - start
        # At most 0.4 * 4 / 2 = 0.8 rad/s and 3.2 rad/s^2.
        target = base + np.array([0.4, 0, 0, 0, 0.4, 0]) * (1 - np.cos(4 * at)) / 2
        sent = cell.tick(target)
        assert sent is not None
        np.testing.assert_allclose(sent, target, atol=1e-6)


def test_holding_slows_down_within_the_limits_and_acting_again_begins_slowly() -> None:
    cell = Cell(Limits(jump_rad=9.0)).running()
    target = cell.here()
    target[0] += 1.5
    cell.drive(target, 0.25)
    assert abs(cell.arm.dq[0]) > 1.0
    cell.robot.hold()
    assert cell.robot.state == "ARMED"
    for _ in range(40):
        cell.tick()
    assert abs(cell.arm.dq[0]) < 0.02
    cell.arm.speeds.clear()
    cell.drive(target, 0.5)
    assert np.abs(cell.arm.speeds)[:, 0].max() <= 1.05 * Limits().start_speed


def test_homing_is_slow_and_arrives() -> None:
    home = REST.copy()
    home[0], home[4] = 0.8, -0.7
    cell = Cell(home=home.astype(np.float32)).armed()
    cell.arm.speeds.clear()
    cell.robot.reset()
    assert cell.robot.state == "ARMED"
    np.testing.assert_allclose(cell.arm.q[[0, 4]], home[[0, 4]], atol=0.02)
    assert np.abs(cell.arm.speeds)[:, :5].max() <= 1.05 * Limits().start_speed


def test_a_pose_outside_the_limits_is_refused_before_anything_moves() -> None:
    cell = Cell().armed()
    with pytest.raises(ActionError, match=r"shoulder_pan: target 3\.0000"):
        cell.robot.go(np.array([3, 0, 0, 0, 0, 0], np.float32))
    assert cell.robot.state == "ARMED"


def test_relaxing_takes_its_time_and_ends_without_torque() -> None:
    cell = Cell().running()
    start = cell.clock.now()
    cell.robot.relax()
    assert cell.robot.state == "IDLE" and not cell.arm.torque.any()
    assert cell.clock.now() - start >= Limits().relax_s
    assert cell.robot.fault is None  # an arm that sinks is away from its goal, and is to be


def test_an_arm_that_sinks_for_long_is_away_from_its_goal_and_that_is_no_fault() -> None:
    cell = Cell(Limits(relax_s=12.0)).running()
    goal = cell.arm.goal.copy()
    cell.robot.relax()
    assert np.abs(cell.arm.q - goal).max() > Limits().following_rad
    assert cell.robot.fault is None


@pytest.mark.parametrize("before", ["at_rest", "armed", "running"])
def test_closing_leaves_no_torque_in_any_state(before: str) -> None:
    cell = getattr(Cell(), before)()
    cell.robot.close()
    cell.robot.close()
    assert cell.robot.state == "DISCONNECTED"
    assert cell.arm.closed and not cell.arm.torque.any()


def test_leaving_the_block_by_an_error_brings_the_arm_to_rest() -> None:
    cell = Cell()
    with pytest.raises(KeyError), cell.robot as robot:
        robot.arm()
        cell.drive(cell.here(), 0.1)
        raise KeyError("the policy broke")
    assert cell.robot.state == "DISCONNECTED"
    assert cell.arm.closed and not cell.arm.torque.any()


def test_ctrl_c_while_relaxing_still_takes_all_torque() -> None:
    cell = Cell().running()
    sleep = cell.clock.sleep_until
    calls = [0]

    def interrupted(deadline: float) -> None:
        calls[0] += 1
        if calls[0] == 20:
            raise KeyboardInterrupt
        sleep(deadline)

    cell.clock.sleep_until = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        cell.robot.close()
    assert cell.arm.closed and not cell.arm.torque.any()


def test_every_transition_is_told_once() -> None:
    cell = Cell().running()
    cell.robot.hold()
    cell.robot.relax()
    cell.robot.close()
    assert [(event.before, event.after) for event in cell.events] == [
        ("DISCONNECTED", "IDLE"),
        ("IDLE", "ARMED"),
        ("ARMED", "RUNNING"),
        ("RUNNING", "ARMED"),
        ("ARMED", "IDLE"),
        ("IDLE", "DISCONNECTED"),
    ]


@pytest.mark.parametrize("field", ["max_velocity", "heartbeat_s", "stall_load", "silent_misses"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_that_is_none_is_refused(field: str, value: float) -> None:
    with pytest.raises(RobotError, match=f"the limit {field} is"):
        Limits(**{field: value})  # type: ignore[arg-type]


def test_temperatures_and_corners_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(RobotError, match="temperatures must rise"):
        Limits(hot_c=70)
    with pytest.raises(RobotError, match="lowest corner first"):
        Limits(workspace_m=((0, 0, 0), (1, -1, 1)))
