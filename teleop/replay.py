"""A recorded episode that an arm does again: an agent like any other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets import Episode
from demoloop.robot import Action, Observation, RobotSpec
from demoloop.teleop.errors import TeleopError
from demoloop.teleop.pace import Pace
from demoloop.teleop.takeover import HANDOVER_SPEED


class Replay:
    """Goes gently to where an episode began, then through its actions at the pace they had.

    Between two actions it interpolates by time, so the loop may have any rate. It is open loop: the
    same actions do the same only where the same world begins the same way.

    Attributes:
        is_over: Whether the last action was reached; from then on the arm stays there.
        status: What it is doing, one sentence; empty while it plays.
    """

    def __init__(self, episode: Episode, spec: RobotSpec) -> None:
        """Stores.

        Raises:
            TeleopError: The episode is empty, of another arm, or has times that do not rise.
        """
        if len(episode) == 0 or episode.actions.shape[1] != spec.action_dim:
            raise TeleopError(
                f"an episode with actions of shape {episode.actions.shape} cannot be done by "
                f"{spec.name}; it takes (steps, {spec.action_dim}), at least one step"
            )
        if not (np.isfinite(episode.actions).all() and (np.diff(episode.time) > 0).all()):
            raise TeleopError(
                "the episode has actions that are no numbers, or times that do not rise; "
                "`demoloop dataset check` says where"
            )
        self._spec = spec
        self._actions = np.clip(episode.actions, spec.low, spec.high).astype(np.float64)
        self._times = episode.time - episode.time[0]
        self.reset()

    def reset(self) -> None:
        """Begins the episode again, from wherever the arm is when it is next seen."""
        self.is_over, self.status = False, ""
        self._commanded: NDArray[np.float64] | None = None
        self._pace = Pace()
        self._played: float | None = None  # s of the episode; None: on the way to its beginning

    def begin(self, commanded: Action) -> None:
        """Begins the episode again, from an arm that was sent to `commanded` (action_dim,)."""
        self.reset()
        self._commanded = np.clip(commanded, self._spec.low, self._spec.high).astype(np.float64)

    def decide(self, observation: Observation) -> Action:
        """Returns the action that belongs to the time of `observation`."""
        if self._commanded is None:
            self.begin(observation.proprioception[: self._spec.action_dim])
            assert self._commanded is not None
        dt = self._pace.since(observation.time)
        if self._played is None:
            self._approach(dt)
        else:
            self._played += dt
            self._commanded = self._at(self._played)
            self.is_over = self._played >= self._times[-1]
        return self._commanded.astype(np.float32)

    def _approach(self, dt: float) -> None:
        """All joints by the same share, the furthest at `HANDOVER_SPEED`."""
        assert self._commanded is not None
        away = self._actions[0] - self._commanded
        far = float(np.abs(away).max())
        self._commanded = self._commanded + away * min(1.0, HANDOVER_SPEED * dt / max(far, 1e-9))
        self.status = "going to where the episode began"
        if far <= HANDOVER_SPEED * dt:
            self._played, self.status = 0.0, ""

    def _at(self, time: float) -> NDArray[np.float64]:
        columns = [np.interp(time, self._times, column) for column in self._actions.T]
        return np.array(columns)
