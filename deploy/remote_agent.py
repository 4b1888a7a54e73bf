"""An agent whose policy is at the other end of a socket, and that never waits for it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Protocol

import numpy as np

from demoloop.deploy.chunks import REPLAN_EVERY, ActionChunk
from demoloop.deploy.client import Arrival
from demoloop.deploy.errors import DeployError
from demoloop.deploy.motion import NO_CHUNK, RAN_OUT, Motion, State
from demoloop.robot import Action, Observation, RobotSpec

_SILENT = "no sign of life from the server"
_SMALL_PERIODS = 2.25  # a latency of so many control periods or less is left alone
_UNHURRIED_S = 0.1  # a latency up to which chunks are followed at their own pace
_SLOWEST = 0.5  # share of its own pace at which a chunk is followed at least
_LONGEST_S = 0.35  # nothing further ahead is foreseen
_SLOPE_S = 0.04  # on both sides of the instant whose velocity is foreseen


class Connection(Protocol):
    """What a `RemoteAgent` needs of the line to its policy, whatever it runs over."""

    refusal: str  # with which the server refused something since the last chunk

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


class Permission(Protocol):
    """Says whether an arm may move; `Standing` is one."""

    @property
    def ban(self) -> str:
        """Why it must not at this moment; empty when it may."""
        ...

    @property
    def is_stopped(self) -> bool:
        """Whether a stop is latched."""
        ...


class RemoteAgent:
    """Sends what it sees now and then, and follows what comes back with a `Motion`.

    It may be asked at any rate: questions keep to the control periods of the spec. Without a chunk
    it holds the joints where they are; when the server falls silent, or its chunk has run out, it
    comes to rest. `state` and `reason` say so.

    Where answers take long, it sends its joints as they will be when the answer comes (it knows
    what they will do until then), and the answer begins at that moment. A policy that is told where
    the joints were answers as if its own plan had been followed since: with each answer the arm
    would be sent back to catch up with a past that never was (docs/results.md). Pictures stay as
    they were taken; since those are late then, the answer is followed more slowly, so that less
    changes in the time that the next one takes.

    Args:
        policy: A connected `RemotePolicy`, or another such line.
        replan_every: Control periods from one question to the next; 1 asks whenever the server
            has room. As in `ChunkExecution`, so that simulation judges what the robot does.
        silence_s: Hold when the server's inference loop has shown no progress for so long. Must
            exceed the longest inference. The default leaves 50 ms of the 250 ms within which a
            dead server must be noticed.
        servo_lag_s: How far the joints are behind what is commanded, when they are foreseen; of
            0.04 to 0.15 s this did best with the SO-101 in simulation.
        motion: How chunks are followed; None for the usual way.
        permission: Asked at each step; the arm comes to rest while it is refused. None: granted.
        on_arrival: Listens to every chunk that comes, used or not.
    """

    def __init__(
        self,
        policy: Connection,
        *,
        replan_every: int = REPLAN_EVERY,
        silence_s: float = 0.2,
        servo_lag_s: float = 0.09,
        motion: Motion | None = None,
        permission: Permission | None = None,
        on_arrival: Callable[[Arrival], None] | None = None,
    ) -> None:
        if replan_every < 1:
            raise DeployError(f"replan_every is {replan_every}; at least one step must be taken")
        self.policy = policy
        self.replan_every = replan_every
        self.silence_s = silence_s
        self.servo_lag_s = servo_lag_s
        self.motion = motion or Motion(policy.spec)
        self._permission = permission
        self._ban = ""  # of the last step
        self._on_arrival = on_arrival
        self._arrivals: list[Arrival] = []
        self._latencies_s: deque[float] = deque(maxlen=8)  # from a look to the use of its answer
        self._seen_at: dict[float, float] = {}  # when a chunk begins -> when its look was taken
        self._followed: float | None = None  # when the look was taken whose answer is followed
        self._asked_at: float | None = None  # time of the last question
        self._looked_at: float | None = None  # time of the last observation
        self._image_times: Mapping[str, float] = {}  # of the last observation
        self._asked_images: Mapping[str, float] = {}  # of the last question

    @property
    def state(self) -> State:
        """Whether it follows a chunk."""
        return self.motion.state

    @property
    def reason(self) -> str:
        """Why it does not; empty while it does."""
        if self.policy.refusal and self.motion.reason in (NO_CHUNK, RAN_OUT):
            return self.policy.refusal  # which is why none comes
        return self.motion.reason

    @property
    def age_s(self) -> float:
        """Age of the observation behind the chunk that is followed."""
        if self._looked_at is None or self._followed is None:
            return 0.0
        return self._looked_at - self._followed

    @property
    def num_stale(self) -> int:
        """How many chunks came too late to be used."""
        return self.motion.num_stale

    def reset(self) -> None:
        """Forgets the last episode and all answers still under way for it."""
        self.policy.forget()
        self._arrivals.clear()
        self._seen_at.clear()
        self._ban = ""
        self._asked_at = self._looked_at = self._followed = None
        self._image_times = self._asked_images = {}
        self.motion.reset()

    def listen(self, until: float) -> None:
        """Takes in what comes up to `until` [s, time.monotonic()]; returns a little before."""
        while (left_s := until - time.monotonic()) > 0.002:
            self._take_in(wait_s=left_s - 0.001)

    def decide(self, observation: Observation) -> Action:
        """Returns the target for `observation.time`, at once."""
        now = observation.time
        ban = self._permission.ban if self._permission is not None else ""
        self._take_in()
        if ban:  # nor are they of use when it is lifted
            self._arrivals.clear()
        for arrival in self._arrivals:
            self._consider(arrival, now)
        self._arrivals.clear()
        is_due = self._is_due(observation)
        self._looked_at, self._image_times = now, observation.image_times
        self._rest_or_wait(ban)
        action = self.motion.tick(now, observation.proprioception[: self.policy.spec.action_dim])
        if is_due and not ban:
            question = self._foresee(observation)
            if self.policy.send(question):
                self._asked_at, self._asked_images = now, observation.image_times
                self._seen_at[question.time] = now
        return action

    def _rest_or_wait(self, ban: str) -> None:
        """Holds while something speaks against moving, and expects a chunk when nothing does."""
        if ban and self._permission is not None:
            if not self._ban:  # what answers a look from before must not move it after
                self.policy.forget()
                self._seen_at.clear()
            self.motion.hold(ban, is_stop=self._permission.is_stopped)
        elif self.policy.silence_s > self.silence_s:
            # When the server is back, going on in the middle of an old chunk would be wrong.
            self.motion.hold(_SILENT)
        elif self._ban or self.motion.reason == _SILENT:
            self.motion.wait(NO_CHUNK)
        self._ban = ban

    def _consider(self, arrival: Arrival, now: float) -> None:
        begins = arrival.chunk.time
        seen_at = self._seen_at.pop(begins, begins)
        # Answers keep the order of their questions: those before it will not come any more.
        self._seen_at = {b: at for b, at in self._seen_at.items() if at > seen_at}
        self._latencies_s.append(now - seen_at)
        if self.motion.offer(self._paced(arrival.chunk), now, seen_at):
            self._followed = seen_at

    def _paced(self, chunk: ActionChunk) -> ActionChunk:
        """Returns the chunk, slowed down where answers are late."""
        pace = _UNHURRIED_S / max(self._latency_s, _UNHURRIED_S)
        return replace(chunk, pace=max(pace, _SLOWEST))

    @property
    def _latency_s(self) -> float:
        return median(self._latencies_s) if self._latencies_s else 0.0

    def _foresee(self, observation: Observation) -> Observation:
        """Returns the observation with time and joints as they will be when the answer comes."""
        latency_s = min(self._latency_s, _LONGEST_S)
        spec = self.policy.spec
        if latency_s <= _SMALL_PERIODS / spec.control_hz or len(spec.readings):
            return observation
        # What the joints do then was commanded a lag before.
        now = observation.time - self.servo_lag_s
        then, expected = now + latency_s, self.motion.expected
        moved = expected(then) - expected(now)
        velocity = (expected(then + _SLOPE_S) - expected(then - _SLOPE_S)) / (2 * _SLOPE_S)
        # A gripper is left as it is: whether it holds something is seen, and cannot be foreseen.
        is_foreseen = [joint.unit != "opening" for joint in spec.joints]
        seen, dim = observation.proprioception, spec.action_dim
        joints = np.where(is_foreseen, seen[:dim] + moved, seen[:dim])
        velocity = np.where(is_foreseen, velocity, seen[dim:])
        foreseen = np.concatenate([joints, velocity]).astype(np.float32)
        return replace(observation, time=observation.time + latency_s, proprioception=foreseen)

    def _take_in(self, wait_s: float = 0.0) -> None:
        for arrival in self.policy.collect(wait_s):
            self._arrivals.append(arrival)
            if self._on_arrival is not None:
                self._on_arrival(arrival)

    def _is_due(self, observation: Observation) -> bool:
        pictures = observation.image_times
        if pictures and pictures == self._asked_images:
            return False
        if self._asked_at is None or self._looked_at is None or not self.motion.has_chunk:
            return True
        if pictures and pictures == self._image_times:
            return False  # between two pictures: better to wait for the next than to ask with old
        # Half a tick of slack, since ticks are never an exact period apart.
        period = 1.0 / self.policy.spec.control_hz
        slack = 0.5 * min(observation.time - self._looked_at, period)
        return observation.time - self._asked_at >= self.replan_every * period - slack
