"""A hand before a camera as a teleoperator, whose gestures also lead the session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from demoloop.robot import Action, Observation
from demoloop.robot.arms import ArmModel
from demoloop.teleop.cartesian import Cartesian
from demoloop.teleop.gestures import Name
from demoloop.teleop.hand import HandDevice
from demoloop.teleop.motion import Vector


@dataclass(frozen=True)
class SeenHand:
    """What a page shows of a hand."""

    name: Name  # of the gesture
    progress: float  # of its hold, 0 .. 1
    landmarks: tuple[tuple[float, float], ...] | None  # 21 shares of width and height
    score: float
    hint: str  # what would help, in a sentence; or empty


class ByHand:
    """Moves the arm as a hand does, and says which gestures were given.

    It is watched between episodes too: a thumb that says keep is shown while nothing moves.
    """

    def __init__(
        self, device: HandDevice, arm: ArmModel, trouble: Callable[[], str] = lambda: ""
    ) -> None:
        """Stores; `trouble`: what is wrong with the tracker, in a sentence, or empty."""
        self._device, self._trouble = device, trouble
        self._cartesian = Cartesian(device, arm)

    def reset(self) -> None:
        """Begins from wherever the arm is when it is next seen."""
        self._cartesian.reset()

    def begin(self, commanded: Action) -> None:
        """Takes over an arm that was sent to `commanded` (action_dim,) last."""
        self._cartesian.begin(commanded)

    def decide(self, observation: Observation) -> Action:
        """Returns where the arm shall go."""
        return self._cartesian.decide(observation)

    def watch(self, time: float) -> list[Name]:
        """Looks once, and returns the gestures held long enough since; `time` as for `decide`."""
        self._device.watch(time)
        return self._device.commands()

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
        state, gesture = self._device.state, self._device.gesture
        has_hand = state is not None and state.has_hand
        return SeenHand(
            name=gesture.name,
            progress=round(gesture.progress, 2),
            landmarks=state.landmarks if state is not None and has_hand else None,
            score=state.score if state is not None else 0.0,
            hint=self._trouble() or self._device.hint,
        )
