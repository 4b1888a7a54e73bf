"""Laws of check_action: what passes is float32 within the limits, all else is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from demoloop.robot import ActionError, JointSpec, RobotSpec, check_action
from demoloop.robot.interface import LIMIT_TOLERANCE

# 1/3 and 2.7 have no exact float32, so clamping there rounds.
SPEC = RobotSpec(
    name="three-joint",
    joints=(
        JointSpec("shoulder", -1 / 3, 2.7, 3.0, 20.0),
        JointSpec("elbow", -2.7, 1 / 3, 3.0, 20.0),
        JointSpec("gripper", 0.0, 1.0, 2.0, 10.0, "opening"),
    ),
    cameras=(),
    control_hz=30.0,
)
INSIDE = np.array([0.5, -0.5, 0.5], np.float32)


def with_target(joint: int, target: float) -> np.ndarray:
    action = INSIDE.astype(np.float64)
    action[joint] = target
    return action


def test_action_inside_the_limits_passes_unchanged() -> None:
    np.testing.assert_array_equal(check_action(SPEC, INSIDE), INSIDE)


def test_checked_action_is_float32() -> None:
    assert check_action(SPEC, with_target(0, 0.5)).dtype == np.float32


def test_checking_leaves_the_given_action_alone() -> None:
    action = with_target(0, 2.7 + LIMIT_TOLERANCE / 2)
    given = action.copy()
    check_action(SPEC, action)
    np.testing.assert_array_equal(action, given)


@pytest.mark.parametrize("joint", range(3))
@pytest.mark.parametrize("target", [np.nan, np.inf, -np.inf])
def test_target_that_is_not_finite_is_refused_by_its_joint(joint: int, target: float) -> None:
    with pytest.raises(ActionError, match=f"three-joint, {SPEC.joint_names[joint]}: target"):
        check_action(SPEC, with_target(joint, target))


@pytest.mark.parametrize("shape", [(), (2,), (4,), (1, 3), (16, 3), (3, 1), (0,)])
def test_action_of_another_shape_is_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ActionError) as refusal:
        check_action(SPEC, np.zeros(shape, np.float32))
    assert f"of shape (3,), got {shape}" in str(refusal.value)


@pytest.mark.parametrize("joint", range(3))
@pytest.mark.parametrize("side", ["low", "high"])
def test_target_beyond_the_tolerance_is_refused(joint: int, side: str) -> None:
    beyond = 1.5 * LIMIT_TOLERANCE * (-1 if side == "low" else 1)
    limit = getattr(SPEC.joints[joint], side)
    with pytest.raises(ActionError, match=SPEC.joint_names[joint]):
        check_action(SPEC, with_target(joint, limit + beyond))


@pytest.mark.parametrize("joint", range(3))
@pytest.mark.parametrize("side", ["low", "high"])
def test_target_within_the_tolerance_is_brought_back_to_the_limit(joint: int, side: str) -> None:
    beyond = 0.5 * LIMIT_TOLERANCE * (-1 if side == "low" else 1)
    limit = getattr(SPEC.joints[joint], side)
    checked = check_action(SPEC, with_target(joint, limit + beyond))
    assert checked[joint] == np.float32(limit)


@pytest.mark.parametrize("limits", [SPEC.low, SPEC.high], ids=["low", "high"])
def test_target_clamped_at_its_limit_in_float32_passes(limits: np.ndarray) -> None:
    np.testing.assert_array_equal(check_action(SPEC, limits), limits)


def test_checking_twice_changes_nothing() -> None:
    checked = check_action(SPEC, with_target(1, -2.7 - LIMIT_TOLERANCE / 2))
    np.testing.assert_array_equal(check_action(SPEC, checked), checked)


def test_refusal_names_target_unit_and_limits() -> None:
    with pytest.raises(ActionError) as refusal:
        check_action(SPEC, with_target(2, 1.5))
    assert "gripper: target 1.5000 opening is outside [0.0000, 1.0000]" in str(refusal.value)
