"""The executor of chunks: smooth motion within the limits of every joint, at any tick rate.

A `Motion` makes a moving reference out of chunks, looked up by time, and hands over from one to the
next without a step; a `Limiter` (robot/limiter.py) follows that reference. Numpy alone, and no
clock of its own: time is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from demoloop.deploy.chunks import ActionChunk
from demoloop.robot import Action, RobotSpec
from demoloop.robot.limiter import Limiter, Vector

State = Literal["waiting", "running", "holding", "stopped"]

NO_CHUNK = "no chunk yet"
RAN_OUT = "the last chunk ran out"
BLEND_S = 0.15
"""Over which a new chunk takes over from the one before."""
START_BLEND_S = 0.25
"""Over which a chunk takes over from an arm at rest: at the start, and after a hold."""
_SHARE = 0.7  # of the limits is for a handover, so that the chunk itself has the rest


@dataclass(frozen=True)
class _Offset:
    """What was commanded less what the new chunk says, at the handover; it fades to nothing."""

    position: Vector  # (action_dim,) [unit]
    velocity: Vector  # (action_dim,) [unit/s]
    start: float  # s
    duration: Vector  # (action_dim,) s

    def at(self, time: float) -> tuple[Vector, Vector]:
        """Returns what is left of it at `time`: a position and its rate of change."""
        since = max(time - self.start, 0.0)
        share = np.minimum(since / self.duration, 1.0)
        fade = 1 - share * share * (3 - 2 * share)
        slope = -6 * share * (1 - share) / self.duration
        offset = self.position + self.velocity * since
        return offset * fade, self.velocity * fade + offset * slope


class Motion:
    """Follows chunks by time, from tick to tick, and comes to rest without them.

    A new chunk changes neither position nor velocity at the moment it comes: the difference to
    what was followed before is kept as an offset that fades out. Several handovers close together
    have an offset each, so a chunk that says what the last one said changes nothing.

    `state` is "waiting" before the first chunk, "running" while one is followed, "holding" once
    there is none any more, until one comes or `wait` says that it will, "stopped" when an operator
    wants it so; `reason` says why it is not running.

    Args:
        spec: Of the robot that moves. `control_hz` is the rate of a chunk's steps; ticks may come
            at any rate.
        blend_s: Over which one chunk takes over from another.
        start_blend_s: Over which a chunk takes over from rest.
        max_age_s: A chunk whose observation is older than this when it comes is not used.
        ensemble: Follow the mean of all chunks that are valid now, each weighed by
            exp(-ensemble k), k = 0 the oldest (Zhao et al. 2023, ACT, section IV-C; here the
            chunks are looked up by time). Only for a policy that answers one way. None: follow the
            newest.
    """

    def __init__(
        self,
        spec: RobotSpec,
        *,
        blend_s: float = BLEND_S,
        start_blend_s: float = START_BLEND_S,
        max_age_s: float = 0.5,
        ensemble: float | None = None,
    ) -> None:
        self.spec = spec
        self.blend_s = blend_s
        self.start_blend_s = start_blend_s
        self.max_age_s = max_age_s
        self.ensemble = ensemble
        self.limiter = Limiter(spec)
        self.num_stale = 0  # chunks that came too late to be used
        self.reset()

    def reset(self) -> None:
        """Forgets everything: the next tick begins where the joints are then."""
        self.state: State = "waiting"
        self.reason = NO_CHUNK
        self._has_started = False
        self.has_yielded = False  # the joints gave way meanwhile: begin again where they are
        self._chunks: tuple[ActionChunk, ...] = ()  # the oldest first
        self._news: list[ActionChunk] = []
        self._offsets: list[_Offset] = []

    @property
    def has_chunk(self) -> bool:
        """Whether there is a chunk to follow."""
        return bool(self._chunks or self._news)

    def offer(self, chunk: ActionChunk, now: float, seen_at: float | None = None) -> bool:
        """Takes in a chunk that came by `now`; returns whether it will be followed.

        One that is too old, exhausted, or answers an earlier look than one before it is not.

        Args:
            chunk: What came.
            now: s, on the clock of the chunk.
            seen_at: When the robot looked, for a chunk that begins later than that.
        """
        if self.state == "stopped":
            return False
        age_s = now - (chunk.time if seen_at is None else seen_at)
        if age_s > self.max_age_s or chunk.is_exhausted(now, self.spec.control_hz):
            self.num_stale += 1
            return False
        newest = [*self._chunks, *self._news][-1:]
        if newest and chunk.time <= newest[0].time:
            return False
        self._news.append(chunk)
        return True

    def hold(self, reason: str, *, is_stop: bool = False) -> None:
        """Forgets all chunks and comes to rest.

        A chunk that is offered later ends it; not so a stop, which lasts until `wait`.
        """
        self._chunks, self._offsets = (), []
        self._news.clear()
        self.state, self.reason = "stopped" if is_stop else "holding", reason

    def wait(self, reason: str) -> None:
        """Says that an arm which holds may expect a chunk again."""
        self.state, self.reason = "waiting", reason

    def tick(self, now: float, positions: Action | Vector) -> Action:
        """Moves on to `now` [s, monotonic] and returns the action (action_dim,) to command.

        Args:
            now: The time of this tick; one that does not move on changes nothing.
            positions: Where the joints are (action_dim,); looked at by the first tick, and after
                they have yielded, alone: a command that follows the joints would sink with them.
        """
        if not self._has_started or (self.has_yielded and self._news):
            self.limiter.start(positions, now)
            self._has_started, self.has_yielded = True, False
        for chunk in self._news:
            kept = self._chunks if self.ensemble is not None else ()
            self._hand_over((*kept, chunk))
        self._news.clear()
        valid = tuple(
            chunk for chunk in self._chunks if not chunk.is_exhausted(now, self.spec.control_hz)
        )
        if not valid:
            if self._chunks:
                self.hold(RAN_OUT)
            return self.limiter.brake(now).astype(np.float32)
        if len(valid) < len(self._chunks):
            self._hand_over(valid)
        self.state, self.reason = "running", ""
        self._offsets = [o for o in self._offsets if now < o.start + o.duration.max()]
        target, velocity = self._reference(now)
        target = np.clip(target, self.limiter.low, self.limiter.high)
        return self.limiter.follow(target, velocity, now).astype(np.float32)

    def expected(self, time: float) -> Vector:
        """Returns the position (action_dim,) at some time before or after, if no news comes.

        The reference as it is known now, which the limits may keep the arm from.
        """
        if not self._chunks:
            return self.limiter.position
        return np.clip(self._reference(time)[0], self.limiter.low, self.limiter.high)

    def _hand_over(self, chunks: tuple[ActionChunk, ...]) -> None:
        """Follows `chunks` from the last tick on, beginning at what was commanded then."""
        at = self.limiter.time
        if self._chunks:
            before, shortest = self._say(self._chunks, at), self.blend_s
        else:
            before = self.limiter.position, self.limiter.velocity
            shortest = self.start_blend_s
        after = self._say(chunks, at)
        self._chunks = chunks
        position, velocity = before[0] - after[0], before[1] - after[1]
        self._offsets.append(
            _Offset(position, velocity, at, self._fading_time(position, velocity, shortest))
        )

    def _fading_time(self, position: Vector, velocity: Vector, shortest: float) -> Vector:
        """Returns how long (action_dim,) [s] an offset takes to fade within the limits.

        The greatest slope of the fade is 1.5 / duration and its greatest curvature 6 / duration^2;
        a velocity that fades along with it adds some 4 / duration.
        """
        limiter = self.limiter
        speed, acceleration = _SHARE * limiter.max_velocity, _SHARE * limiter.max_acceleration
        needed = [
            1.5 * np.abs(position) / speed,
            np.sqrt(6 * np.abs(position) / acceleration),
            4 * np.abs(velocity) / acceleration,
        ]
        duration: Vector = np.maximum(np.max(needed, axis=0), shortest)
        return duration

    def _reference(self, now: float) -> tuple[Vector, Vector]:
        position, velocity = self._say(self._chunks, now)
        for offset in self._offsets:
            left = offset.at(now)
            position, velocity = position + left[0], velocity + left[1]
        return position, velocity

    def _say(self, chunks: tuple[ActionChunk, ...], at: float) -> tuple[Vector, Vector]:
        """Returns the target (action_dim,) of `chunks` and its velocity at a time."""
        hz = self.spec.control_hz
        weights = np.exp(-(self.ensemble or 0.0) * np.arange(len(chunks)))
        weights /= weights.sum()
        position = weights @ np.stack([chunk.sample(at, hz) for chunk in chunks])
        velocity = weights @ np.stack([chunk.velocity(at, hz) for chunk in chunks])
        return position, velocity
