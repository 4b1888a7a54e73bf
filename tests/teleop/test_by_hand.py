"""Laws of the scripted person: with keys, sticks or phone alone the task is solved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.person import FINGERS, ByHand, KeyFingers, Person

from demoloop.robot import Observation, run_episode
from demoloop.robot.arms import ARMS
from demoloop.robot.arms.so101 import SO101
from demoloop.sim import make_robot
from demoloop.teleop.devices import TELEOPERATORS
from demoloop.teleop.inputs import Inputs
from demoloop.teleop.keyboard import KEYS, KeyboardState


@pytest.mark.parametrize("device", FINGERS)
def test_a_person_solves_pick_place_with(device: str) -> None:
    robot = make_robot("pick_place", [4, 5], spec=replace(SO101, cameras=()))
    inputs = Inputs(clock=lambda: float(robot.data.time))
    agent = TELEOPERATORS[device](inputs, ARMS["so101"])
    person = ByHand(robot, agent, inputs, device)
    solved = 0
    for _ in range(2):
        run_episode(robot, person, robot.max_steps, is_over=robot.succeeded)
        solved += robot.succeeded()
    assert solved == 2


def test_the_person_holds_keys_of_the_table_and_none_shorter_than_a_tap() -> None:
    robot = make_robot("pick_place", [7], spec=replace(SO101, cameras=()))
    inputs = Inputs(clock=lambda: float(robot.data.time))
    agent = TELEOPERATORS["keyboard"](inputs, ARMS["so101"])
    held: list[set[str]] = []

    def listen(observation: Observation, action: object) -> None:
        state = inputs.latest("keyboard", KeyboardState)
        held.append(set(state.held if state else ()))

    by_hand = ByHand(robot, agent, inputs, "keyboard")
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
