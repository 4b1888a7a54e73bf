"""Laws of the scripted person: with keys, sticks, phone or bare hand alone the task is solved."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # which import each other
from benchmarks.by_hand import PEOPLE
from benchmarks.person import NOTHING, Person, Wish
from benchmarks.person_fingers import ByHand, KeyFingers
from benchmarks.person_hand import HandFingers, SeenByTracker

from demoloop.robot import Observation, run_episode
from demoloop.robot.arms.so101 import SO101
from demoloop.sim import make_robot
from demoloop.teleop.keyboard import KEYS, KeyboardState


@pytest.mark.parametrize("device", PEOPLE)
def test_a_person_solves_pick_place_with(device: str) -> None:
    robot = make_robot("pick_place", [4, 5], spec=replace(SO101, cameras=()))
    person = PEOPLE[device](robot)
    solved = 0
    for _ in range(2):
        run_episode(robot, person, robot.max_steps, is_over=robot.succeeded)
        solved += robot.succeeded()
    assert solved == 2


def test_the_person_holds_keys_of_the_table_and_none_shorter_than_a_tap() -> None:
    robot = make_robot("pick_place", [7], spec=replace(SO101, cameras=()))
    by_hand = ByHand(KeyFingers, robot)
    held: list[set[str]] = []

    def listen(observation: Observation, action: object) -> None:
        state = by_hand.inputs.latest("keyboard", KeyboardState)
        held.append(set(state.held if state else ()))

    run_episode(robot, by_hand, robot.max_steps, listen, is_over=robot.succeeded)
    assert set().union(*held) <= {key.code for key in KEYS}
    for code in set().union(*held) - {"ShiftLeft"}:
        down = np.array([code in keys for keys in held] + [False])
        changes = np.flatnonzero(np.diff(down.astype(int), prepend=0))
        taps = changes[1::2] - changes[::2]
        assert (taps[:-1] >= 2).all(), code  # control steps of 40 ms; the last may be cut off


def test_the_same_person_on_the_same_day_does_the_same() -> None:
    days = []
    for _ in range(2):
        robot = make_robot("pick_place", [9], spec=replace(SO101, cameras=()))
        robot.reset()
        person = Person(robot, KeyFingers())
        person.reset()
        days.append([person.state() for _ in range(3)])
    assert days[0] == days[1]


def test_a_hand_that_must_go_farther_than_is_seen_lets_go_and_engages_where_there_is_room() -> None:
    fingers, camera = HandFingers(), SeenByTracker()
    fingers.is_engaged = True
    said, places = [], []
    for step in range(300):
        shown = fingers.state(Wish(np.array([0.0, 0.3, 0.0]), 0.0, 0.0, 0, False), 0.04 * step)
        camera.take(shown, 0.04 * step)
        if shown.key:
            fingers.is_engaged = shown.key == "engage"
        said += [shown.key] if shown.key and said[-1:] != [shown.key] else []
        state = camera.newest()
        assert state is None or (np.array(state.landmarks) > 0).all(), "it leaves the picture"
        places.append(fingers.moved(0.04 * step - 1.0)[0][1])
    assert said[:4] == ["release", "engage", "release", "engage"]
    assert max(places) == pytest.approx(0.2, abs=0.03)  # m in the last second


def test_a_hand_waits_where_it_is_until_the_arm_follows() -> None:
    fingers = HandFingers()
    shown = [fingers.state(NOTHING, 0.04 * step) for step in range(50)]
    assert {one.warp for one in shown[1:]} == {shown[1].warp}
    assert not any(one.key for one in shown)  # an open palm is enough
