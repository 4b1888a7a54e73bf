"""An agent whose policy is at the other end of a socket, and that never waits for it."""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np

from demoloop.deploy.chunks import ActionChunk
from demoloop.deploy.client import RemotePolicy
from demoloop.robot import Action, Observation

State = Literal["waiting", "running", "holding"]

_KEPT_LATENCIES = 100_000


class RemoteAgent:
    """Sends what it sees whenever the server has room, and follows the newest chunk by time.

    Without a chunk it holds the joints where they are; when the server falls silent, or its chunk
    has run out, it holds the last target. `state` and `reason` say so.

    Args:
        policy: A connected `RemotePolicy`.
        silence_s: Hold when the server's inference loop has shown no progress for so long. Must
            exceed the longest inference.
        max_age_s: A chunk whose observation is older than this when it arrives is not used.
    """

    def __init__(
        self, policy: RemotePolicy, *, silence_s: float = 0.5, max_age_s: float = 0.5
    ) -> None:
        self.policy = policy
        self.silence_s = silence_s
        self.max_age_s = max_age_s
        self.state: State = "waiting"
        self.reason = "no chunk yet"
        self.age_s = 0.0  # of the observation behind the chunk that is followed
        self.num_stale = 0  # chunks that came too late to be used
        self.latencies_ms: deque[float] = deque(maxlen=_KEPT_LATENCIES)
        self._chunk: ActionChunk | None = None
        self._target: Action | None = None

    def reset(self) -> None:
        """Forgets the last episode and all answers still under way for it."""
        self.policy.forget()
        self._chunk = self._target = None
        self.state, self.reason = "waiting", "no chunk yet"

    def decide(self, observation: Observation) -> Action:
        """Returns the target for `observation.time`, at once."""
        for arrival in self.policy.collect():
            self.latencies_ms.append(arrival.round_trip_ms)
            self._consider(arrival.chunk, observation.time)
        self.policy.send(observation)
        if self._target is None:
            # Where the joints are now, once and not again at each step: a target that follows the
            # joints would sink with them.
            positions = observation.proprioception[: self.policy.spec.action_dim]
            self._target = np.clip(positions, self.policy.spec.low, self.policy.spec.high)
        if self.policy.silence_s > self.silence_s:
            # When the server is back, going on in the middle of an old chunk would be a jump.
            self._chunk = None
            self.state, self.reason = "holding", f"server silent for {self.policy.silence_s:.1f} s"
        elif self._chunk is None:
            self.state, self.reason = "waiting", self.policy.refusal or "no chunk yet"
        else:
            self._follow(self._chunk, observation.time)
        return self._target

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
            self.state, self.reason = "holding", f"the last chunk ran out {self.age_s:.1f} s ago"
        else:
            self.state, self.reason = "running", ""
