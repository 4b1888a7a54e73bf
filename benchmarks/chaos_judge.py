"""Looks at a world from outside and counts what must not happen.

It knows what left the robot, what the policy answered to what, which chunks are followed and what
is commanded; of sessions, sequence numbers and credits as the two sides keep them it takes nobody's
word. An action counts as **stale** when the chunk it comes from, at the moment it was taken up,

- answered a look older than `max_age_s`,
- answered no look that this robot sent in this episode, or one it had sent in a session other than
  the one it now speaks in,
- answered a look no newer than that of the chunk before it,

and as a **duplicate** when that chunk was taken up before. A chunk that has run out, even at half
its pace, and one that is followed while nothing has come from the server for longer than the
agent's silence, must not move the arm: from then on every joint slows down, as its acceleration
allows, and then stands.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action, RobotSpec

# As docs/ARCHITECTURE.md has it; on purpose not imported.
_HEADER = struct.Struct("<4sBBHIQQQ")  # magic, major, type, flags, session, seq, ack_seq, t_mono_ns
_HELLO, _OBSERVATION = 1, 3
MAX_AGE_S = 0.5
SILENCE_S = 0.2
SLOWEST = 0.5  # of its own pace at which a chunk is followed where answers are late
_FLOAT32 = 2.0**-24


@dataclass(frozen=True)
class _Look:
    session: int
    sent_at: float
    episode: int


class Judge:
    """Notes what happens, and counts offences by name in `offences`."""

    def __init__(self, spec: RobotSpec, horizon: int, clock: Callable[[], float]) -> None:
        self.offences: Counter[str] = Counter()
        self.num_answers = 0
        self.num_followed = 0
        self.num_ticks = 0
        self.num_moving = 0  # ticks at which some joint moved
        self.num_unknown = 0  # followed, and in no answer: bits flipped in a sound message
        self.worst_age_s = 0.0
        self._spec = spec
        self._horizon_s = horizon / spec.control_hz / SLOWEST
        self._clock = clock
        self._episode = 0
        self._session = 0  # in which the robot spoke last
        self._looks: dict[int, _Look] = {}  # by the time in the header
        self._answers: dict[bytes, float] = {}  # the tag's bytes -> time of the look
        self._followed: set[bytes] = set()
        self._last_look_at = -np.inf
        self._may_move_until = -np.inf  # by the chunk that is followed
        self._heard_at = -np.inf
        self._commands: list[tuple[float, NDArray[np.float64]]] = []
        self._velocity: NDArray[np.float64] | None = None
        self._max_velocity = np.array([joint.max_velocity for joint in spec.joints])
        self._max_acceleration = np.array([joint.max_acceleration for joint in spec.joints])

    def begin_episode(self) -> None:
        """What was asked before must not be acted upon after."""
        self._episode += 1
        self._commands.clear()
        self._velocity = None
        self._last_look_at = self._may_move_until = -np.inf

    def robot_sends(self, parts: Sequence[bytes]) -> None:
        """Before the network does anything to it."""
        _, _, kind, _, session, _, _, time_ns = _HEADER.unpack(parts[0])
        if kind != _HELLO:
            self._session = session
        if kind == _OBSERVATION:
            self._looks[time_ns] = _Look(session, self._clock(), self._episode)

    def robot_hears(self) -> None:
        """Something has come to the robot, be it nonsense."""
        self._heard_at = self._clock()

    def answers(self, serial: int, look_time: float) -> None:
        """The policy answers; `serial` is in the numbers of the last joint."""
        self.num_answers = serial + 1
        tag = np.float32(0.25 + serial % (1 << 20) / (1 << 21))
        self._answers[tag.tobytes()] = look_time

    def follows(self, actions: NDArray[np.float32]) -> None:
        """The robot takes up a chunk."""
        self.num_followed += 1
        if (
            not np.isfinite(actions).all()
            or ((actions < self._spec.low) | (actions > self._spec.high)).any()
        ):
            self.offences["not finite or beyond a joint's range"] += 1
        now, tag = self._clock(), actions[0, -1].tobytes()
        look_time = self._answers.get(tag)
        if look_time is None or (actions[:, -1] != actions[0, -1]).any():
            self.num_unknown += 1
            self._may_move_until = now + self._horizon_s
            return
        if tag in self._followed:
            self.offences["duplicate"] += 1
        self._followed.add(tag)
        # It may begin at the time of the look, or later where the robot foresaw itself.
        self._may_move_until = look_time + self._horizon_s + 0.5 / self._spec.control_hz
        look = self._looks.get(round(look_time * 1e9))
        if look is None:
            self.offences["stale: nobody asked"] += 1
            return
        age = now - look.sent_at
        self.worst_age_s = max(self.worst_age_s, age)
        if age > MAX_AGE_S:
            self.offences["stale: too old"] += 1
        if look.session != self._session:
            self.offences["stale: of another session"] += 1
        if look.episode != self._episode:
            self.offences["stale: of another episode"] += 1
        if look.sent_at <= self._last_look_at:
            self.offences["stale: older than the one before"] += 1
        self._last_look_at = look.sent_at

    def commands(self, action: Action) -> None:
        """The robot is sent somewhere."""
        now, position = self._clock(), action.astype(np.float64)
        self.num_ticks += 1
        if ((position < self._spec.low - 1e-6) | (position > self._spec.high + 1e-6)).any():
            self.offences["range"] += 1
        if self._commands:
            before, last = self._commands[-1]
            dt = now - before
            velocity = (position - last) / dt
            # A command is rounded to float32: so much of a velocity and an acceleration is that.
            rounding = 2 * _FLOAT32 * max(1.0, float(np.abs(position).max())) / dt
            self._judge_motion(velocity, dt, rounding)
            self.num_moving += bool((np.abs(velocity) > 2 * rounding).any())
            self._velocity = velocity
        self._commands = [(now, position)]

    def _judge_motion(self, velocity: NDArray[np.float64], dt: float, rounding: float) -> None:
        if (np.abs(velocity) > self._max_velocity + rounding).any():
            self.offences["velocity"] += 1
        if self._velocity is None:
            return
        change = np.abs(velocity - self._velocity)
        slack = 3 * rounding  # the velocity before was taken over another dt
        if (change > self._max_acceleration * dt + slack).any():
            self.offences["acceleration"] += 1
        now = self._clock()
        must_rest = now > self._may_move_until or now > self._heard_at + SILENCE_S + 0.02
        slower = np.maximum(np.abs(self._velocity) - self._max_acceleration * dt * 0.99, 0.0)
        if must_rest and (np.abs(velocity) > slower + slack).any():
            self.offences["moves without a reason"] += 1
