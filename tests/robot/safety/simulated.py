"""An SO-101 of inertias on a clock that only goes when it is told to, with scripted misfortunes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action, Observation, RobotError, RobotSpec, WallClock, check_action
from demoloop.robot.arm import Health
from demoloop.robot.arms.so101 import SO101
from demoloop.robot.safety import Event, Limits, Supervised

Vector = NDArray[np.float64]

SPEC = replace(SO101, cameras=())
TICK_S = 0.01
REST = np.array([0.0, -1.15, 0.95, 0.9, 0.0, 0.5])  # folded back, off the table

# BAM's STS3215 at 7.4 V (Rhoban): gain [N m/rad], stall torque [N m], damping, armature.
_GAIN, _STALL, _DAMPING, _INERTIA = 17.8, 1.9, 0.608, 0.028
_GRAVITY = np.array([0.0, 0.6, 0.3, 0.1, 0.0, 0.0])  # N m, of an arm half stretched out
_JAW = 1.92  # rad per opening
_STEP_S = 0.002


class Clock(WallClock):
    """Goes when somebody sleeps, or works."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.jitter = np.random.default_rng(0)
        self.worst_jitter_s = 0.0

    def now(self) -> float:
        return self.time

    def sleep_until(self, deadline: float) -> None:
        late = self.jitter.uniform(0, self.worst_jitter_s)
        self.time = max(self.time, deadline + late)


class Unplugged(RobotError):
    """What a driver raises when its port is gone."""


class SimulatedArm:
    """Joints with inertia that sag without torque, and a bus that takes its time.

    `speeds` keeps the speed of every joint at every step of physics.
    """

    def __init__(self, clock: Clock, spec: RobotSpec = SPEC) -> None:
        self._spec, self.clock = spec, clock
        dim = spec.action_dim
        self.q, self.dq = REST.copy(), np.zeros(dim)
        self.scale = np.array([1.0] * (dim - 1) + [_JAW])  # rad per unit
        self.goal = np.zeros(dim)  # where a forgotten goal may be
        self.torque, self.share = np.zeros(dim), np.ones(dim)
        self.speeds: list[Vector] = []
        self.stops: dict[int, float] = {}  # joint -> position that something holds it below
        self.grips_at: float | None = None  # opening at which the jaw meets something
        self.unplugged = self.closed = False
        self.silent: tuple[str, ...] = ()
        self.alarms: dict[str, tuple[str, ...]] = {}
        self.temperature = np.full(dim, 35.0)
        self.voltage = np.full(dim, 7.4)
        self.extra_current = np.zeros(dim)
        self.refuses_off: dict[str, int] = {}  # joint -> times it does not confirm
        self.fixed_load: float | None = None
        self.image_age_s: float | None = None
        self.words: list[str] = []  # what was said to it
        self._at = clock.now()
        self._load = np.zeros(dim)

    @property
    def spec(self) -> RobotSpec:
        return self._spec

    def connect(self) -> None:
        self._speak("connect", 0.004)
        self.closed = False

    def observe(self) -> Observation:
        self._speak("observe", 0.0015)
        now = self.clock.now()
        seen = np.concatenate([self.q, self.dq]).astype(np.float32)
        age = self.image_age_s
        return Observation(now, seen, {}, {} if age is None else {"wrist": now - age})

    def health(self) -> Health:
        absent = np.isin(self._spec.joint_names, self.silent)
        load = self._load if self.fixed_load is None else np.full_like(self._load, self.fixed_load)

        def heard(values: Vector) -> Vector:
            return np.where(absent, np.nan, values)

        return Health(
            time=self.clock.now(),
            load=heard(load),
            current=heard(np.abs(self._load) * 1.5 + self.extra_current),
            voltage=heard(self.voltage),
            temperature=heard(self.temperature),
            torque=heard(self.torque),
            alarms=dict(self.alarms),
            silent=self.silent,
        )

    def act(self, action: Action) -> Action:
        sent = check_action(self._spec, action)
        self._speak("act", 0.0003)
        heard = ~np.isin(self._spec.joint_names, self.silent)
        self.goal = np.where(heard, sent.astype(np.float64), self.goal)
        return sent

    def enable_torque(self) -> None:
        self._speak("enable", 0.002)
        self.goal = self.q.copy()
        self.torque[:] = 1.0

    def disable_torque(self) -> tuple[str, ...]:
        if self.unplugged:
            return self._spec.joint_names
        self._speak("disable", 0.003)
        left = []
        for at, name in enumerate(self._spec.joint_names):
            if name in self.silent:
                left.append(name)
            elif self.refuses_off.get(name, 0) > 0:
                self.refuses_off[name] -= 1
                left.append(name)
            else:
                self.torque[at] = 0.0
        return tuple(left)

    def limit_torque(self, share: float) -> None:
        self._speak("limit", 0.0003)
        self.share[:] = share

    def reset(self) -> None:
        raise AssertionError("nobody may move an arm past its supervision")

    def close(self) -> None:
        self.closed = True

    def _speak(self, word: str, seconds: float) -> None:
        self.words.append(word)
        self.clock.time += seconds
        self.advance()
        if self.unplugged:
            raise Unplugged("/dev/ttyACM0 was unplugged")

    def advance(self) -> None:
        """Lets the joints move until now."""
        while self._at + _STEP_S <= self.clock.now() + 1e-9:
            self._at += _STEP_S
            on = self.torque * self.share
            wanted = _GAIN * (self.goal - self.q) * self.scale
            drive = np.clip(wanted, -_STALL * on, _STALL * on) * (self.torque > 0)
            self._load = drive / _STALL
            lean = np.array([0, self.q[1], self.q[1] + self.q[2] + 1.57, 0, 0, 0])
            force = drive + _GRAVITY * np.sin(lean) - _DAMPING * self.dq * self.scale
            self.dq = self.dq + force / _INERTIA * _STEP_S / self.scale
            self.q = self.q + self.dq * _STEP_S
            for at, stop in self.stops.items():
                if self.q[at] > stop:
                    self.q[at], self.dq[at] = stop, 0.0
            if self.grips_at is not None and self.q[-1] < self.grips_at:
                self.q[-1], self.dq[-1] = self.grips_at, 0.0
            low, high = self._spec.low, self._spec.high
            beyond = (self.q < low) | (self.q > high)
            self.q, self.dq = np.clip(self.q, low, high), np.where(beyond, 0.0, self.dq)
            self.speeds.append(self.dq.copy())


