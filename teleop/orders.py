"""The words a session is led by, the same from a page, a key, a button and a gesture."""

from __future__ import annotations

import threading
from collections import deque
from typing import Literal, get_args

Word = Literal[
    "start", "stop", "keep", "discard", "redo", "success", "failure", "finish", "reset", "home",
    "engage", "release", "take", "give_back", "left", "task", "note", "agent", "mark", "aim",
]  # fmt: skip
"""What can be said. `left`: whoever drove has gone. task, note, agent, mark
(name, x, y, camera) and aim (name) come with a text."""
WORDS: tuple[Word, ...] = get_args(Word)
_MOST = 64  # that wait for the next step; more is no person


class Orders:
    """What was said and not heard yet; any thread may say something."""

    def __init__(self, stop: threading.Event) -> None:
        """Stores; `stop` counts as `finish`."""
        self._stop = stop
        self._said: deque[tuple[Word, str, str]] = deque(maxlen=_MOST)

    def say(self, word: Word, text: str, by: str) -> None:
        """Says a word; `by` whom, empty for nobody."""
        self._said.append((word, text, by))

    def heard(self) -> list[tuple[Word, str, str]]:
        """Returns what was said since, in its order, and forgets it."""
        said = [self._said.popleft() for _ in range(len(self._said))]
        if self._stop.is_set():
            said.append(("finish", "", "signal"))
        return said
