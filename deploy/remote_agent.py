"""An agent whose policy is at the other end of a socket, and that never waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import numpy as np

from demoloop.deploy.chunks import REPLAN_EVERY, ActionChunk
from demoloop.deploy.client import Arrival, RemotePolicy
from demoloop.deploy.errors import DeployError
from demoloop.robot import Action, Observation

State = Literal["waiting", "running", "holding"]


class RemoteAgent:
    """Sends what it sees now and then, and follows the newest chunk by time.

    Without a chunk it holds the joints where they are; when the server falls silent, or its chunk
    has run out, it holds the last target. `state` and `reason` say so.

    Args:
        policy: A connected `RemotePolicy`.
        replan_every: Control periods from one question to the next; 1 asks whenever the server
            has room. As in `ChunkExecution`, so that simulation judges what the robot does.
        silence_s: Hold when the server's inference loop has shown no progress for so long. Must
            exceed the longest inference.
        max_age_s: A chunk whose observation is older than this when it arrives is not used.
        on_arrival: Listens to every chunk that comes, used or not.
    """

    def __init__(
        self,
        policy: RemotePolicy,
        *,
        replan_every: int = REPLAN_EVERY,
        silence_s: float = 0.5,
        max_age_s: float = 0.5,
        on_arrival: Callable[[Arrival], None] | None = None,
    ) -> None:
        if replan_every < 1:
            raise DeployError(f"replan_every is {replan_every}; at least one step must be taken")
        self.policy = policy
        self.replan_every = replan_every
        self.silence_s = silence_s
        self.max_age_s = max_age_s
        self.state: State = "waiting"
        self.reason = "no chunk yet"
        self.age_s = 0.0  # of the observation behind the chunk that is followed
        self.num_stale = 0  # chunks that came too late to be used
        self._on_arrival = on_arrival
        self._arrivals: list[Arrival] = []
        self._asked_at: float | None = None  # observation time of the last question
        self._chunk: ActionChunk | None = None
        self._target: Action | None = None

    def reset(self) -> None:
        """Forgets the last episode and all answers still under way for it."""
        self.policy.forget()
        self._arrivals.clear()
        self._asked_at = self._chunk = self._target = None
        self.state, self.reason = "waiting", "no chunk yet"

    def listen(self, until: float) -> None:
        """Takes in what comes up to `until` [s, time.monotonic()]; returns a little before."""
        while (left_s := until - time.monotonic()) > 0.002:
            self._take_in(wait_s=left_s - 0.001)

    def decide(self, observation: Observation) -> Action:
        """Returns the target for `observation.time`, at once."""
        self._take_in()
        for arrival in self._arrivals:
            self._consider(arrival.chunk, observation.time)
        self._arrivals.clear()
        if self._is_due(observation.time) and self.policy.send(observation):
            self._asked_at = observation.time
        if self._target is None:
            # Where the joints are now, once and not again at each step: a target that follows the
            # joints would sink with them.
            spec = self.policy.spec
            self._target = np.clip(
                observation.proprioception[: spec.action_dim], spec.low, spec.high
            )
        if self.policy.silence_s > self.silence_s:
            # When the server is back, going on in the middle of an old chunk would be a jump.
            self._chunk = None
            self.state, self.reason = "holding", "no sign of life from the server"
        elif self._chunk is None:
            self.state, self.reason = "waiting", self.policy.refusal or "no chunk yet"
        else:
            self._follow(self._chunk, observation.time)
        return self._target

    def _take_in(self, wait_s: float = 0.0) -> None:
        for arrival in self.policy.collect(wait_s):
            self._arrivals.append(arrival)
            if self._on_arrival is not None:
                self._on_arrival(arrival)

    def _is_due(self, now: float) -> bool:
        if self._asked_at is None or self._chunk is None:
            return True
        # Half a step of slack, since steps are never an exact period apart.
        steps = (now - self._asked_at) * self.policy.spec.control_hz
        return steps >= self.replan_every - 0.5

    def _consider(self, chunk: ActionChunk, now: float) -> None:
        if now - chunk.time > self.max_age_s:
            self.num_stale += 1
        elif self._chunk is None or chunk.time > self._chunk.time:
            self._chunk = chunk

    def _follow(self, chunk: ActionChunk, now: float) -> None:
        control_hz = self.policy.spec.control_hz
        self.age_s = now - chunk.time
        self._target = chunk.sample(now, control_hz)
        if chunk.is_exhausted(now, control_hz):
            self.state, self.reason = "holding", "the last chunk ran out"
        else:
            self.state, self.reason = "running", ""
