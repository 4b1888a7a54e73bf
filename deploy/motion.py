"""The executor of chunks: smooth motion within the limits of every joint, at any tick rate.

Two parts. A `Limiter` follows a moving reference and never exceeds velocity, acceleration or range
of a joint. A `Motion` makes that reference out of chunks, looked up by time, and hands over from
one to the next without a step. Numpy alone, and no clock of its own: time is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from demoloop.deploy.chunks import ActionChunk
from demoloop.robot import Action, RobotSpec

State = Literal["waiting", "running", "holding"]
Vector = NDArray[np.float64]

NO_CHUNK = "no chunk yet"
BLEND_S = 0.15
"""Over which a new chunk takes over from the one before."""
START_BLEND_S = 0.25
"""Over which a chunk takes over from an arm at rest: at the start, and after a hold."""
_SHARE = 0.7  # of the limits is for a handover, so that the chunk itself has the rest
_STALL_PERIODS = 2.5  # without a tick for longer, the arm has come to rest where it was sent last


class Limiter:
    """Follows a reference within each joint's range, velocity and acceleration.

    Velocity and acceleration are those of the commands: (p' - p) / dt and (v' - v) / dt. It never
    goes faster than it could still stop from, before a limit of the joint as well as before a
    reference at rest; that holds for any dt, since it reckons with the stopping distance
    v^2 / 2a, which no sequence of ticks exceeds.

    Args:
        spec: Whose limits to keep.
    """

    def __init__(self, spec: RobotSpec) -> None:
        self.low, self.high = spec.low.astype(np.float64), spec.high.astype(np.float64)
        self.max_velocity = np.array([joint.max_velocity for joint in spec.joints])
        self.max_acceleration = np.array([joint.max_acceleration for joint in spec.joints])
        self.position: Vector = np.zeros(spec.action_dim)  # commanded [unit]
        self.velocity: Vector = np.zeros(spec.action_dim)  # of the last tick [unit/s]
        self.time = 0.0  # s, of the last tick
        self._stall_s = _STALL_PERIODS / spec.control_hz

    def start(self, position: Action | Vector, time: float) -> None:
        """Begins at rest at `position` (action_dim,), which is put within the limits."""
        self.position = np.clip(position, self.low, self.high).astype(np.float64)
        self.velocity = np.zeros_like(self.position)
        self.time = time

    def follow(self, target: Vector, velocity: Vector, time: float) -> Vector:
        """Moves on to `time` after a reference that is at `target` and moves at `velocity`.

        Returns:
            The position (action_dim,) to command.
        """
        dt = self._advance(time)
        if dt <= 0:
            return self.position
        # Seen from the reference: how far it was away at the last tick, had it moved evenly.
        distance = target - velocity * dt - self.position
        return self._move(velocity + np.sign(distance) * self._stoppable(abs(distance), dt), dt)

    def brake(self, time: float) -> Vector:
        """Moves on to `time`, slowing down as quickly as is allowed; returns the position."""
        dt = self._advance(time)
        return self._move(np.zeros_like(self.velocity), dt) if dt > 0 else self.position

    def _advance(self, time: float) -> float:
        dt = time - self.time
        if dt <= 0:  # the same tick again
            return 0.0
        self.time = time
        if dt > self._stall_s:
            # The servos reached the last command long ago: go on from rest, and not by a leap.
            self.velocity = np.zeros_like(self.velocity)
            return self._stall_s
        return dt

    def _stoppable(self, distance: Vector, dt: float) -> Vector:
        """Returns the greatest v with v dt + v^2 / 2a <= distance, written for small distances."""
        root = np.sqrt(dt * dt + 2 * distance / self.max_acceleration)
        stoppable: Vector = 2 * distance / (dt + root)
        return stoppable

    def _move(self, wanted: Vector, dt: float) -> Vector:
        change = self.max_acceleration * dt
        # The range counts first: from every state this keeps, braking stays within `change`.
        lowest = np.maximum(-self.max_velocity, -self._stoppable(self.position - self.low, dt))
        highest = np.minimum(self.max_velocity, self._stoppable(self.high - self.position, dt))
        wanted = np.clip(wanted, self.velocity - change, self.velocity + change)
        self.velocity = np.clip(wanted, lowest, highest)
        self.position = np.clip(self.position + self.velocity * dt, self.low, self.high)
        return self.position


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
    there is none any more, until one comes or `wait` says that it will; `reason` says why it is not
    running.

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
        age_s = now - (chunk.time if seen_at is None else seen_at)
        if age_s > self.max_age_s or chunk.is_exhausted(now, self.spec.control_hz):
            self.num_stale += 1
            return False
        newest = [*self._chunks, *self._news][-1:]
        if newest and chunk.time <= newest[0].time:
            return False
        self._news.append(chunk)
        return True

    def hold(self, reason: str) -> None:
        """Forgets all chunks and comes to rest; a chunk that is offered later ends it."""
        self._chunks, self._offsets = (), []
        self._news.clear()
        self.state, self.reason = "holding", reason

    def wait(self, reason: str) -> None:
        """Says that an arm which holds may expect a chunk again."""
        self.state, self.reason = "waiting", reason

    def tick(self, now: float, positions: Action | Vector) -> Action:
        """Moves on to `now` [s, monotonic] and returns the action (action_dim,) to command.

        Args:
            now: The time of this tick; one that does not move on changes nothing.
            positions: Where the joints are (action_dim,); looked at by the first tick alone, since
                a command that follows the joints would sink with them.
        """
        if not self._has_started:
            self.limiter.start(positions, now)
            self._has_started = True
        for chunk in self._news:
            kept = self._chunks if self.ensemble is not None else ()
            self._hand_over((*kept, chunk))
        self._news.clear()
        valid = tuple(
            chunk for chunk in self._chunks if not chunk.is_exhausted(now, self.spec.control_hz)
        )
        if not valid:
            if self._chunks:
                self.hold("the last chunk ran out")
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
