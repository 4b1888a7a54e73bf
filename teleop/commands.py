"""The words that drive a session, and the keys, buttons and gestures that say them: one table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["ready", "countdown", "recording", "review", "moving", "fault", "finished"]
Gesture = Literal["open_palm", "fist", "victory", "thumb_up", "thumb_down"]


@dataclass(frozen=True)
class Command:
    """One word, and how it is said.

    A key means at most one word in each phase, so that the same key may start and stop.
    """

    word: str
    does: str  # said to a person
    keys: tuple[str, ...] = ()  # KeyboardEvent.code of the DOM
    buttons: tuple[int, ...] = ()  # of a gamepad in the standard mapping
    gesture: Gesture | None = None
    phases: tuple[Phase, ...] = ()  # in which it is heard; empty: in all


COMMANDS = (
    # Heard always and first: nothing else may be meant by these.
    Command("estop", "stop the arm now", keys=("Escape",), buttons=(8,)),
    Command("start", "start the episode", ("Space",), (9,), "victory", ("ready",)),
    Command(
        "stop", "end the episode", ("Space",), (9,), "victory", ("countdown", "recording", "moving")
    ),
    Command("keep", "keep it", ("Enter",), (0,), "thumb_up", ("review",)),
    Command("discard", "throw it away", ("Backspace",), (1,), "thumb_down", ("review",)),
    Command("redo", "throw it away and show it again", ("KeyR",), (2,), None, ("review",)),
    Command("success", "keep it as a success", ("KeyY",), (3,), None, ("review",)),
    Command("failure", "keep it as a failure", ("KeyN",), (10,), None, ("review",)),
    Command("engage", "let the hand move the arm", ("KeyG",), (), "open_palm"),
    Command("release", "let go of the arm", ("KeyF",), (), "fist"),
    Command("take", "take the arm from the policy", ("KeyT",), (12,)),
    Command("give_back", "give it back to the policy", ("KeyB",), (13,)),
    Command("home", "bring the arm to where it starts", ("KeyH",), (14,), None, ("ready",)),
    Command("reset", "go on after a fault", ("KeyR",), (9,), None, ("fault",)),
    Command("finish", "end the session", ("KeyX",), (15,), None, ("ready", "review", "fault")),
)

WORDS = tuple(command.word for command in COMMANDS)


def meant_by(said: Iterable[str | int], phase: Phase) -> tuple[str, ...]:
    """Returns the words that keys (codes), buttons (numbers) or gestures (names) mean now.

    Args:
        said: What was pressed or shown anew; what is held down from before is no command.
        phase: Where the session is.
    """
    anew = set(said)
    return tuple(
        command.word
        for command in COMMANDS
        if (not command.phases or phase in command.phases)
        and anew & {*command.keys, *command.buttons, command.gesture}
    )