class Cell:
    """A supervised arm, its clock, what was told of it, and a loop that drives it."""

    def __init__(self, limits: Limits | None = None, **more: object) -> None:
        self.clock = Clock()
        self.arm = SimulatedArm(self.clock)
        self.events: list[Event] = []
        self.robot = Supervised(
            self.arm,
            limits=limits,
            clock=self.clock,
            on_event=self.events.append,
            **more,  # type: ignore[arg-type]
        )

    def at_rest(self) -> Cell:
        self.robot.connect()
        return self

    def armed(self) -> Cell:
        self.at_rest().robot.arm()
        return self

    def running(self) -> Cell:
        """Commanded where it is, and past the slow start."""
        self.armed()
        self.drive(self.here(), 0.1)
        assert self.robot.state == "RUNNING"
        return self

    def here(self) -> Vector:
        return self.arm.q.copy()

    def tick(self, action: Vector | None = None) -> Action | None:
        """One tick of 10 ms; the time stands at the next one afterwards."""
        start = self.clock.now()
        self.robot.observe()
        sent = None if action is None else self.robot.act(action.astype(np.float32))
        self.clock.sleep_until(start + TICK_S)
        self.arm.advance()
        return sent

    def drive(self, action: Vector, seconds: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.tick(action)

    def drive_none(self, seconds: float) -> None:
        """Only looks."""
        for _ in range(round(seconds / TICK_S)):
            self.tick()

    def look(self, seconds: float) -> float:
        """Observes until FAULT, at most so long; returns the seconds it took."""
        start = self.clock.now()
        while self.robot.state != "FAULT" and self.clock.now() - start < seconds:
            self.tick()
        return self.clock.now() - start

    def run_until_fault(self, action: Vector, seconds: float) -> float:
        """Drives until FAULT, at most so long; returns the seconds until it was latched."""
        from demoloop.robot.safety import SafetyError

        start = self.clock.now()
        while self.clock.now() - start < seconds:
            try:
                self.tick(action)
            except SafetyError:
                break
            if self.robot.state == "FAULT":
                break
        assert self.robot.fault is not None, "no fault"
        return self.robot.fault.time - start

    def sentences(self) -> str:
        return "\n".join(event.sentence for event in self.events)
