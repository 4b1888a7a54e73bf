"""Laws of what devices say: the newest counts, and silence is letting go."""

from __future__ import annotations

import threading

import pytest

from demoloop.teleop.inputs import STALE_AFTER_S, Inputs
from demoloop.teleop.keyboard import KeyboardState


class Clock:
    def __init__(self) -> None:
        self.time = 10.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


def held(*codes: str) -> KeyboardState:
    return KeyboardState(codes)


def test_the_newest_counts(clock: Clock) -> None:
    inputs = Inputs(clock)
    inputs.put("keyboard", held("KeyW"))
    inputs.put("keyboard", held("KeyS"))
    assert inputs.latest("keyboard", KeyboardState) == held("KeyS")


def test_silence_is_letting_go(clock: Clock) -> None:
    inputs = Inputs(clock)
    inputs.put("keyboard", held("KeyW"))
    clock.time += STALE_AFTER_S - 1e-3
    assert inputs.latest("keyboard", KeyboardState) is not None
    clock.time += 2e-3
    assert inputs.latest("keyboard", KeyboardState) is None


def test_a_clock_that_went_back_is_silence(clock: Clock) -> None:
    inputs = Inputs(clock)
    inputs.put("keyboard", held("KeyW"))
    clock.time -= 1.0
    assert inputs.latest("keyboard", KeyboardState) is None


def test_releasing_all_releases_all(clock: Clock) -> None:
    inputs = Inputs(clock)
    inputs.put("keyboard", held("KeyW"))
    inputs.put("gamepad", held("KeyW"))
    inputs.release_all()
    assert inputs.latest("keyboard", KeyboardState) is None
    assert inputs.latest("gamepad", KeyboardState) is None


def test_a_state_of_another_kind_says_nothing(clock: Clock) -> None:
    inputs = Inputs(clock)
    inputs.put("keyboard", {"held": ["KeyW"]})
    assert inputs.latest("keyboard", KeyboardState) is None


def test_threads_see_whole_states() -> None:
    inputs, seen = Inputs(), []
    pairs = [held(f"a{n}", f"b{n}") for n in range(2000)]

    def speak() -> None:
        for pair in pairs:
            inputs.put("keyboard", pair)

    speaker = threading.Thread(target=speak)
    speaker.start()
    while speaker.is_alive():
        if state := inputs.latest("keyboard", KeyboardState):
            seen.append(state)
    speaker.join()
    assert all(first[1:] == second[1:] for first, second in (state.held for state in seen))
