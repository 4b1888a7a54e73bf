"""What a person points at is the goal of the next episode, all of it or none."""

from __future__ import annotations

import numpy as np
import pytest

from demoloop.robot import Action, Marked, Marks, Observation, RobotError, RobotSpec
from demoloop.robot.marked import check_goal

MARKS = Marks(("object", "place"), "front")


class Standing:
    """A robot that only says where it is."""

    spec = RobotSpec("standing", (), (), 10.0)

    def reset(self) -> None: ...

    def observe(self) -> Observation:
        return Observation(1.5, np.zeros(0, np.float32), {}, {})

    def act(self, action: Action) -> Action:
        return action

    def close(self) -> None: ...


def test_goal_is_what_was_pointed_at_in_the_order_of_the_marks() -> None:
    robot = Marked(Standing(), MARKS)
    robot.point("place", 0.75, 1.0)
    robot.point("object", 0.9, 0.9)
    robot.point("object", 0.25, 0.5)
    robot.reset()
    goal = robot.observe().goal
    assert goal is not None
    np.testing.assert_array_equal(goal, np.array([[0.25, 0.5], [0.75, 1.0]], np.float32))


def test_goal_stays_until_the_next_episode() -> None:
    robot = Marked(Standing(), MARKS)
    robot.point("object", 0.25, 0.5)
    robot.point("place", 0.75, 1.0)
    robot.reset()
    before = robot.observe().goal
    robot.point("object", 0.5, 0.5)
    robot.forget()
    np.testing.assert_array_equal(robot.observe().goal, before)
    robot.reset()
    assert robot.observe().goal is None


def test_half_of_the_marks_is_no_goal() -> None:
    robot = Marked(Standing(), MARKS)
    robot.point("object", 0.25, 0.5)
    robot.reset()
    assert robot.observe().goal is None


@pytest.mark.parametrize(
    ("point", "sentence"),
    [
        (("cube", 0.5, 0.5), "no mark 'cube'; there are object, place"),
        (("object", 1.01, 0.5), r"object is marked at \(1.01, 0.5\), outside the picture of front"),
        (("place", 0.5, float("nan")), "outside the picture"),
    ],
)
def test_what_is_no_point_of_the_picture_is_refused(
    point: tuple[str, float, float], sentence: str
) -> None:
    with pytest.raises(RobotError, match=sentence):
        Marked(Standing(), MARKS).point(*point)


@pytest.mark.parametrize(
    ("goal", "sentence"),
    [
        (None, "nobody has pointed: mark object and place in the picture of front first"),
        (np.zeros((1, 2), np.float32), r"marks of shape \(1, 2\), .*expected \(2, 2\)"),
        (np.full((2, 2), 1.5, np.float32), r"\[1.5, 1.5\]\], expected \(2, 2\) between 0 and 1"),
        (np.full((2, 2), np.nan, np.float32), r"expected \(2, 2\) between 0 and 1"),
    ],
)
def test_goal_that_is_not_whole_is_refused_in_one_sentence(
    goal: np.ndarray | None, sentence: str
) -> None:
    with pytest.raises(RobotError, match=sentence):
        check_goal(goal, MARKS)


@pytest.mark.parametrize("names", [(), ("a", "a"), tuple("abcdefghi"), ("",), ("x" * 65,)])
def test_marks_have_one_to_eight_different_names(names: tuple[str, ...]) -> None:
    with pytest.raises(RobotError, match="different names"):
        Marks(names, "front")
