"""Two minutes of practice: one sentence after the other, each until the hand has done it.

On the way it learns the person's palm and pinch. It moves nothing itself: whoever runs the loop
lets a simulated arm follow the device, and calls `watch` at each step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from demoloop.teleop.gestures import HOLD_S, Name
from demoloop.teleop.hand import HandDevice
from demoloop.teleop.hand_state import HandState, Vector, pinch_of
from demoloop.teleop.person import NARROWEST, Person, palm_of

PALM_S = 1.0
"""The open hand is looked at for so long."""
_PINCHED = 0.5  # of the open pinch: below, the fingers are taken to touch
_NEED_M = {"y": 0.08, "z": 0.06, "x": 0.02}  # of the gripper; the last is the weak axis


@dataclass
class _Looks:
    """What was seen without a break since some shape began."""

    states: list[HandState] = field(default_factory=list)

    def add(self, state: HandState | None, fits: bool) -> float:
        """Returns for how long [s] it has fitted."""
        if state is None or not fits:
            self.states.clear()
            return 0.0
        if not self.states or state.number != self.states[-1].number:
            self.states.append(state)
        return self.states[-1].time - self.states[0].time


class Practice:
    """`practice.watch(time)` at each step of a loop in which `device` moves a simulated arm.

    Attributes:
        person: What was learned so far; `save_person` keeps it when `is_done`.
        progress: Of the present step, 0 .. 1.
    """

    def __init__(self, device: HandDevice, target: Callable[[], Vector]) -> None:
        """Stores; `target` returns where the gripper is sent, (3,) m."""
        self.person, self.progress = Person(), 0.0
        self._device, self._target = device, target
        self._steps: tuple[tuple[str, Callable[[], float]], ...] = (
            ("Hold your open hand up to the camera, palm towards it.", self._see_palm),
            ("Touch your thumb with your index finger, and stay so.", self._see_pinch),
            ("Open your hand and hold still: the arm begins to follow.", self._engage),
            ("Move your hand to the left and to the right.", lambda: self._moved(1, "y")),
            ("Move your hand up and down.", lambda: self._moved(2, "z")),
            ("Move your hand to the camera and away from it.", lambda: self._moved(0, "x")),
            ("Pinch to close the gripper, and open it again.", self._grip),
            ("Make a fist: the arm stays. Do so before you take your hand away.", self._release),
            ("Open your hand somewhere else: the arm goes on from where it is.", self._engage),
            ("Make a fist again.", self._release),
            ("Show two fingers: an episode begins, or ends.", lambda: self._told("victory")),
            ("Thumb up: keep it.", lambda: self._told("thumb_up")),
            ("Thumb down: throw it away.", lambda: self._told("thumb_down")),
            ("Point with your index finger: that marks a thing or a place.", self._point),
        )  # fmt: skip
        self._index = 0
        self._begin_step()

    @property
    def num_steps(self) -> int:
        """How many there are."""
        return len(self._steps)

    @property
    def number(self) -> int:
        """Of the present step, from 1."""
        return min(self._index + 1, len(self._steps))

    @property
    def is_done(self) -> bool:
        """Whether all steps are."""
        return self._index >= len(self._steps)

    @property
    def sentence(self) -> str:
        """What to do now."""
        return "That is all." if self.is_done else self._steps[self._index][0]

    def watch(self, time: float) -> None:
        """Looks at what the hand did; after `device.read(time)` or `device.watch(time)`."""
        del time  # everything is measured by the times of the pictures
        if self.is_done:
            return
        self._heard += self._device.commands()
        self.progress = float(np.clip(self._steps[self._index][1](), 0.0, 1.0))
        if self.progress >= 1.0:
            self.skip()

    def skip(self) -> None:
        """Goes on to the next step."""
        if not self.is_done:
            self._index += 1
            self._begin_step()

    def _begin_step(self) -> None:
        self._looks = _Looks()
        self._heard: list[Name] = []
        self._low = self._high = self._target()
        self._has_closed = False
        self.progress = 1.0 if self.is_done else 0.0

    def _hand(self) -> HandState | None:
        state = self._device.state
        return state if state is not None and state.has_hand else None

    def _see_palm(self) -> float:
        held = self._looks.add(self._hand(), self._device.gesture.name == "open_palm")
        if held >= PALM_S:
            states = self._looks.states
            pinch = float(np.median([pinch_of(state) for state in states]))
            palm = palm_of([state.metres() for state in states])
            # A little less than all the way, so that fully open is reached with ease.
            self._learn(palm=palm, pinch_open=float(np.clip(0.95 * pinch, 0.6, 1.5)))
        return held / PALM_S

    def _see_pinch(self) -> float:
        state = self._hand()
        most = min(_PINCHED * self.person.pinch_open, self.person.pinch_open - NARROWEST - 0.05)
        held = self._looks.add(state, state is not None and pinch_of(state) < most)
        if held >= HOLD_S:
            pinch = float(np.median([pinch_of(state) for state in self._looks.states]))
            self._learn(pinch_closed=pinch + 0.05)  # likewise for closed
        return held / HOLD_S

    def _learn(self, **what: object) -> None:
        old = {name: getattr(self.person, name) for name in self.person.__struct_fields__}
        self.person = Person(**{**old, **what})
        self._device.person = self.person

    def _engage(self) -> float:
        if self._device.is_engaged:
            return 1.0
        gesture = self._device.gesture
        return 0.99 * gesture.progress if gesture.name == "open_palm" else 0.0

    def _release(self) -> float:
        if "fist" in self._heard or not self._device.is_engaged:
            return 1.0
        gesture = self._device.gesture
        return 0.99 * gesture.progress if gesture.name == "fist" else 0.0

    def _moved(self, axis: int, name: str) -> float:
        target = self._target()
        self._low, self._high = np.minimum(self._low, target), np.maximum(self._high, target)
        return float(self._high[axis] - self._low[axis]) / _NEED_M[name]

    def _grip(self) -> float:
        state = self._hand()
        if state is None or not self._device.is_engaged:
            return 0.5 * self._has_closed
        opening = self.person.opening(pinch_of(state))
        self._has_closed = self._has_closed or opening < 0.15
        return 0.5 * self._has_closed + 0.5 * (self._has_closed and opening > 0.85)

    def _told(self, name: Name) -> float:
        if name in self._heard:
            return 1.0
        gesture = self._device.gesture
        return 0.99 * gesture.progress if gesture.name == name else 0.0

    def _point(self) -> float:
        return self._looks.add(self._hand(), self._device.gesture.name == "pointing") / HOLD_S
