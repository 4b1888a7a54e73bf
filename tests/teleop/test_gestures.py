"""Laws of gestures: what is held, near and meant is heard; nothing else ever is."""

from __future__ import annotations

import numpy as np
import pytest
from tests.teleop.hand_shapes import (
    FPS,
    SHAPES,
    clip_states,
    nobody,
    recorded,
    shaped,
    state_of,
)
from tests.teleop.hand_storm import false_commands

from demoloop.teleop.gestures import AGAIN_S, HOLD_S, Gestures, Name, shape_of

COMMANDS = ("open_palm", "victory", "thumb_up", "thumb_down")


def show(gestures: Gestures, name: str, since: int, frames: int, **how: bool | float) -> list[Name]:
    """Shows a shape for some frames from frame `since` on; returns what was heard."""
    is_engaged = bool(how.pop("is_engaged", False))
    heard = []
    for number in range(since, since + frames):
        state = nobody(number) if name == "none" else shaped(name, number, **how)
        heard.append(gestures.watch(state, number / FPS, is_engaged=is_engaged))
    return [name for name in heard if name is not None]


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("tilt", [-0.2, 0.0, 0.2])
def test_every_gesture_is_recognised(name: str, tilt: float) -> None:
    assert shape_of(shaped(name, 0, tilt=tilt)) == name


def test_filmed_palm_and_fist_are_recognised() -> None:
    shapes = [shape_of(state) for state in clip_states()]
    assert set(shapes) == {"open_palm", "fist", "none"}
    assert set(shapes[:10]) == {"open_palm"}
    assert set(shapes[260:280]) == {"fist"}


@pytest.mark.parametrize(("turned", "shape"), [(0.6, "open_palm"), (1.2, "none")])
def test_an_open_hand_seen_from_its_edge_shows_nothing(turned: float, shape: str) -> None:
    flat, world = recorded("clip")
    aside = flat[300].mean(axis=0)
    cos, sin = np.cos(turned), np.sin(turned)
    seen = (flat[300] - aside) * (cos, 1.0) + aside
    solid = world[300] @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    assert shape_of(state_of(seen, solid, 0)) == shape


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_heard_once_after_it_was_held(name: str) -> None:
    gestures = Gestures()
    almost = int(HOLD_S * FPS)
    assert show(gestures, name, 0, almost) == []
    assert 0.8 < gestures.now.progress < 1
    assert show(gestures, name, almost, 2) == [name]
    assert show(gestures, name, almost + 2, 200) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_hand_at_work_gives_no_command(name: str) -> None:
    assert show(Gestures(), name, 0, 60, is_engaged=True) == []


def test_a_fist_lets_go_and_means_nothing_otherwise() -> None:
    assert show(Gestures(), "fist", 0, 30, is_engaged=True) == ["fist"]
    assert show(Gestures(), "fist", 0, 30) == []


@pytest.mark.parametrize("name", SHAPES)
def test_a_far_hand_gives_no_command(name: str) -> None:
    assert show(Gestures(), name, 0, 60, palm=0.14) == []


def test_no_two_commands_within_the_pause() -> None:
    gestures = Gestures()
    first = int(HOLD_S * FPS) + 2
    assert show(gestures, "thumb_up", 0, first) == ["thumb_up"]
    again = show(gestures, "none", first, 5) + show(gestures, "thumb_up", first + 5, first)
    assert again == []
    assert show(gestures, "thumb_up", 2 * first + 5, int(AGAIN_S * FPS)) == ["thumb_up"]


def test_letting_go_is_heard_at_once_after_engaging() -> None:
    gestures = Gestures()
    hold = int(HOLD_S * FPS) + 2
    assert show(gestures, "open_palm", 0, hold) == ["open_palm"]
    assert show(gestures, "fist", hold, hold, is_engaged=True) == ["fist"]


def test_a_palm_that_was_open_at_work_engages_only_when_it_is_shown_anew() -> None:
    gestures = Gestures()
    hold = int(HOLD_S * FPS) + 2
    show(gestures, "open_palm", 0, 60, is_engaged=True)
    assert show(gestures, "open_palm", 60, 60) == []  # let go of by a key
    show(gestures, "none", 120, 6)
    assert show(gestures, "open_palm", 126, hold) == ["open_palm"]


def test_the_hold_of_a_command_begins_when_it_can_be_meant() -> None:
    gestures = Gestures()
    show(gestures, "thumb_up", 0, 60, is_engaged=True)
    almost = int(HOLD_S * FPS) - 1
    assert show(gestures, "thumb_up", 60, almost) == []
    assert show(gestures, "thumb_up", 60 + almost, 2) == ["thumb_up"]


def test_a_flicker_does_not_begin_the_hold_anew_and_a_gap_does() -> None:
    gestures = Gestures()
    show(gestures, "victory", 0, 12)
    show(gestures, "none", 12, 2)
    assert show(gestures, "victory", 14, 6) == ["victory"]
    gestures = Gestures()
    show(gestures, "victory", 0, 12)
    show(gestures, "none", 12, 6)
    assert show(gestures, "victory", 18, 12) == []


def test_two_minutes_of_everything_else_are_no_command() -> None:
    assert false_commands(3600, seed=1) == []
