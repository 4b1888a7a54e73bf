"""Laws of practice: it ends when everything was done, and what it learned is kept and used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.teleop.hand_shapes import FPS, bent, shaped
from tests.teleop.hands import look

from demoloop.robot.arms.so101 import ARM
from demoloop.teleop import TeleopError
from demoloop.teleop.cartesian import Cartesian
from demoloop.teleop.hand import HandDevice
from demoloop.teleop.hand_state import HandState
from demoloop.teleop.person import Person, load_person, person_file, save_person
from demoloop.teleop.practice import Practice

PINCH = ((0.75, 0.2, 0.2, 0.2), 0.4)
TOLD = {8: "fist", 10: "fist", 11: "victory", 12: "thumb_up", 13: "thumb_down", 14: "pointing"}


def shown(step: int, number: int) -> HandState:
    """What somebody does who follows the sentence of a step."""
    swing = 0.2 * np.sin(number / FPS * 2)
    if step == 2:
        return bent(*PINCH, number)
    if step in (4, 5, 6):
        at = (0.5 + swing * (step == 4), 0.5 + swing * (step == 5))
        return bent((0, 0, 0, 0), 1, number, at=at, palm=0.3 + 0.6 * abs(swing) * (step == 6))
    if step == 7:
        return bent(*PINCH, number) if number % 60 < 30 else shaped("open_palm", number)
    return shaped(TOLD.get(step, "open_palm"), number)


def test_somebody_who_follows_the_sentences_comes_through_within_two_minutes() -> None:
    state: HandState | None = None
    device = HandDevice(lambda: state)
    agent = Cartesian(device, ARM)
    practice = Practice(device, lambda: agent.target)
    sentences = []
    for number in range(round(120 * FPS)):
        if practice.is_done:
            break
        if practice.sentence not in sentences[-1:]:
            sentences.append(practice.sentence)
        state = shown(practice.number, number)
        agent.decide(look(ARM.home, number / FPS))
        practice.watch(number / FPS)
        assert 0 <= practice.progress <= 1
    assert practice.is_done, practice.sentence
    assert len(sentences) == practice.num_steps
    assert practice.person != Person()
    assert device.person == practice.person
    assert practice.person.opening(0.0) == 0 and practice.person.opening(1.4) == 1


def test_nothing_is_learned_of_a_hand_that_does_not_take_part() -> None:
    state = shaped("fist", 0)
    device = HandDevice(lambda: state)
    practice = Practice(device, lambda: np.zeros(3))
    for number in range(300):
        state = shaped("fist", number)
        device.watch(number / FPS)
        practice.watch(number / FPS)
    assert practice.number == 1 and practice.person == Person()


def test_a_person_survives_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_person(person_file()) == Person()
    person = Person(pinch_closed=0.25, pinch_open=0.9)
    save_person(person_file(), person)
    assert load_person(person_file()) == person
    assert [path.name for path in person_file().parent.iterdir()] == ["hand.json"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"pinch_open": "wide"}',
        '{"pinch_open": 9}',
        '{"pinch_open": 0.3, "pinch_closed": 0.25}',
        '{"palm": [[0, 0, 0]]}',
        '{"surprise": 1}',
    ],
)
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "hand.json"
    path.write_text(text)
    with pytest.raises(TeleopError, match=r"hand\.json is damaged .* practise again"):
        load_person(path)
