"""One cycle of keeping an arm: look, judge, go on with what is under way, stop for what is wrong.

The state machine that `Supervised` gives its verbs to. Nothing here takes a lock: whoever calls
owns the robot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np

from demoloop.robot.arm import Arm
from demoloop.robot.errors import ActionError
from demoloop.robot.interface import Action, Observation, Robot
from demoloop.robot.loop import WallClock
from demoloop.robot.safety.body import Body
from demoloop.robot.safety.commands import Commands, Vector
from demoloop.robot.safety.faults import STRENGTH, Event, Fault, SafetyError, State, make_fault
from demoloop.robot.safety.judge import Judge
from demoloop.robot.safety.limits import Limits
from demoloop.robot.safety.motors import GONE, Motors
from demoloop.robot.safety.watchdog import Watch

OnEvent = Callable[[Event], None]


class Keeper:
    """Knows in which state a robot is and why; looks at it, speaks to it, and stops it.

    Args:
        robot: What moves.
        limits: What is allowed.
        body: Where the arm's parts are.
        clock: Time; None: that of the observations.
        watchdog: Hears that all is well.
        on_event: Hears what happens.
    """

    def __init__(
        self,
        robot: Robot,
        limits: Limits,
        body: Body | None,
        clock: WallClock | None,
        watchdog: Watch | None,
        on_event: OnEvent,
    ) -> None:
        self.state: State = "DISCONNECTED"
        self.fault: Fault | None = None
        self.seen: Observation | None = None
        self.seen_at = self.acted_at = 0.0  # s
        self.arm: Arm | None = robot if isinstance(robot, Arm) else None
        self.judge = Judge(robot.spec, limits)
        self.motors = Motors(self.arm, limits)
        self.commands = Commands(robot.spec, limits, body)
        self._robot, self._limits, self._clock = robot, limits, clock
        self._watchdog, self._on_event = watchdog, on_event
        self._name, self._dim = robot.spec.name, robot.spec.action_dim
        self._lost_at: float | None = None  # s, when it was unplugged
        self._next_try_at = -math.inf  # s
        self._is_blocked = False

    def now(self) -> float:
        """The time [s]."""
        return self._clock.now() if self._clock is not None else self.seen_at

    def positions(self) -> Vector:
        """Where the joints were at the last look (action_dim,)."""
        assert self.seen is not None
        return np.asarray(self.seen.proprioception[: self._dim], np.float64)

    def speeds(self) -> Vector:
        """How fast the joints moved at the last look (action_dim,)."""
        assert self.seen is not None
        return np.asarray(self.seen.proprioception[self._dim : 2 * self._dim], np.float64)

    def look(self) -> Observation:
        """Reads, judges, and goes on with what is under way."""
        try:
            observation = self._robot.observe()
        except GONE as error:
            if self.arm is None:
                raise
            raise self._lose(error) from error
        self.seen = observation
        if self._clock is None:
            self.seen_at = observation.time
        now = self.seen_at = self.now()
        for fault in self._findings(observation, now):
            self.latch(fault)
        self.motors.carry_on(now)
        if self.state == "FAULT" and self.motors.is_on and not self.motors.is_sinking:
            self._go_on_stopping(now)
        if trouble := self._beat():
            sentence = f"the watchdog {trouble}; see why, then reset_fault()"
            self.latch(make_fault("watchdog", sentence, now))
        return observation

    def send(self, position: Vector) -> Action:
        """Sends positions (action_dim,) that are within the limits; returns those really sent."""
        try:
            sent = self._robot.act(position.astype(np.float32))
        except GONE as error:
            if self.arm is None or isinstance(error, ActionError):
                raise
            raise self._lose(error) from error
        if bool(self.commands.blocked) != self._is_blocked:
            self._is_blocked = not self._is_blocked
            self.say(f"waits: {self.commands.blocked}" if self._is_blocked else "goes on")
        return sent

    def brake(self, now: float) -> bool:
        """Slows down by one tick; returns whether the arm stands."""
        if self.commands.is_moving:
            self.send(self.commands.brake(now))
        return not self.commands.is_moving

    def restart(self) -> None:
        """Has a simulation begin anew."""
        self._robot.reset()
        self.look()
        self.commands.rest_at(self.positions(), self.now())

    def connect(self) -> None:
        """DISCONNECTED -> IDLE, or FAULT if there is a latched one."""
        if self.arm is not None:
            if self._lost_at is not None:
                self.arm.close()
            self.arm.connect()
        self.judge.forget()
        self.motors.forget()
        self._lost_at = None
        if self._watchdog is not None:
            self._watchdog.start()
        if self.fault is None:
            self.to("IDLE", "connected, torque off")
        else:
            self.to("FAULT", self.fault.sentence, self.fault)
        if self.arm is not None:
            self.look()
            self.commands.rest_at(self.positions(), self.now())
            if (self.arm.health().torque == 1).any():
                self.motors.found_on(self.now())

    def switch_on(self) -> None:
        """IDLE -> ARMED where the joints are; raises SafetyError when they are not in range."""
        if self.arm is not None:
            if outside := self.judge.outside(self.positions()):
                raise SafetyError(outside)
            self.commands.rest_at(self.positions(), self.now())
        if self._watchdog is not None:
            self._watchdog.beat(True)  # before it is: a kill in between must not be missed
        try:
            self.motors.on(self.now())
        except GONE:
            self.let_go()  # some of them may be on
            raise
        self.to("ARMED", "holding")

    def find_again(self) -> None:
        """Looks for an arm that was unplugged; raises SafetyError while it is not there."""
        if self._lost_at is None or self.arm is None:
            raise SafetyError(f"{self._name} is not connected; connect() first")
        now, limits = self.now(), self._limits
        if now - self._lost_at > limits.reconnect_for_s:
            raise SafetyError(
                f"{self._name} was unplugged and did not come back within "
                f"{limits.reconnect_for_s:.0f} s; plug it in and connect()"
            )
        if now >= self._next_try_at:
            self._next_try_at, lost_at = now + limits.reconnect_every_s, self._lost_at
            try:
                self.connect()
                self.let_go()
                return
            except GONE as error:
                self._lost_at = lost_at
                raise SafetyError(f"{self._name} is unplugged: {error}") from error
        raise SafetyError(f"{self._name} is unplugged; plug it in again, it comes back torque off")

    def close(self) -> None:
        """Torque off, and away."""
        unconfirmed: tuple[str, ...] = ()
        if self.state != "DISCONNECTED":
            unconfirmed = self.motors.off()
        if self._watchdog is not None:
            self._beat()
            self._watchdog.stop()
        self._robot.close()
        self._lost_at = None
        if self.state != "DISCONNECTED":
            self.to("DISCONNECTED", "closed, torque off")
        if unconfirmed:
            raise SafetyError(self._still_on(unconfirmed))

    def let_go(self) -> None:
        """Switches torque off now; joints that do not confirm it are a fault."""
        self.motors.off()
        self._check_off()

    def _check_off(self) -> None:
        self._beat()  # at once: after an e-stop the watchdog waits for it
        if unconfirmed := self.motors.unconfirmed:
            sentence, joints = self._still_on(unconfirmed), ", ".join(unconfirmed)
            if self.fault is not None and self.fault.reaction == "off":
                self.say(sentence)  # there is no stronger fault
            else:
                self.latch(make_fault("torque", sentence, self.now(), joints, 1.0, 0.0))

    def _beat(self) -> str:
        """Tells the watchdog; returns what is wrong with it."""
        if self._watchdog is None or self.state == "DISCONNECTED":
            return ""
        return self._watchdog.beat(self.motors.is_on or bool(self.motors.unconfirmed))

    def _lose(self, error: Exception) -> SafetyError:
        """Notes that the arm is gone; returns what to raise."""
        self.motors.forget()
        sentence = f"{self._name} is gone: {error}"
        self._lost_at = self.now()
        self._next_try_at = self._lost_at
        self.to("DISCONNECTED", sentence)
        return SafetyError(sentence)

    def _still_on(self, joints: tuple[str, ...]) -> str:
        return (
            f"{', '.join(joints)} did not confirm that torque is off after "
            f"{self._limits.off_attempts} attempts: cut the power of {self._name}"
        )

    def _findings(self, observation: Observation, now: float) -> Iterator[Fault]:
        if self.arm is not None:
            health, commands, motors = self.arm.health(), self.commands, self.motors
            # An arm that sinks is away from its goal, and is to be.
            commanded = commands.position if motors.is_on and not motors.is_sinking else None
            on_for_s = now - motors.on_since
            positions, speeds = self.positions(), self.speeds()
            yield from self.judge.motors(now, positions, speeds, health, commanded, on_for_s)
            for sentence in self.judge.warnings(health):
                self.say(sentence)
            self._try(lambda: motors.cool(self.judge.torque_share(health)))
            if not motors.is_on:
                self.judge.rest(health)
            if self.state == "RUNNING":
                grip_load = float(health.load[-1])
                commands.feel(float(positions[-1]), float(speeds[-1]), grip_load, now)
        if self.state == "RUNNING":
            yield from self.judge.cameras(now, observation)
            silence, limit = now - self.acted_at, self._limits.heartbeat_s
            if silence > limit:
                # ARMED would be wrong: the next action of a loop that has just hung would move the
                # arm again, and nobody would have looked at it.
                yield make_fault(
                    "heartbeat",
                    f"no action for {silence:.2f} s, at most {limit:.2f}: whoever commands hangs, "
                    "or ended without hold(); see to it, then reset_fault()",
                    now, "", silence, limit,
                )  # fmt: skip

    def latch(self, fault: Fault) -> None:
        """Enters FAULT; a later fault counts only if it asks for a stronger reaction."""
        if self.fault is not None and STRENGTH[fault.reaction] <= STRENGTH[self.fault.reaction]:
            return
        self.fault = fault
        if self.state == "DISCONNECTED":
            self.say(fault.sentence, fault)
            return
        if fault.kind == "e-stop":
            self.motors.off()  # before anybody is told
        self.to("FAULT", fault.sentence, fault)
        if fault.kind == "e-stop":
            self._check_off()
        elif fault.reaction == "relax":
            self.motors.sink(fault.time)
        elif self.motors.is_on and not self.motors.is_sinking:
            if fault.reaction == "hold" and self.seen is not None:
                self.commands.rest_at(self.positions(), fault.time)
                position = self.commands.position.astype(np.float32)
                self._try(lambda: self._robot.act(position) if self.arm else None)
            self._go_on_stopping(fault.time)

    def stop_at_once(self, reason: str) -> None:
        """Torque off, whatever else is under way."""
        already = self.fault is not None and self.fault.reaction == "off"
        sentence = f"e-stop ({reason}): torque off; look at the arm, then reset_fault()"
        self.latch(make_fault("e-stop", sentence, self.now()))
        if already:
            self.let_go()

    def refuse(self, error: ActionError) -> None:
        """Stops for an action that is none."""
        self.latch(make_fault("command", f"{error}; then reset_fault()", self.now()))

    def check(self, target: Vector) -> None:
        """Stops for an action that comes too late, or from too far away."""
        now = self.now()
        late = self.judge.age(now, self.seen_at) if self.state == "RUNNING" else None
        if fault := late or self.commands.jump(target, now):
            self.latch(fault)

    def _go_on_stopping(self, now: float) -> None:
        """Brakes to rest, then holds softly. A simulation moves only when it is acted upon."""
        if self.arm is None:
            return
        if self.commands.is_moving:
            position = self.commands.brake(now).astype(np.float32)
            self._try(lambda: self._robot.act(position))
        else:
            self._try(lambda: self.motors.limit(self._limits.hold_share))

    @staticmethod
    def _try(word: Callable[[], object]) -> None:
        """Says something to an arm that may not hear it: it is in FAULT already."""
        with suppress(*GONE):
            word()

    def to(self, state: State, sentence: str, fault: Fault | None = None) -> None:
        """Changes the state, and tells."""
        before, self.state = self.state, state
        self._on_event(Event(self.now(), before, state, f"{self._name}: {sentence}", fault))

    def say(self, sentence: str, fault: Fault | None = None) -> None:
        """Tells without changing the state."""
        self.to(self.state, sentence, fault)
