"""Laws of the kinematics: inverse undoes forward, within the limits, and says what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from demoloop.robot import RobotError
from demoloop.robot.arms.so101 import GRIPPER_CLOSED, GRIPPER_OPEN, MJCF, SO101
from demoloop.robot.kinematics import Kinematics

LOW = np.append(SO101.low[:5], GRIPPER_CLOSED).astype(float)
HIGH = np.append(SO101.high[:5], GRIPPER_OPEN).astype(float)


@pytest.fixture(scope="module")
def kinematics() -> Kinematics:
    return Kinematics(MJCF, "tcp")


def poses_over_the_table(count: int) -> list[np.ndarray]:
    """Joints (6,) [rad] with the tool in front of the arm, not folded into it."""
    rng = np.random.default_rng(0)
    kinematics, found = Kinematics(MJCF, "tcp"), []
    while len(found) < count:
        joints = rng.uniform(0.9 * LOW, 0.9 * HIGH)
        position, _ = kinematics.forward(joints)
        if 0.0 < position[2] < 0.3 and 0.12 < np.hypot(position[0] - 0.0388, position[1]) < 0.33:
            found.append(joints)
    return found


def test_forward_of_zero_is_the_tool_centre_of_the_table(kinematics: Kinematics) -> None:
    position, rotation = kinematics.forward(np.zeros(6))
    np.testing.assert_allclose(position, (0.3914, 0, 0.2265), atol=1.01e-4)
    np.testing.assert_allclose(rotation, np.eye(3), atol=1e-9)


def test_inverse_reaches_what_forward_made_to_a_millimetre(kinematics: Kinematics) -> None:
    rng = np.random.default_rng(1)
    for joints in poses_over_the_table(60):
        position, rotation = kinematics.forward(joints)
        near = np.clip(joints + rng.uniform(-0.3, 0.3, 6), LOW, HIGH)
        found = kinematics.inverse(position, rotation, near, num_iterations=200)
        reached, _ = kinematics.forward(found)
        assert np.linalg.norm(reached - position) < 1e-3, joints


def test_inverse_stays_within_the_limits_even_out_of_reach(kinematics: Kinematics) -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        far = rng.uniform(-0.8, 0.8, 3)
        found = kinematics.inverse(far, np.eye(3), np.zeros(6))
        assert np.all(found >= LOW - 1e-6)
        assert np.all(found <= HIGH + 1e-6)


def test_inverse_is_the_same_every_time(kinematics: Kinematics) -> None:
    goal = np.array([0.25, 0.05, 0.1])
    first = kinematics.inverse(goal, np.eye(3), np.zeros(6))
    np.testing.assert_array_equal(first, kinematics.inverse(goal, np.eye(3), np.zeros(6)))


def test_unknown_site_is_answered_with_those_there_are() -> None:
    with pytest.raises(RobotError, match=r"no site 'tip'; it has tcp, grasp"):
        Kinematics(MJCF, "tip")
