"""Laws of a leader arm: the follower does what the hand does, and nothing ever leaps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.teleop.hands import BLIND, DT, MIDDLE, HandheldLeader, look

from demoloop.robot import Action
from demoloop.robot.spec import RobotSpec
from demoloop.teleop import Leader, TeleopError
from demoloop.teleop.leader import AGREED, ALIGN_SPEED

Hand = Callable[[int], np.ndarray]
STEP = ALIGN_SPEED * DT + 1e-6  # rad per step while nobody moves the leader


def follow(
    leader: Leader, arm: HandheldLeader, num_steps: int, hand: Hand, start: Action = MIDDLE
) -> np.ndarray:
    """Commands (num_steps, 6) to a follower that is at once where it is sent."""
    position, commands = start, []
    for step in range(num_steps):
        arm.pose = hand(step).astype(np.float32)
        position = leader.decide(look(position, step * DT))
        commands.append(position)
    return np.array(commands)


def moved(**joints: float) -> Action:
    """MIDDLE with some joints elsewhere, by as much."""
    pose = MIDDLE.copy()
    for name, by in joints.items():
        pose[BLIND.joint_names.index(name)] += by
    return pose


def test_follower_copies_the_leader_joint_for_joint(leader_arm: HandheldLeader) -> None:
    def wave(step: int) -> np.ndarray:
        return MIDDLE + 0.3 * np.sin(0.1 * step + np.arange(6)) - 0.3 * np.sin(np.arange(6))

    commands = follow(Leader(leader_arm, BLIND), leader_arm, 100, wave)
    np.testing.assert_allclose(commands, [wave(step) for step in range(100)], atol=1e-6)


def test_joints_are_matched_by_name_whatever_their_order() -> None:
    reverse = replace(BLIND, name="reversed", joints=BLIND.joints[::-1])
    target = moved(elbow_flex=0.2, gripper=0.1)
    arm = HandheldLeader(MIDDLE[::-1], reverse)
    commands = follow(Leader(arm, BLIND), arm, 30, lambda _: target[::-1])
    assert commands[-1] == pytest.approx(target)


def test_at_the_start_nothing_moves_in_the_first_step(leader_arm: HandheldLeader) -> None:
    leader_arm.pose = moved(elbow_flex=0.5, gripper=0.5)
    assert Leader(leader_arm, BLIND).decide(look(MIDDLE)) == pytest.approx(MIDDLE)


def test_follower_goes_to_a_leader_that_differs_on_a_ramp(leader_arm: HandheldLeader) -> None:
    leader, target = Leader(leader_arm, BLIND), moved(elbow_flex=0.7, wrist_flex=-0.4)
    commands = follow(leader, leader_arm, 60, lambda _: target)
    steps = np.abs(np.diff(commands, axis=0, prepend=MIDDLE[None]))
    assert steps.max() <= STEP
    np.testing.assert_allclose(commands[-1], target, atol=1e-6)
    assert (leader.state, leader.status) == ("following", "")


def test_until_they_agree_the_status_says_which_joint_is_off(leader_arm: HandheldLeader) -> None:
    leader = Leader(leader_arm, BLIND)
    commands = follow(leader, leader_arm, 10, lambda _: moved(elbow_flex=0.7))
    assert abs(commands[-1] - moved(elbow_flex=0.7)).max() > AGREED
    assert leader.state == "aligning"
    assert leader.status.startswith("elbow_flex: leader at 1.20 rad, follower at 0.6")


def test_leader_that_is_far_away_is_waited_for(leader_arm: HandheldLeader) -> None:
    leader = Leader(leader_arm, BLIND)
    commands = follow(leader, leader_arm, 50, lambda _: moved(shoulder_pan=0.9))
    assert (commands == MIDDLE).all()
    assert leader.state == "apart"
    assert leader.status == (
        "shoulder_pan: leader at 1.00 rad, follower at 0.10; "
        "bring the leader to within 0.8 rad of it"
    )
    leader_arm.pose = moved(shoulder_pan=0.7)
    leader.decide(look(MIDDLE, 51 * DT))
    assert leader.state == "aligning"


def test_an_open_leader_gripper_is_not_far_away(leader_arm: HandheldLeader) -> None:
    closed = moved(gripper=-0.4)
    leader = Leader(leader_arm, BLIND)
    follow(leader, leader_arm, 5, lambda _: moved(gripper=0.6), start=closed)
    assert leader.state == "aligning"


def test_a_hand_that_moves_meanwhile_adds_nothing_to_the_ramp(leader_arm: HandheldLeader) -> None:
    def hand(step: int) -> np.ndarray:
        return moved(elbow_flex=0.6 + 0.015 * step)  # 0.375 rad/s, away from the follower

    leader = Leader(leader_arm, BLIND)
    commands = follow(leader, leader_arm, 200, lambda step: hand(min(step, 20)))
    first = np.argmax(np.abs(commands - hand(20)).max(axis=1) < AGREED)
    steps = np.abs(np.diff(commands[:first], axis=0))
    assert steps.max() <= STEP


def test_when_they_agree_the_rest_fades_and_does_not_leap(leader_arm: HandheldLeader) -> None:
    commands = follow(
        Leader(leader_arm, BLIND), leader_arm, 20, lambda _: moved(elbow_flex=0.9 * AGREED)
    )
    assert np.abs(np.diff(commands, axis=0, prepend=MIDDLE[None])).max() <= STEP


def test_a_loop_that_was_held_up_does_not_make_up_for_it(leader_arm: HandheldLeader) -> None:
    leader_arm.pose = moved(elbow_flex=0.7)
    leader = Leader(leader_arm, BLIND)
    leader.decide(look(MIDDLE, 0.0))
    late = leader.decide(look(MIDDLE, 3.0))
    assert np.abs(late - MIDDLE).max() <= ALIGN_SPEED * 0.1 + 1e-6


def test_lost_leader_holds_the_follower(leader_arm: HandheldLeader) -> None:
    leader = Leader(leader_arm, BLIND)
    before = follow(leader, leader_arm, 10, lambda step: moved(elbow_flex=0.01 * step))[-1]
    leader_arm.is_connected = False
    after = follow(leader, leader_arm, 10, lambda _: moved(elbow_flex=0.5), start=before)
    assert (after == before).all()
    assert leader.state == "lost"
    assert leader.status.startswith("leader lost, the follower stays: leader: no servo answers")


def test_leader_that_reads_nonsense_is_lost(leader_arm: HandheldLeader) -> None:
    leader = Leader(leader_arm, BLIND)
    before = leader.decide(look(MIDDLE))
    leader_arm.pose = moved(wrist_roll=float("nan"))
    assert (leader.decide(look(MIDDLE, DT)) == before).all()
    assert "wrist_roll is not a number" in leader.status


@pytest.mark.parametrize("is_relative", [False, True])
def test_leader_that_comes_back_elsewhere_causes_no_leap(
    leader_arm: HandheldLeader, is_relative: bool
) -> None:
    leader = Leader(leader_arm, BLIND, is_relative=is_relative)
    before = follow(leader, leader_arm, 5, lambda _: MIDDLE)[-1]
    leader_arm.is_connected = False
    follow(leader, leader_arm, 5, lambda _: MIDDLE)
    leader_arm.is_connected = True
    back = follow(leader, leader_arm, 10, lambda _: moved(elbow_flex=0.6), start=before)
    assert np.abs(np.diff(back, axis=0, prepend=before[None])).max() <= STEP


def test_follower_stays_within_its_limits(leader_arm: HandheldLeader) -> None:
    high = BLIND.high + 0.3
    commands = follow(Leader(leader_arm, BLIND), leader_arm, 100, lambda _: high, start=BLIND.high)
    assert commands[-1] == pytest.approx(BLIND.high)


def test_gripper_span_of_the_leader_is_stretched_to_the_whole(leader_arm: HandheldLeader) -> None:
    leader = Leader(leader_arm, BLIND, gripper_span=(0.2, 0.6))
    commands = follow(
        leader, leader_arm, 5, lambda _: moved(gripper=0.1), start=moved(gripper=0.35)
    )
    assert commands[-1][-1] == pytest.approx(0.75, abs=1e-6)


def test_begin_goes_on_from_the_commanded_pose(leader_arm: HandheldLeader) -> None:
    leader = Leader(leader_arm, BLIND)
    follow(leader, leader_arm, 5, lambda _: MIDDLE)
    commanded = moved(elbow_flex=0.3)
    leader.begin(commanded)
    # The arm hangs below where it was sent; that must not count.
    assert leader.decide(look(moved(elbow_flex=0.2))) == pytest.approx(commanded)


def test_relative_leader_moves_the_follower_by_as_much(leader_arm: HandheldLeader) -> None:
    leader = Leader(leader_arm, BLIND, is_relative=True)
    leader.begin(moved(shoulder_pan=1.2, gripper=-0.4))
    commands = follow(leader, leader_arm, 21, lambda step: moved(shoulder_pan=0.01 * step))
    np.testing.assert_allclose(commands[0], moved(shoulder_pan=1.2, gripper=-0.4), atol=1e-6)
    np.testing.assert_allclose(commands[-1], moved(shoulder_pan=1.4, gripper=-0.4), atol=1e-6)
    assert leader.state == "following"


def test_relative_leader_turned_back_from_beyond_a_limit_moves_at_once(
    leader_arm: HandheldLeader,
) -> None:
    leader = Leader(leader_arm, BLIND, is_relative=True)
    leader.begin(moved(gripper=-0.4))  # closed around something
    way = [0.0, -0.1, -0.2, -0.3, -0.2, -0.1]  # the hand closes further, and opens again
    commands = follow(leader, leader_arm, 6, lambda step: moved(gripper=way[step]))
    assert commands[:, -1] == pytest.approx([0, 0, 0, 0, 0.1, 0.2], abs=1e-6)


def test_leader_without_a_joint_of_the_follower_is_refused() -> None:
    short: RobotSpec = replace(BLIND, name="short", joints=BLIND.joints[1:])
    with pytest.raises(TeleopError, match=r"short cannot lead .* no joint 'shoulder_pan'"):
        Leader(HandheldLeader(MIDDLE[1:], short), BLIND)


def test_gripper_span_that_is_empty_is_refused(leader_arm: HandheldLeader) -> None:
    with pytest.raises(TeleopError, match=r"closed at 0\.6 and open at 0\.2"):
        Leader(leader_arm, BLIND, gripper_span=(0.6, 0.2))
