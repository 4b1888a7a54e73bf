"""The hand before a camera as a device: where it moves, the gripper moves; a pinch closes it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from demoloop.teleop.errors import TeleopError
from demoloop.teleop.gestures import MIN_PALM, Gesture, Gestures, Name
from demoloop.teleop.hand_path import HandPath
from demoloop.teleop.hand_pose import measure
from demoloop.teleop.hand_state import HandState, Vector, palm_share
from demoloop.teleop.motion import Motion
from demoloop.teleop.one_euro import OneEuro
from demoloop.teleop.person import Person

View: TypeAlias = Literal["opposite", "behind", "above"]

# Columns: where the camera's x (right), y (down) and z (away) go in the arm's base frame.
_BASE_FROM_CAMERA: dict[View, Vector] = {
    # The person looks at the arm as its front camera does, and at the webcam: as in a mirror.
    "opposite": np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
    # The person stands behind the arm and looks where it looks, into the webcam.
    "behind": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    # The camera looks down on the hand; the top of its picture is away from the person, who
    # stands behind the arm.
    "above": np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, -1]]),
}
_ROLL_SIGN: dict[View, float] = {"opposite": 1.0, "behind": -1.0, "above": 1.0}

LOST_S = 0.2
_PICK_UP = 0.08  # openings: so near must the pinch come to the gripper to work it again
NOT_MET = "the gripper waits: pinch or open your fingers as far as it is open, and it follows"
_DARK = 40.0  # mean brightness, of 255


class HandDevice:
    """One hand, seen by a tracker. Its clutch is worked by gesture, or by `engage` and `release`.

    Engaging holds on to where the hand is, releasing forgets it; a lost hand releases, and one that
    comes back moves nothing until it engages again. Jumps of the tracker are left out, so the
    motion is continuous at any time.

    Attributes:
        gesture: What is shown, with the share of its hold that is done.
        state: The newest look of the tracker; None while there is none.
        raw: Where the hand is, (3,) [m] in the arm's axes, unfiltered and with all its jumps.
        filtered: What moves the arm: filtered, weighed, without jumps.
        num_pictures: Looked at so far, and `num_hands`: those of them with a hand.
    """

    name = "hand"

    def __init__(
        self,
        look: Callable[[], HandState | None],
        *,
        person: Person | None = None,
        view: View = "opposite",
        has_roll: bool = False,
    ) -> None:
        """Stores.

        Args:
            look: Returns the newest state, quickly: `lambda: tracker.newest`.
            person: From the practice; None for the usual hand.
            view: How person, camera and arm stand to each other.
            has_roll: Whether turning the hand in the picture turns the gripper.

        Raises:
            TeleopError: There is no such view.
        """
        if view not in _BASE_FROM_CAMERA:
            raise TeleopError(f"no view {view!r}; the views are: {', '.join(_BASE_FROM_CAMERA)}")
        self.person = person or Person()
        self._look, self._has_roll = look, has_roll
        self._view: View = view
        self._gestures = Gestures()
        self._commands: deque[Name] = deque(maxlen=16)
        self._asked: deque[Literal["engage", "release"]] = deque(maxlen=16)
        self._lock = threading.Lock()
        self._path = HandPath()
        self._angle = OneEuro(1.0, 2.0)  # (1,) rad
        self.num_pictures = self.num_hands = 0
        self.reset()

    def reset(self) -> None:
        """Forgets everything, as before an episode: the gripper's opening, too."""
        self.gesture = Gesture()
        self.state: HandState | None = None
        self.raw: Vector | None = None
        self.filtered: Vector | None = None
        self._is_engaged = False
        self._opening: float | None = None  # as last said
        self._wanted = 0.0  # by the last look
        self._has_picked_up = True
        self._lose()

    def begin(self, opening: float) -> None:
        """Takes over a gripper at `opening`, which stays so until the pinch has met it."""
        self._opening, self._has_picked_up = opening, False

    @property
    def is_engaged(self) -> bool:
        """Whether the arm follows."""
        return self._is_engaged

    @property
    def present(self) -> HandState | None:
        """The newest look, unless the last hand was seen too long ago to be there still."""
        return self.state if np.isfinite(self._seen_at) else None

    def engage(self) -> None:
        """Lets the arm follow, from the next look on, if there is a hand; any thread."""
        self._asked.append("engage")

    def release(self) -> None:
        """Lets the arm stay; any thread."""
        self._asked.append("release")

    def commands(self) -> list[Name]:
        """Returns the gestures held long enough since last asked, the clutch's among them."""
        with self._lock:
            heard = list(self._commands)
            self._commands.clear()
        return heard

    @property
    def hint(self) -> str:
        """What would help, in a sentence; empty when nothing is wrong."""
        state = self.state
        if state is None:
            return "no picture of the hand yet"
        if not state.has_hand:
            if state.brightness < _DARK:
                return "too dark to see a hand; switch a light on"
            return "no hand in the picture; hold it up to the camera"
        if self._is_engaged and not self._has_picked_up:
            return NOT_MET
        if palm_share(state) < MIN_PALM:
            return "the hand is far away; bring it nearer to the camera"
        return ""

    def watch(self, time: float) -> None:
        """Looks, between episodes as well; `time` [s] as for `read`."""
        wishes = [self._asked.popleft() for _ in range(len(self._asked))]
        if "release" in wishes:
            self._is_engaged = False
        state = self._look()
        if state is not None and (self.state is None or state.number != self.state.number):
            self.state = state
            self.num_pictures += 1
            self.num_hands += state.has_hand
            if state.has_hand:
                self._take_in(state, time)
        if time - self._seen_at > LOST_S:
            self._lose()
        command = self._gestures.watch(self.present, time, is_engaged=self._is_engaged)
        self.gesture = self._gestures.now
        if command is not None:
            with self._lock:
                self._commands.append(command)
        if command == "open_palm":
            self._engage()
        elif command == "fist":
            self._is_engaged = False
        if wishes and wishes[-1] == "engage":
            self._engage()

    def read(self, time: float) -> Motion:
        """Returns what the hand says at `time` [s]; released where it is lost."""
        self.watch(time)
        if not self._is_engaged or self.filtered is None:
            return Motion(status=self.hint)
        roll = _ROLL_SIGN[self._view] * self._roll if self._has_roll else None
        return Motion(
            is_engaged=True,
            position=self.filtered.copy(),
            roll=roll,
            opening=self._opening,
            status=self.hint,
        )

    def _lose(self) -> None:
        """Lets go of a hand that is no longer seen; what comes next counts from itself."""
        self._is_engaged = False
        self._seen_at = float("-inf")  # s, of the loop, when a hand was last seen
        self._roll = 0.0
        self.filtered = None
        self._path.reset()
        self._angle.reset()

    def _engage(self) -> None:
        if not self._is_engaged and np.isfinite(self._seen_at):
            self._is_engaged = True
            # A hand opened to engage must not open a gripper that holds something.
            self._has_picked_up = self._opening is None

    def _take_in(self, state: HandState, time: float) -> None:
        """Follows the hand to where a new picture shows it."""
        pose = measure(state, self.person)
        self._seen_at = time
        across = pose.offset * pose.depth
        base_from_camera = _BASE_FROM_CAMERA[self._view]
        self.raw = base_from_camera @ np.array([across[0], across[1], pose.depth])
        self.filtered = base_from_camera @ self._path(pose, state.time)
        self._roll = float(self._angle(np.array([self._unwrapped(pose.roll)]), state.time)[0])
        self._grip(self._path.pinch)

    def _grip(self, pinch: float) -> None:
        """Works the gripper, once the pinch has met it; a fist is no pinch."""
        before, self._wanted = self._wanted, self.person.opening(pinch)
        if not self._is_engaged or self.gesture.name == "fist":
            return
        if self._opening is not None and not self._has_picked_up:
            # A quick pinch passes it between two pictures.
            low, high = sorted((before, self._wanted))
            self._has_picked_up = low - _PICK_UP < self._opening < high + _PICK_UP
        if self._has_picked_up:
            self._opening = self._wanted

    def _unwrapped(self, roll: float) -> float:
        """Returns the angle next to the last one, so that a full turn does not end in a leap."""
        return self._roll + float((roll - self._roll + np.pi) % (2 * np.pi) - np.pi)
