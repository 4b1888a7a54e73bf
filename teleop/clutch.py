"""The clutch between a person and an arm: engaged it follows, released it stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from demoloop.robot import Action, Observation, RobotSpec, WallClock
from demoloop.teleop.takeover import Teleoperator


class Clutch:
    """A teleoperator around a teleoperator, which moves nothing until it is engaged.

    Engaging begins from the pose commanded last, so it never leaps; releasing holds the one really
    sent, so an arm that lags behind its target stops where it is and not where it was going.

    Attributes:
        is_engaged: Whether the person decided the last step.
    """

    def __init__(self, spec: RobotSpec, clock: WallClock) -> None:
        """Stores whose arm it is; nobody moves it until there is a device."""
        self.is_engaged = False
        self._inner: Teleoperator | None = None
        self._spec, self._clock = spec, clock
        self._is_wanted = False
        self._commanded: Action | None = None

    def connect(self, inner: Teleoperator) -> None:
        """Takes another device; the arm is released and stays."""
        self._inner = inner
        self._is_wanted = self.is_engaged = False

    def engage(self) -> None:
        """Follows from the next step on; any thread may call it."""
        self._is_wanted = True

    def release(self) -> None:
        """Stays from the next step on; any thread may call it."""
        self._is_wanted = False

    @property
    def is_wanted(self) -> bool:
        """Whether the next step will be the person's."""
        return self._is_wanted

    def reset(self) -> None:
        """Begins from wherever the robot is when it is next seen; wanted or not stays as it is."""
        if self._inner is not None:
            self._inner.reset()
        self._commanded = None
        self.is_engaged = False

    def begin(self, commanded: Action) -> None:
        """Goes on from `commanded` (action_dim,)."""
        self._commanded = np.clip(commanded, self._spec.low, self._spec.high).astype(np.float32)
        self.is_engaged = False  # and latches anew, if it is wanted

    def sent(self, action: Action) -> None:
        """Hears what the robot was really sent, where it limits."""
        self._commanded = action

    def decide(self, observation: Observation) -> Action:
        """Returns what the person wants while engaged, else the last command once more."""
        if self._commanded is None:
            self.begin(observation.proprioception[: self._spec.action_dim])
            assert self._commanded is not None
        was_engaged, self.is_engaged = self.is_engaged, self._is_wanted
        if self._inner is None or not self.is_engaged:
            return self._commanded
        if not was_engaged:
            self._inner.begin(self._commanded)
        # A person's time goes on where a simulation's stands still.
        return self._inner.decide(replace(observation, time=self._clock.now()))
