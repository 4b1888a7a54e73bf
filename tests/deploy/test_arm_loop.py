"""Laws of the loop that owns a hosted robot, on a clock of its own; and of translated times."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tests.deploy.hosted import Diarist

from demoloop.deploy.arm_loop import SILENCE_S, ArmLoop
from demoloop.deploy.clocks import Translation
from demoloop.robot import RobotSpec

TARGET = np.array([0.2, 0.2, 0.2], np.float32)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def robot(spec: RobotSpec, clock: Clock) -> Diarist:
    return Diarist(spec, clock)


@pytest.fixture
def loop(robot: Diarist, clock: Clock) -> ArmLoop:
    return ArmLoop(robot, 100.0, clock)


def test_an_action_is_carried_out_once_and_silence_is_a_hold(
    loop: ArmLoop, robot: Diarist, clock: Clock
) -> None:
    loop.drive(7, 1, TARGET)
    for _ in range(100):
        loop.serve()
        loop.look()
        if clock.now - 100.0 < SILENCE_S:
            assert robot.diary == ["act"]
        clock.now += 0.01
    assert robot.diary == ["act", "hold"]
    held_after = SILENCE_S + 0.011
    assert robot.state == "ARMED" and held_after < 0.22


def test_actions_that_go_on_are_never_interrupted_by_a_hold(
    loop: ArmLoop, robot: Diarist, clock: Clock
) -> None:
    for seq in range(1, 30):
        loop.drive(7, seq, TARGET)
        for _ in range(4):
            loop.serve()
            clock.now += 0.01
    assert robot.diary == ["act"] * 29
    assert [outcome.seq for outcome in loop.outcomes()] == list(range(1, 30))


def test_only_the_newest_action_counts(loop: ArmLoop, robot: Diarist) -> None:
    loop.drive(7, 1, TARGET)
    loop.drive(7, 2, 2 * TARGET)
    loop.serve()
    assert robot.diary == ["act"]
    np.testing.assert_allclose(robot.sent[0], TARGET)  # half of the newest
    (outcome,) = loop.outcomes()
    assert outcome.seq == 2 and outcome.sent is robot.sent[0]


def test_an_action_that_waited_behind_an_order_is_too_old_to_be_done(
    loop: ArmLoop, robot: Diarist, clock: Clock
) -> None:
    def slowly() -> None:
        clock.now += 3.0

    robot.on_order = slowly
    loop.drive(7, 1, TARGET)
    loop.order(7, 2, "reset", 5)
    loop.serve()
    assert robot.diary == ["reset 5"]
    assert [outcome.refusal for outcome in loop.outcomes()] == [
        "",
        "the action waited for 3.0 s and is of no use any more",
    ]


def test_who_leaves_is_not_waited_for_and_his_wishes_are_forgotten(
    loop: ArmLoop, robot: Diarist
) -> None:
    loop.drive(7, 1, TARGET)
    loop.serve()
    loop.drive(7, 2, TARGET)
    loop.order(7, 3, "reset", 1)
    loop.leave()
    loop.serve()
    assert robot.diary == ["act", "hold"]


def test_who_comes_next_begins_from_rest(loop: ArmLoop, robot: Diarist) -> None:
    loop.drive(7, 1, TARGET)
    loop.serve()
    loop.leave()
    loop.drive(8, 1, TARGET)
    loop.serve()
    assert robot.diary == ["act", "hold", "act"]


def test_a_robot_that_is_not_there_does_not_end_the_loop(loop: ArmLoop, robot: Diarist) -> None:
    loop.look()
    assert loop.view is not None
    robot.gone = "tiny is unplugged"
    loop.look()
    assert loop.view is None and loop.trouble == "tiny is unplugged"
    robot.gone = ""
    loop.look()
    assert loop.view is not None


def test_a_refusal_is_handed_back_as_its_sentence(loop: ArmLoop, robot: Diarist) -> None:
    robot.fault = "elbow_flex is stalled"
    loop.drive(7, 1, TARGET)
    loop.serve()
    (outcome,) = loop.outcomes()
    assert (outcome.sent, outcome.refusal) == (None, "elbow_flex is stalled")


def test_a_translated_time_is_never_later_than_it_was_and_at_most_the_quickest_way_earlier() -> (
    None
):
    draw, clocks = random.Random(0), Translation()
    theirs = 5e6  # s that their clock is ahead
    now, true, translated = 10.0, 0.0, 0.0
    for _ in range(300):
        there, back = 0.001 + draw.expovariate(50), draw.expovariate(20)
        clocks.heard(now, now + there + theirs)
        now += there + back
        true = now - 0.03
        translated = clocks.here(true + theirs)
        assert translated <= true + 1e-6
        now += 0.02
    assert true - translated < 0.001 + 0.005  # the quickest of 64 ways there
