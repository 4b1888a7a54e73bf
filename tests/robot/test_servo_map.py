"""Laws of ticks and joints."""

from __future__ import annotations

from math import pi

import pytest

from demoloop.robot.arms.servo_map import ServoJoint, ServoMap

PLAIN = ServoJoint("pan", 1, "sts3215", zero_tick=2000)
REVERSED = ServoJoint("lift", 2, "sts3215", sign=-1, zero_tick=2100)
AT_THE_SEAM = ServoJoint("roll", 3, "sts3215", zero_tick=4000)
GRIPPER = ServoJoint("gripper", 6, "sts3215", closed_tick=3000, open_tick=1800)
TICK = 2 * pi / 4096


@pytest.mark.parametrize("joint", [PLAIN, REVERSED, AT_THE_SEAM, GRIPPER], ids=lambda it: it.name)
def test_a_goal_comes_back_as_the_joint_it_was(joint: ServoJoint) -> None:
    for wanted in (-0.2, 0.0, 0.4, 1.0):
        there = joint.scale.to_joint(joint.scale.to_tick(wanted))
        assert there == pytest.approx(wanted, abs=TICK / 2 + 1e-9)


def test_zero_tick_is_zero_and_a_quarter_turn_is_a_quarter_turn() -> None:
    assert PLAIN.scale.to_joint(2000) == 0
    assert PLAIN.scale.to_joint(2000 + 1024) == pytest.approx(pi / 2)
    assert REVERSED.scale.to_joint(2100 + 1024) == pytest.approx(-pi / 2)


def test_gripper_counts_from_closed_to_open_whichever_way_it_turns() -> None:
    scale = GRIPPER.scale
    assert (scale.to_joint(3000), scale.to_joint(2400), scale.to_joint(1800)) == (0, 0.5, 1)
    assert scale.to_joint_velocity(-1200) == 1


def test_a_reading_past_the_seam_of_the_turn_goes_on_counting() -> None:
    before, after = AT_THE_SEAM.scale.to_joint(4095), AT_THE_SEAM.scale.to_joint(0)
    assert after - before == pytest.approx(TICK)


def test_ids_are_in_the_order_of_the_joints() -> None:
    assert ServoMap("feetech", 1_000_000, (REVERSED, PLAIN)).ids == (2, 1)
