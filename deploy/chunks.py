"""Executing action chunks by time: what was asked for a moment is done at that moment.

A chunk says for which instants its actions are meant, so neither a late answer nor a skipped step
shifts the motion: whoever executes it looks up "now", and what is past is never caught up.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from demoloop.deploy.errors import PolicyError
from demoloop.robot import Action, Observation, RobotSpec

REPLAN_EVERY = 4
"""Control periods to follow one chunk, wherever nobody says otherwise: what is judged in
simulation and what a robot does are the same. 2 did no better, 8 worse (docs/results.md)."""


@dataclass(frozen=True)
class ActionChunk:
    """Targets for the steps that follow one observation."""

    actions: NDArray[np.float32]  # (horizon, action_dim); row 0 is for the instant `time`
    time: float  # s, when the observation it answers was taken, on the robot's clock
    pace: float = 1.0  # how quickly it is followed: at 0.5 each step takes twice its time

    def steps_at(self, time: float, control_hz: float) -> float:
        """Returns how many steps into the chunk `time` is, not an integer; negative is before."""
        return (time - self.time) * control_hz * self.pace

    def is_exhausted(self, time: float, control_hz: float) -> bool:
        """Says whether `time` is past the last action, by more than half a step of jitter."""
        return self.steps_at(time, control_hz) > len(self.actions) - 0.5

    def sample(self, time: float, control_hz: float) -> Action:
        """Returns the target (action_dim,) for `time`, linear between two steps.

        Past the end it is the last target, and before the start the first: an arm without news
        comes to rest, it never keeps its velocity.
        """
        last = len(self.actions) - 1
        at = min(max(self.steps_at(time, control_hz), 0.0), float(last))
        before = int(at)
        share = np.float32(at - before)
        after = min(before + 1, last)
        actions = self.actions
        target: Action = actions[before] + share * (actions[after] - actions[before])
        return target

    def velocity(self, time: float, control_hz: float) -> NDArray[np.float64]:
        """Returns the slope (action_dim,) of `sample` just after `time` [unit/s]; 0 outside."""
        at = self.steps_at(time, control_hz)
        if not 0 <= at < len(self.actions) - 1:
            return np.zeros(self.actions.shape[1])
        before, after = self.actions[int(at)], self.actions[int(at) + 1]
        slope: NDArray[np.float64] = (after.astype(np.float64) - before) * control_hz * self.pace
        return slope


class Predictor(Protocol):
    """What predicts chunks: an ONNX file in this process, or one at the other end of a socket."""

    @property
    def spec(self) -> RobotSpec:
        """The robot it was trained for."""
        ...

    def predict(self, observation: Observation) -> ActionChunk:
        """Returns the actions to take from `observation.time` on."""
        ...


class ChunkExecution:
    """Predicts, follows the chunk for `replan_every` control periods, predicts again."""

    def __init__(self, policy: Predictor, replan_every: int = REPLAN_EVERY) -> None:
        if replan_every < 1:
            raise PolicyError(f"replan_every is {replan_every}; at least one step must be taken")
        self.policy = policy
        self.replan_every = replan_every
        self._chunk: ActionChunk | None = None

    def reset(self) -> None:
        """Forgets the chunk of the last episode."""
        self._chunk = None

    def decide(self, observation: Observation) -> Action:
        """Returns the target for `observation.time`."""
        control_hz = self.policy.spec.control_hz
        if self._chunk is None or self._is_due(self._chunk, observation.time, control_hz):
            self._chunk = self.policy.predict(observation)
        return self._chunk.sample(observation.time, control_hz)

    def _is_due(self, chunk: ActionChunk, time: float, control_hz: float) -> bool:
        steps = chunk.steps_at(time, control_hz)
        # Half a step of slack: with jitter the eighth look comes at 7.98 as often as at 8.02.
        # A negative count means that the clock began again, as a simulation's does.
        return not 0 <= steps <= self.replan_every - 0.5 or chunk.is_exhausted(time, control_hz)


class TemporalEnsemble:
    """Predicts at each step and averages what all chunks so far say about this instant.

    Zhao et al. 2023 (ACT), section IV-C: w_k = exp(-m k), k = 0 the oldest prediction. It departs
    from the paper in that each chunk is looked up by time, not by a count of steps. Only for a
    policy that answers one way: the average of "left around" and "right around" is the obstacle.
    """

    def __init__(self, policy: Predictor, m: float = 0.01) -> None:
        self.policy = policy
        self.m = m  # the larger, the less a new prediction counts
        self._chunks: deque[ActionChunk] = deque()

    def reset(self) -> None:
        """Forgets the chunks of the last episode."""
        self._chunks.clear()

    def decide(self, observation: Observation) -> Action:
        """Returns the weighted mean target for `observation.time`."""
        time, control_hz = observation.time, self.policy.spec.control_hz
        if self._chunks and time < self._chunks[-1].time:
            self._chunks.clear()
        self._chunks.append(self.policy.predict(observation))
        # The newest starts now and is never exhausted, so one always stays.
        while self._chunks[0].is_exhausted(time, control_hz):
            self._chunks.popleft()
        targets = np.stack([chunk.sample(time, control_hz) for chunk in self._chunks])
        weights = np.exp(-self.m * np.arange(len(targets)))
        mean: Action = (weights @ targets / weights.sum()).astype(np.float32)
        return mean
