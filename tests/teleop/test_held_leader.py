"""Laws of a leader that stays where the hand leaves it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.teleop.hands import BLIND, MIDDLE, look

from demoloop.robot import Action, Observation, RobotError
from demoloop.robot.arm import Health
from demoloop.teleop import HeldLeader

STIFFNESS = 10.0  # N m / rad
WEIGHT = 0.2  # N m, pulls every joint down
FULL = 2.0  # N m


class HangingArm:
    """Joints that sink under their weight, unless a motor or a hand holds them."""

    spec = BLIND

    def __init__(self) -> None:
        self.position = MIDDLE.astype(np.float64)
        self.goal = np.zeros(6)  # a stale one, from long ago
        self.share, self.is_on = 1.0, False
        self.hand = np.zeros(6)  # N m
        self.strongest = 0.0  # N m, that a motor has ever pulled with
        self.is_connected = True

    def observe(self) -> Observation:
        for _ in range(10):
            motor = np.clip(STIFFNESS * (self.goal - self.position), -1, 1) * FULL
            motor = np.clip(motor, -self.share * FULL, self.share * FULL) * self.is_on
            self.strongest = max(self.strongest, float(np.abs(motor).max()))
            self.position += 0.005 * (motor + self.hand - WEIGHT)
        return look(self.position.astype(np.float32))

    def act(self, action: Action) -> Action:
        self.goal = action.astype(np.float64)
        return action

    def enable_torque(self) -> None:
        self.goal, self.is_on = self.position.copy(), True

    def disable_torque(self) -> tuple[str, ...]:
        self.is_on = False
        return ()

    def limit_torque(self, share: float) -> None:
        self.share = share

    def health(self) -> Health:
        raise NotImplementedError

    def connect(self) -> None: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def arm() -> HangingArm:
    return HangingArm()


def test_without_it_the_arm_sinks(arm: HangingArm) -> None:
    for _ in range(200):
        arm.observe()
    assert (arm.position < MIDDLE - 1).all()


def test_leader_stays_where_the_hand_leaves_it(arm: HangingArm) -> None:
    with HeldLeader(arm, springs_open=False) as leader:
        for _ in range(100):
            leader.observe()
        left_at = arm.position.copy()
        for _ in range(500):
            leader.observe()
    np.testing.assert_allclose(arm.position, left_at, atol=0.03)


def test_hand_moves_it_against_little(arm: HangingArm) -> None:
    with HeldLeader(arm, springs_open=False) as leader:
        arm.hand[1] = 0.6  # N m: more than the motor and the weight together
        before = arm.position[1]
        for _ in range(100):
            leader.observe()
        assert arm.position[1] > before + 0.5
        arm.hand[1] = 0.0
        reached = arm.position[1]
        for _ in range(500):
            leader.observe()
        assert arm.position[1] == pytest.approx(reached, abs=0.06)


def test_no_motor_ever_pulls_more_than_its_share(arm: HangingArm) -> None:
    with HeldLeader(arm, torque=0.15) as leader:
        arm.hand[:] = 1.0
        for _ in range(50):
            leader.observe()
    assert 0 < arm.strongest <= 0.15 * FULL


def test_gripper_springs_open(arm: HangingArm) -> None:
    with HeldLeader(arm) as leader:
        for _ in range(400):
            leader.observe()
        assert leader.observe().proprioception[5] > 0.9
        assert (arm.goal[:5] < 1).all()


def test_leaving_switches_the_motors_off_whatever_happened(arm: HangingArm) -> None:
    with pytest.raises(RobotError), HeldLeader(arm):
        assert arm.is_on
        raise RobotError("the cable is out")
    assert (arm.is_on, arm.share) == (False, 1.0)
