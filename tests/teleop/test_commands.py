"""Laws of the table of commands: no word twice, no key of two meanings, Esc and Space for ever."""

from __future__ import annotations

from typing import get_args

import pytest

from demoloop.teleop.commands import COMMANDS, WORDS, Gesture, Phase, meant_by
from demoloop.teleop.gamepad import LEFT_BUMPER, RIGHT_TRIGGER
from demoloop.teleop.keyboard import KEYS

PHASES: tuple[Phase, ...] = get_args(Phase)


def test_every_word_of_a_session_is_there_once() -> None:
    said = "start stop keep discard redo success failure finish estop reset engage release"
    assert sorted(WORDS) == sorted((said + " take give_back home").split())


@pytest.mark.parametrize("phase", PHASES)
def test_nothing_means_two_words_at_once(phase: Phase) -> None:
    for command in COMMANDS:
        for said in (*command.keys, *command.buttons):
            assert len(meant_by([said], phase)) <= 1, said
    for gesture in get_args(Gesture):
        assert len(meant_by([gesture], phase)) <= 1, gesture


@pytest.mark.parametrize("phase", PHASES)
def test_escape_stops_the_arm_whatever_else_is_pressed(phase: Phase) -> None:
    assert meant_by(["KeyW", "Escape", "Space"], phase)[0] == "estop"
    assert "estop" in meant_by([8], phase)


def test_no_key_or_button_both_moves_and_commands() -> None:
    moving = {key.code for key in KEYS} | set(range(LEFT_BUMPER, RIGHT_TRIGGER + 1))
    for command in COMMANDS:
        assert not moving & {*command.keys, *command.buttons}, command.word


def test_one_key_starts_and_ends_an_episode() -> None:
    assert meant_by(["Space"], "ready") == ("start",)
    assert meant_by(["Space"], "recording") == ("stop",)
    assert meant_by(["Space"], "review") == ()


def test_an_episode_is_judged_only_when_it_is_over() -> None:
    assert meant_by(["Enter"], "recording") == ()
    assert meant_by(["Enter"], "review") == ("keep",)
    assert meant_by(["thumb_down"], "review") == ("discard",)
