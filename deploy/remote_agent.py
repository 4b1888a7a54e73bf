"""An agent whose policy is at the other end of a socket, and that never waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from demoloop.deploy.chunks import REPLAN_EVERY
from demoloop.deploy.client import Arrival
from demoloop.deploy.errors import DeployError
from demoloop.deploy.motion import Motion, State
from demoloop.robot import Action, Observation, RobotSpec


class Connection(Protocol):
    """What a `RemoteAgent` needs of the line to its policy, whatever it runs over."""

    refusal: str  # the last sentence with which the server refused something

    @property
    def spec(self) -> RobotSpec:
        """The robot at this end."""
        ...

    @property
    def silence_s(self) -> float:
        """How long the server's inference loop has shown no sign of life."""
        ...

    def send(self, observation: Observation) -> bool:
        """Sends the observation if there is room for one; returns whether it did."""
        ...

    def collect(self, wait_s: float = 0.0) -> Sequence[Arrival]:
        """Returns the chunks that have come, waiting for one at most so long."""
        ...

    def forget(self) -> None:
        """Drops the answers that are still under way."""
        ...


class RemoteAgent:
    """Sends what it sees now and then, and follows what comes back with a `Motion`.

    It may be asked at any rate: questions keep to the control periods of the spec. Without a chunk
    it holds the joints where they are; when the server falls silent, or its chunk has run out, it
    comes to rest. `state` and `reason` say so.

    Args:
        policy: A connected `RemotePolicy`, or another such line.
        replan_every: Control periods from one question to the next; 1 asks whenever the server
            has room. As in `ChunkExecution`, so that simulation judges what the robot does.
        silence_s: Hold when the server's inference loop has shown no progress for so long. Must
            exceed the longest inference. The default leaves 50 ms of the 250 ms within which a
            dead server must be noticed.
        motion: How chunks are followed; None for the usual way.
        on_arrival: Listens to every chunk that comes, used or not.
    """

    def __init__(
        self,
        policy: Connection,
        *,
        replan_every: int = REPLAN_EVERY,
        silence_s: float = 0.2,
        motion: Motion | None = None,
        on_arrival: Callable[[Arrival], None] | None = None,
    ) -> None:
        if replan_every < 1:
            raise DeployError(f"replan_every is {replan_every}; at least one step must be taken")
        self.policy = policy
        self.replan_every = replan_every
        self.silence_s = silence_s
        self.motion = motion or Motion(policy.spec)
        self._on_arrival = on_arrival
        self._arrivals: list[Arrival] = []
        self._asked_at: float | None = None  # observation time of the last question
        self._looked_at: float | None = None  # time of the last observation
        self._image_times: Mapping[str, float] = {}  # of the last observation

    @property
    def state(self) -> State:
        """Whether it follows a chunk."""
        return self.motion.state

    @property
    def reason(self) -> str:
        """Why it does not; empty while it does."""
        if self.state == "waiting" and self.policy.refusal:
            return self.policy.refusal
        return self.motion.reason

    @property
    def age_s(self) -> float:
        """Age of the observation behind the chunk that is followed."""
        return self.motion.age_s

    @property
    def num_stale(self) -> int:
        """How many chunks came too late to be used."""
        return self.motion.num_stale

    def reset(self) -> None:
        """Forgets the last episode and all answers still under way for it."""
        self.policy.forget()
        self._arrivals.clear()
        self._asked_at = self._looked_at = None
        self._image_times = {}
        self.motion.reset()

    def listen(self, until: float) -> None:
        """Takes in what comes up to `until` [s, time.monotonic()]; returns a little before."""
        while (left_s := until - time.monotonic()) > 0.002:
            self._take_in(wait_s=left_s - 0.001)

    def decide(self, observation: Observation) -> Action:
        """Returns the target for `observation.time`, at once."""
        now = observation.time
        self._take_in()
        for arrival in self._arrivals:
            self.motion.offer(arrival.chunk, now)
        self._arrivals.clear()
        if self._is_due(observation) and self.policy.send(observation):
            self._asked_at = now
        self._looked_at, self._image_times = now, observation.image_times
        if self.policy.silence_s > self.silence_s:
            # When the server is back, going on in the middle of an old chunk would be wrong.
            self.motion.hold("no sign of life from the server")
        return self.motion.tick(now, observation.proprioception[: self.policy.spec.action_dim])

    def _take_in(self, wait_s: float = 0.0) -> None:
        for arrival in self.policy.collect(wait_s):
            self._arrivals.append(arrival)
            if self._on_arrival is not None:
                self._on_arrival(arrival)

    def _is_due(self, observation: Observation) -> bool:
        if self._image_times and observation.image_times == self._image_times:
            return False  # between two pictures: an answer to the old ones would be no news
        if self._asked_at is None or self._looked_at is None or not self.motion.has_chunk:
            return True
        # Half a tick of slack, since ticks are never an exact period apart.
        period = 1.0 / self.policy.spec.control_hz
        slack = 0.5 * min(observation.time - self._looked_at, period)
        return observation.time - self._asked_at >= self.replan_every * period - slack
