"""What is asked of the joints, made into what is sent: no jump, no wall, no speed over the limits.

What is within every limit passes unchanged. The rest is slowed down by the `Limiter`, which reckons
with elapsed time and braking distance. Ruckig (Berscheid and Kroeger 2021) would limit jerk as
well; it is not used: references here change with every tick, so it would plan anew a hundred times
per second what is never driven to its end, and these servos smooth jerk away by themselves.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from demoloop.robot.limiter import Limiter
from demoloop.robot.safety.body import Body
from demoloop.robot.safety.faults import Fault, make_fault
from demoloop.robot.safety.limits import Limits
from demoloop.robot.spec import RobotSpec

Vector = NDArray[np.float64]

_ROUNDING_M = 1e-6  # of two placements of the same part
_NEARLY = 0.7  # of the greatest speed; a joint that moves quicker is held back
_HOLD_BACK = 4.0
"""How much slower the command becomes, per speed above that. A servo's P control is underdamped and
passes the speed of its command by up to a quarter (BAM's STS3215 at 12 V with a link on it): what
is promised is the speed of the joint. Chosen on that model, benchmarks/safety.py."""
_LET_GO = 0.4  # of the load at which a gripper stopped closing: it holds nothing any more


class Commands:
    """The commanded position of an arm, from tick to tick.

    Args:
        spec: Of the arm.
        limits: What is allowed.
        body: Where its parts are; None when nobody knows.
    """

    def __init__(self, spec: RobotSpec, limits: Limits, body: Body | None) -> None:
        self._spec, self._limits, self._body = spec, limits, body
        self._limiter = Limiter(_slower(spec, limits))
        self._fastest = self._limiter.max_velocity
        self._hardest = self._limiter.max_acceleration
        self._is_rad = np.array([joint.unit == "rad" for joint in spec.joints])
        self._asked: Vector | None = None  # (action_dim,) the last action
        self._asked_at = 0.0  # s
        self._is_starting = True
        self._loaded_since: float | None = None  # s: the gripper is slow and loaded
        self._met: float | None = None  # opening at which the gripper met something
        self.blocked = ""  # what the arm waits in front of

    @property
    def position(self) -> Vector:
        """Where the joints were sent last (action_dim,) [unit]."""
        return self._limiter.position

    @property
    def is_moving(self) -> bool:
        """Whether the last command moved on."""
        return bool(self._limiter.velocity.any())

    def rest_at(self, positions: Vector, now: float) -> None:
        """Begins at rest where the joints are; the next way is walked slowly."""
        self._limiter.start(positions, now)
        self.start()

    def start(self) -> None:
        """Forgets what was asked: the way to whatever is asked next is walked slowly."""
        self._asked, self._is_starting = None, True
        self._loaded_since = self._met = None
        self.blocked = ""

    def begin(self, now: float) -> None:
        """Sets off now: the time at rest counts for nothing."""
        if not self.is_moving:
            self._limiter.time = now

    def jump(self, target: Vector, now: float) -> Fault | None:
        """Returns the greatest jump since the last action, if it is one."""
        if self._asked is None or self._is_starting:
            return None
        allowed = np.maximum(self._limits.jump_rad, self._fastest * (now - self._asked_at))
        size = np.where(self._is_rad, np.abs(target - self._asked), 0.0)
        worst = int(np.argmax(size - allowed))
        jumped, limit = float(size[worst]), float(allowed[worst])
        if jumped <= limit:
            return None
        joint = self._spec.joints[worst].name
        sentence = (
            f"{joint} was told to jump {jumped:.2f} rad, at most {limit:.2f}: look at whoever "
            "commands, then reset_fault()"
        )
        return make_fault("jump", sentence, now, joint, jumped, limit)

    def follow(self, target: Vector, speeds: Vector, now: float) -> Vector:
        """Moves on towards an action (action_dim,); returns the position to send."""
        velocity = self._asked_velocity(target, now)
        self._asked, self._asked_at = target, now
        if self._met is not None:
            target = target.copy()
            target[-1] = max(target[-1], self._met - self._limits.gripper_squeeze)
            velocity[-1] = 0.0
        self._pace(self._limits.start_speed if self._is_starting else np.inf, speeds, now)
        position = self._move(target, velocity, now)
        if self._is_starting:
            left = np.abs(target - position).max()
            self._is_starting = bool(left > self._limits.start_within)
        return position

    def approach(self, target: Vector, speed: float, speeds: Vector, now: float) -> Vector:
        """Moves on towards a pose at most at `speed` [rad/s or openings/s]."""
        self._pace(speed, speeds, now)
        return self._move(target, np.zeros_like(target), now)

    def brake(self, now: float) -> Vector:
        """Slows down as quickly as is allowed; returns the position to send."""
        self._limiter.max_acceleration = self._hardest
        return self._limiter.brake(now)

    def feel(self, opening: float, speed: float, load: float, now: float) -> None:
        """Notes whether the gripper has met something: then it closes no further.

        Args:
            opening: Of the gripper, 0 .. 1.
            speed: Of it [openings/s].
            load: Share of its drive; NaN when unknown, which changes nothing.
            now: s.
        """
        limits, asked = self._limits, self._asked
        if self._is_rad[-1] or asked is None or np.isnan(load):
            return
        if self._met is not None:
            if asked[-1] > self._met or abs(load) < _LET_GO * limits.gripper_load:
                self._met = self._loaded_since = None
            return
        closes = asked[-1] < opening
        if not (closes and abs(load) > limits.gripper_load and abs(speed) < limits.gripper_slow):
            self._loaded_since = None
        elif self._loaded_since is None:
            self._loaded_since = now
        elif now - self._loaded_since >= limits.gripper_s:
            self._met = opening

    def _pace(self, speed: float, speeds: Vector, now: float) -> None:
        """Keeps a slow way slow, and a joint that overshoots its speed from doing so."""
        limiter = self._limiter
        gentle = self._limits.start_acceleration if speed <= self._limits.start_speed else np.inf
        limiter.max_acceleration = np.minimum(self._hardest, gentle)
        fastest = np.minimum(self._fastest, speed)
        excess = np.maximum(np.abs(speeds) - _NEARLY * fastest, 0.0)
        allowed = np.maximum(fastest - _HOLD_BACK * excess, (1 - _NEARLY) * fastest)
        # Slower than this it cannot become in this tick.
        slowed = np.abs(limiter.velocity) - limiter.max_acceleration * (now - limiter.time)
        limiter.max_velocity = np.maximum(allowed, slowed)

    def _asked_velocity(self, target: Vector, now: float) -> Vector:
        """Returns how fast what is asked moves; 0 for a joint that no joint could follow."""
        if self._asked is None or self._is_starting or now <= self._asked_at:
            return np.zeros_like(target)
        velocity: Vector = (target - self._asked) / (now - self._asked_at)
        velocity[np.abs(velocity) > self._fastest] = 0.0
        return velocity

    def _move(self, target: Vector, velocity: Vector, now: float) -> Vector:
        """Follows, or brakes in front of what must not be hit.

        Each step is taken only if the arm can still stop after it before everything; then braking
        is always a way out. An arm that is beyond a limit already may move away from it.
        """
        limiter, body = self._limiter, self._body
        if body is None:
            return limiter.follow(target, velocity, now)
        before = limiter.position, limiter.velocity, limiter.time

        def step(joints: NDArray[np.bool_]) -> str:
            """Moves these joints on, the others to rest; returns what would be hit."""
            limiter.position, limiter.velocity, limiter.time = before
            there, speed = np.where(joints, target, before[0]), np.where(joints, velocity, 0.0)
            limiter.follow(there, speed, now)
            return self._hit(body, before[0], self._stop())

        # Blocked, and asked for the same again: it would tremble at the wall.
        obstacle = self._hit(body, before[0], target) if self.blocked else ""
        obstacle = obstacle or step(np.ones(len(target), bool))
        if obstacle and not self._hit(body, before[0], target):
            # It is only the straight way there: let those joints go first that may.
            free = np.array([not step(joint) for joint in np.eye(len(target), dtype=bool)])
            if free.any() and not step(free):
                obstacle = ""
        if obstacle:
            limiter.position, limiter.velocity, limiter.time = before
            limiter.brake(now)
        self.blocked = obstacle
        return limiter.position

    def _stop(self) -> Vector:
        """Where the arm stands if it brakes from now on."""
        limiter = self._limiter
        distance = limiter.velocity * np.abs(limiter.velocity) / (2 * limiter.max_acceleration)
        stop: Vector = np.clip(limiter.position + distance, limiter.low, limiter.high)
        return stop

    @staticmethod
    def _hit(body: Body, here: Vector, there: Vector) -> str:
        """Returns what the arm would hit at `there`; empty when it is free, or freer than here."""
        beyond = [(at, it) for at, it in enumerate(body.margins(there)) if it.room_m < 0]
        if not beyond:
            return ""
        now = body.margins(here)
        for at, margin in beyond:
            if margin.room_m < min(0.0, now[at].room_m) - _ROUNDING_M:
                return margin.sentence
        return ""


def _slower(spec: RobotSpec, limits: Limits) -> RobotSpec:
    joints = tuple(
        replace(
            joint,
            max_velocity=min(joint.max_velocity, limits.max_velocity),
            max_acceleration=min(joint.max_acceleration, limits.max_acceleration),
        )
        if joint.unit == "rad"
        else joint
        for joint in spec.joints
    )
    return replace(spec, joints=joints)
