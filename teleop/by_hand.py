"""A hand before a camera as a teleoperator, whose gestures also lead the session."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from demoloop.robot import Action, Observation
from demoloop.robot.arms import ArmModel
from demoloop.teleop.cartesian import Cartesian
from demoloop.teleop.gestures import Name
from demoloop.teleop.hand import HandDevice
from demoloop.teleop.motion import Vector
from demoloop.teleop.pointing import Cursor, Point


@dataclass(frozen=True)
class SeenHand:
    """What a page shows of a hand."""

    name: Name  # of the gesture
    progress: float  # of its hold, 0 .. 1
    landmarks: tuple[tuple[float, float], ...] | None  # 21 shares of width and height
    score: float
    hint: str  # what would help, in a sentence; or empty
    at: Point | None = None  # where a finger points while the arm is let go
    num_pictures: int = 0  # looked at so far
    num_hands: int = 0  # of them, those with a hand


class ByHand:
    """Moves the arm as a hand does, and says which gestures were given and what was pointed at.

    It is watched between episodes too: a thumb that says keep is shown while nothing moves.
    """

    def __init__(
        self, device: HandDevice, arm: ArmModel, trouble: Callable[[], str] = lambda: ""
    ) -> None:
        """Stores; `trouble`: what is wrong with the tracker, in a sentence, or empty."""
        self._device, self._trouble = device, trouble
        self._cartesian = Cartesian(device, arm)
        self._cursor = Cursor()
        self._points: deque[Point] = deque(maxlen=4)

    def reset(self) -> None:
        """Begins from wherever the arm is when it is next seen."""
        self._cartesian.reset()

    def begin(self, commanded: Action) -> None:
        """Takes over an arm that was sent to `commanded` (action_dim,) last."""
        self._cartesian.begin(commanded)
        self._device.begin(float(commanded[-1]))

    def decide(self, observation: Observation) -> Action:
        """Returns where the arm shall go."""
        return self._cartesian.decide(observation)

    def watch(self, time: float) -> list[Name]:
        """Looks once, and returns the gestures held long enough since; `time` as for `decide`."""
        self._device.watch(time)
        # An arm that follows is worked with that finger.
        is_free = not self._device.is_engaged
        point = self._cursor.watch(self._device.present if is_free else None, time)
        if point is not None:
            self._points.append(point)
        return self._device.commands()

    def points(self) -> list[Point]:
        """Returns where a finger has stayed since last asked."""
        return [self._points.popleft() for _ in range(len(self._points))]

    def engage(self) -> None:
        """The arm follows the hand, if there is one."""
        self._device.engage()

    def release(self) -> None:
        """The arm stays."""
        self._device.release()

    @property
    def is_engaged(self) -> bool:
        """Whether the arm follows."""
        return self._device.is_engaged

    @property
    def status(self) -> str:
        """What is wrong, or would help."""
        return self._trouble() or self._cartesian.status or self._device.hint

    @property
    def target(self) -> Vector:
        """Where the gripper is sent, (3,) m."""
        return self._cartesian.target

    @property
    def seen(self) -> SeenHand:
        """What the tracker sees."""
        device, cursor = self._device, self._cursor
        state, gesture = device.state, device.gesture
        has_hand = state is not None and state.has_hand
        held = cursor.progress if gesture.name == "pointing" else gesture.progress
        return SeenHand(
            name=gesture.name,
            progress=round(held, 2),
            landmarks=state.landmarks if state is not None and has_hand else None,
            score=state.score if state is not None else 0.0,
            hint=self._trouble() or device.hint,
            at=cursor.at,
            num_pictures=device.num_pictures,
            num_hands=device.num_hands,
        )
