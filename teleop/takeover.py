"""Taking over: a person corrects a policy where it fails, and what they do is marked as theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action, Agent, Observation, OnStep

if TYPE_CHECKING:
    from demoloop.datasets import EpisodeRecorder

HANDOVER_SPEED = 0.5
"""rad/s, and openings/s: no quicker does the difference between person and policy fade."""
SHORTEST_HANDOVER_S = 0.3


class Teleoperator(Agent, Protocol):
    """An agent that a person works, and that can begin from any pose."""

    def begin(self, commanded: Action) -> None:
        """Goes on from `commanded` (action_dim,): its next decision does not leap from there."""
        ...


class Takeover:
    """An agent around two: a policy decides until a person takes over, and again when they let go.

    Nobody leaps: the teleoperator begins from the pose commanded last, and a policy that gets
    the arm back forgets what it had planned, looks anew, and is faded in.

    `run_episode(robot, takeover, steps, marking(takeover, recorder))`, and `take` and `give_back`
    from wherever a key or a pedal is heard; each counts from the next step on.

    Attributes:
        is_takeover: Whether the person decided the last step.
    """

    def __init__(self, policy: Agent, teleoperator: Teleoperator) -> None:
        self.is_takeover = False
        self._policy, self._teleoperator = policy, teleoperator
        self._is_wanted = False
        self._commanded: Action | None = None
        self._fade: _Fade | None = None
        self._is_joining = False  # the policy decides again, for the first time

    def take(self) -> None:
        """Lets the person decide; any thread may call it."""
        self._is_wanted = True

    def give_back(self) -> None:
        """Lets the policy decide; any thread may call it."""
        self._is_wanted = False

    def sent(self, action: Action) -> None:
        """Hears what the robot was really sent, where it limits: whoever is next begins there."""
        self._commanded = action

    def reset(self) -> None:
        """Lets the policy begin the episode."""
        self._policy.reset()
        self._teleoperator.reset()
        self.is_takeover = self._is_wanted = self._is_joining = False
        self._commanded = self._fade = None

    def decide(self, observation: Observation) -> Action:
        """Returns what whoever decides now decides."""
        if self._is_wanted != self.is_takeover:
            self.is_takeover = not self.is_takeover
            self._hand_over(observation)
        if self.is_takeover:
            action = self._teleoperator.decide(observation)
        else:
            action = self._faded_in(self._policy.decide(observation), observation.time)
        self._commanded = action
        return action

    def _hand_over(self, observation: Observation) -> None:
        self._fade = None
        if not self.is_takeover:
            self._policy.reset()
            self._is_joining = True
            return
        if self._commanded is None:  # taken at the very first step
            size = len(observation.proprioception) // 2
            self._commanded = observation.proprioception[:size]
        self._teleoperator.begin(self._commanded)

    def _faded_in(self, action: Action, time: float) -> Action:
        if self._is_joining:
            self._is_joining = False
            if self._commanded is not None:
                self._fade = _Fade(self._commanded, action, time)
        if self._fade is None:
            return action
        faded = self._fade.at(action, time)
        if faded is None:
            self._fade = None
            return action
        return faded


class _Fade:
    """From standing where the person left the arm to doing what the policy says."""

    def __init__(self, start: Action, first: Action, time: float) -> None:
        self._start, self._time = start.astype(np.float64), time
        apart = float(np.abs(start.astype(np.float64) - first).max())
        self._duration = max(SHORTEST_HANDOVER_S, 1.5 * apart / HANDOVER_SPEED)

    def at(self, action: Action, time: float) -> Action | None:
        """Returns something between the two, so that it keeps all limits; None when it is over."""
        share = (time - self._time) / self._duration
        if not 0 <= share < 1:
            return None
        share = share * share * (3 - 2 * share)  # from rest to rest; its steepest slope is 1.5
        between: NDArray[np.float64] = (1 - share) * self._start + share * action
        return between.astype(np.float32)


def marking(takeover: Takeover, recorder: EpisodeRecorder) -> OnStep:
    """Returns a listener that records each step together with who decided it."""

    def listen(observation: Observation, action: Action) -> None:
        takeover.sent(action)
        recorder.is_takeover = takeover.is_takeover
        recorder(observation, action)

    return listen
