"""Laws of a gripper that is led by a hand which feels nothing."""

from __future__ import annotations

import numpy as np
import pytest
from tests.teleop.hands import BLIND, DT, MIDDLE, HandheldLeader, look

from demoloop.robot.arm import Health
from demoloop.teleop import GripLimit, Leader
from demoloop.teleop.grip import MAX_LOAD

CUBE = 0.3  # opening at which the fingers touch it
STIFFNESS = 4.0  # share of full drive per opening that the target is inside the cube


class Gripper:
    """A position servo that closes on a cube: it pulls the harder the farther its target is."""

    def __init__(self, opening: float, has_cube: bool = True) -> None:
        self.opening, self.velocity, self.load = opening, 0.0, 0.0
        self._stop = CUBE if has_cube else 0.0

    def go(self, target: float) -> None:
        before = self.opening
        self.opening = max(self._stop, before + float(np.clip(target - before, -0.1, 0.1)))
        self.velocity = (self.opening - before) / DT
        # Moving takes as much load as squeezing does; one must not be taken for the other.
        moving = 0.5 * float(np.sign(self.velocity))
        self.load = moving or float(np.clip(STIFFNESS * (target - self.opening), -1, 1))

    def health(self) -> Health:
        nothing = np.full(6, np.nan)
        load = np.append(nothing[:5], self.load)
        return Health(0.0, load, nothing, nothing, nothing, nothing)


def squeeze(gripper: Gripper, limit: GripLimit, targets: list[float]) -> list[float]:
    """Commands while a hand wants `targets`."""
    commands = []
    for target in targets:
        commands.append(limit.limit(target, gripper.opening, gripper.velocity))
        gripper.go(commands[-1])
    return commands


def test_held_thing_is_not_squeezed_harder_than_allowed() -> None:
    gripper = Gripper(1.0)
    squeeze(gripper, GripLimit(gripper.health), [0.0] * 100)
    assert gripper.opening == CUBE
    assert 0 < abs(gripper.load) <= MAX_LOAD


def test_empty_gripper_closes_all_the_way() -> None:
    gripper = Gripper(1.0, has_cube=False)
    squeeze(gripper, GripLimit(gripper.health), [0.0] * 100)
    assert gripper.opening == 0.0


def test_grip_stays_while_the_hand_stays_closed() -> None:
    gripper = Gripper(1.0)
    commands = squeeze(gripper, GripLimit(gripper.health), [0.0] * 200)
    assert len(set(commands[50:])) == 1


def test_opening_is_never_held_back() -> None:
    gripper = Gripper(1.0)
    limit = GripLimit(gripper.health)
    squeeze(gripper, limit, [0.0] * 50)
    assert squeeze(gripper, limit, [0.5] * 20)[0] == 0.5
    squeeze(gripper, limit, [0.0] * 50)
    assert abs(gripper.load) <= MAX_LOAD  # and the next grip is limited again


def test_something_thinner_can_be_gripped_next() -> None:
    gripper = Gripper(1.0)
    limit = GripLimit(gripper.health)
    squeeze(gripper, limit, [0.0] * 50 + [0.5] * 20)
    thinner = Gripper(gripper.opening, has_cube=False)
    squeeze(thinner, limit, [0.0] * 50)
    assert thinner.opening == 0.0


def test_without_a_reading_nothing_is_limited() -> None:
    gripper = Gripper(1.0)
    gripper.go = lambda target: setattr(gripper, "load", float("nan"))  # type: ignore[method-assign]
    assert squeeze(gripper, GripLimit(gripper.health), [0.0] * 5) == [0.0] * 5


def test_leader_limits_the_grip_of_its_follower() -> None:
    gripper, closed = Gripper(0.5), MIDDLE.copy()
    closed[-1] = 0.0
    leader = Leader(HandheldLeader(closed), BLIND, grip=GripLimit(gripper.health))
    command = MIDDLE
    for step in range(100):
        pose = np.append(MIDDLE[:5], gripper.opening)
        command = leader.decide(look(pose, step * DT, gripper.velocity))
        gripper.go(float(command[-1]))
    assert leader.state == "following"
    assert gripper.opening == CUBE
    assert abs(gripper.load) <= MAX_LOAD
    assert command[:5] == pytest.approx(MIDDLE[:5])
