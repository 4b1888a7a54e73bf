"""Laws of pointing: a finger that stays marks a place once, and one that wanders marks none."""

from __future__ import annotations

import pytest
from tests.teleop.hand_shapes import FPS, bent, nobody, shaped

from demoloop.teleop.hand_state import INDEX_TIP, HandState
from demoloop.teleop.pointing import Cursor, Point


def pointing(number: int, x: float = 0.5, y: float = 0.5) -> HandState:
    return bent((0, 1, 1, 1), 0.0, number, at=(x, y))


def tip_of(state: HandState) -> Point:
    assert state.landmarks is not None
    return state.landmarks[INDEX_TIP]


def test_a_finger_that_stays_marks_once() -> None:
    cursor = Cursor("direct")
    marks = [cursor.watch(pointing(n), n / FPS) for n in range(60)]
    said = [(n, mark) for n, mark in enumerate(marks) if mark is not None]
    assert said == [(18, pytest.approx(tip_of(pointing(0))))]


def test_a_finger_that_wanders_marks_nothing() -> None:
    cursor = Cursor("direct")
    assert not any(cursor.watch(pointing(n, 0.2 + 0.005 * n), n / FPS) for n in range(100))
    assert cursor.at is not None and cursor.progress < 1


def test_the_cursor_moves_as_in_a_mirror_and_reaches_every_corner() -> None:
    for x, y, corner in ((0.1, 0.35, (1.0, 0.0)), (0.9, 1.3, (0.0, 1.0))):
        cursor = Cursor()
        cursor.watch(pointing(0, x, y), 0.0)
        assert cursor.at == corner
    cursor = Cursor()
    cursor.watch(pointing(0, 0.4), 0.0)
    before = cursor.at
    cursor.watch(pointing(1, 0.5), 1 / FPS)
    assert before is not None and cursor.at is not None and cursor.at[0] < before[0]


def test_who_points_again_marks_again() -> None:
    cursor, marks = Cursor(), 0
    for n in range(90):
        state = nobody(n) if 30 <= n < 40 else pointing(n)
        marks += cursor.watch(state, n / FPS) is not None
    assert marks == 2


@pytest.mark.parametrize("shape", ["open_palm", "fist", "victory", "thumb_up"])
def test_other_shapes_point_at_nothing(shape: str) -> None:
    cursor = Cursor()
    assert not any(cursor.watch(shaped(shape, n), n / FPS) for n in range(40))
    assert cursor.at is None
