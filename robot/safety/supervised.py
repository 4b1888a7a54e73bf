"""Supervised: a robot around a robot, which lets through what is safe and stops for what is not.

    DISCONNECTED -> IDLE (reading, torque off) -> ARMED (holding) -> RUNNING (actions come)
    any of them  -> FAULT (latched), which only a person's `reset_fault()` leaves, to IDLE

Every `observe` judges the arm, every `act` the action. Between two of them nothing is watched, so
call them at the guard's rate while torque is on, and let a `Watchdog` see to a program that dies
or hangs.
"""

from __future__ import annotations

import time as wall
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from types import TracebackType

import numpy as np

from demoloop.robot.arm import Arm
from demoloop.robot.errors import ActionError
from demoloop.robot.interface import Action, Observation, Robot, check_action
from demoloop.robot.loop import WallClock
from demoloop.robot.safety.body import Body
from demoloop.robot.safety.faults import Fault, SafetyError, State
from demoloop.robot.safety.keeper import Keeper, OnEvent
from demoloop.robot.safety.limits import Limits
from demoloop.robot.safety.owner import Owner
from demoloop.robot.safety.watchdog import Watch
from demoloop.robot.spec import RobotSpec

PERIOD_S = 0.01
"""Of the cycles that `arm`, `go`, `hold` and `relax` run by themselves."""
_STOPPING_S = 2.0  # more than any arm needs to slow down
_NEXT_STEP: dict[State, str] = {
    "DISCONNECTED": "connect() first",
    "IDLE": "its torque is off: arm() first",
    "ARMED": "it holds: relax() first",
    "RUNNING": "it moves: hold() or relax() first",
}


class Supervised:
    """A robot that may be trusted with a policy.

    An `Arm` is judged by all that it tells; a plain `Robot` (a simulation) by its joints, commands
    and cameras. One thread at a time speaks to the robot; `estop` may be called from any, and from
    a signal handler.

    Args:
        robot: What moves.
        limits: What is allowed; the defaults name their reasons.
        body: Where the arm's parts are, so that it stays off the table and itself.
        clock: Time; None: real time for an `Arm`, the observations' own for a simulation.
        home: Where `reset` brings an arm (action_dim,); None: it stays where it is.
        watchdog: Sees to the arm when this program dies or hangs.
        on_event: Hears of every transition and warning, between two words to the robot: it must be
            quick, and may call nothing of the robot's but `estop`.
    """

    def __init__(
        self,
        robot: Robot,
        *,
        limits: Limits | None = None,
        body: Body | None = None,
        clock: WallClock | None = None,
        home: Action | None = None,
        watchdog: Watch | None = None,
        on_event: OnEvent = lambda _: None,
    ) -> None:
        if clock is None and isinstance(robot, Arm):
            clock = WallClock()
        self._robot, self._clock, self._home, self._watchdog = robot, clock, home, watchdog
        self._limits = limits or Limits()
        self._keeper = Keeper(robot, self._limits, body, clock, watchdog, on_event)
        self._owner = Owner(self._keeper, self._keeper.stop_at_once)

    @property
    def spec(self) -> RobotSpec:
        """Of the robot inside."""
        return self._robot.spec

    @property
    def state(self) -> State:
        """DISCONNECTED, IDLE, ARMED, RUNNING or FAULT."""
        return self._keeper.state

    @property
    def fault(self) -> Fault | None:
        """What is latched."""
        return self._keeper.fault

    @property
    def blocked(self) -> str:
        """What the arm waits in front of; empty when it is free."""
        return self._keeper.commands.blocked

    def __enter__(self) -> Supervised:
        """Connects."""
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Brings the arm to rest."""
        self.close()

    def connect(self) -> None:
        """DISCONNECTED -> IDLE. An arm that is found holding is let go slowly.

        Raises:
            RobotError: What is missing, busy, foreign or wrong.
        """
        with self._owner as keeper:
            self._require("DISCONNECTED")
            keeper.connect()
        self.relax()

    def arm(self) -> None:
        """IDLE -> ARMED: torque on where the joints are, little at first.

        Raises:
            SafetyError: Something is wrong with the arm; it stays IDLE, or is in FAULT.
        """
        with self._owner as keeper:
            self._require("IDLE")
            if keeper.arm is not None:
                keeper.look()
                self._require("IDLE")
            keeper.switch_on()
        self._cycle(lambda _: not keeper.motors.is_rising, 2 * self._limits.arm_s, "ARMED")

    def hold(self) -> None:
        """RUNNING -> ARMED: slows down within the limits and stays. For whoever runs the loop."""
        with self._owner as keeper:
            self._require("ARMED", "RUNNING")
            if keeper.state == "RUNNING":
                keeper.to("ARMED", "slowing down, then holding")
        self._cycle(keeper.brake, _STOPPING_S, "ARMED")
        with self._owner:
            keeper.commands.start()

    def go(self, pose: Action, speed: float | None = None) -> None:
        """Walks straight to a pose (action_dim,) at `speed` [rad/s], and holds there.

        Raises:
            ActionError: The pose is outside the joints' limits.
            SafetyError: Something is in the way, or wrong with the arm.
        """
        target = check_action(self.spec, pose).astype(np.float64)
        self.hold()
        speed = speed or self._limits.start_speed
        commands, ticks = self._keeper.commands, count()
        way = float(np.abs(target - commands.position).max())

        def is_there(now: float) -> bool:
            if next(ticks) == 0:
                commands.begin(now)
                return False
            self._keeper.send(commands.approach(target, speed, self._keeper.speeds(), now))
            return not commands.is_moving

        self._cycle(is_there, _STOPPING_S + 2.0 * way / speed, "ARMED")
        with self._owner:
            blocked, left = self.blocked, np.abs(target - commands.position).max()
            commands.start()
        if left > self._limits.start_within:
            raise SafetyError(f"{self.spec.name} cannot go there: {blocked}; go round it")

    def relax(self) -> None:
        """Takes the torque away gradually, so that the arm sinks; ARMED and RUNNING -> IDLE.

        Raises:
            SafetyError: Joints that do not confirm that their torque is off: FAULT.
        """
        with self._owner as keeper:
            self._require("IDLE", "ARMED", "RUNNING", "FAULT")
            if keeper.state == "RUNNING":
                keeper.to("ARMED", "slowing down, then letting go")
        if keeper.commands.is_moving and keeper.state == "ARMED":
            self._cycle(keeper.brake, _STOPPING_S, "ARMED")
        with self._owner:
            keeper.motors.sink(keeper.now())
        if keeper.arm is not None and keeper.motors.is_on:
            longest = 2.0 * self._limits.relax_s
            self._cycle(lambda _: not keeper.motors.is_on, longest, "IDLE", "ARMED", "FAULT")
        with self._owner:
            keeper.let_go()
            if keeper.state == "ARMED":
                keeper.to("IDLE", "torque off")
            if keeper.motors.unconfirmed:
                self._refuse_in_fault()

    def estop(self, reason: str = "pressed", wait_s: float = 0.0) -> bool:
        """Switches torque off at once: by the caller, or by the thread that owns the robot now.

        Never refused; never blocks longer than `wait_s`, which in a signal handler must stay 0,
        since it may have interrupted the owner. Not a certified safety function: see
        `demoloop.robot.safety`. Returns whether all joints have confirmed it by now.
        """
        if self._watchdog is not None:
            self._watchdog.press()
        self._owner.press(reason)
        until = wall.monotonic() + wait_s
        while not self._is_off() and wall.monotonic() < until:
            wall.sleep(0.002)
        return self._is_off()

    def reset_fault(self) -> None:
        """FAULT -> IDLE, torque off. Only ever for a person who has looked at the arm.

        Raises:
            SafetyError: There is no fault, or a joint does not confirm that its torque is off.
        """
        if self.fault is None:
            raise SafetyError(f"{self.spec.name} has no fault to reset; it is {self.state}")
        if self.state == "FAULT":
            self.relax()
        with self._owner as keeper:
            keeper.fault = None
            keeper.judge.forget()
            if keeper.state == "FAULT":
                keeper.to("IDLE", "fault reset, torque off")

    def reset(self) -> None:
        """Brings the robot to where an episode starts: a simulation anew, an arm home, slowly."""
        if self._keeper.arm is not None:
            self.hold()
            if self._home is not None:
                self.go(self._home)
            return
        with self._owner as keeper:
            self._require("ARMED", "RUNNING")
            if keeper.state == "RUNNING":
                keeper.to("ARMED", "holding")
            keeper.restart()

    def observe(self) -> Observation:
        """Looks once, judges what it sees, and goes on with what is under way.

        An arm that was unplugged is looked for, and comes back IDLE, or in FAULT if it was there.

        Raises:
            SafetyError: There is no arm. A FAULT is no reason: the arm can still be looked at.
        """
        with self._owner as keeper:
            if keeper.state == "DISCONNECTED":
                keeper.find_again()
            return keeper.look()

    def act(self, action: Action) -> Action:
        """Sends an action as far as it is safe; ARMED becomes RUNNING.

        Raises:
            ActionError: It is no action for this robot; the arm stops, in FAULT.
            SafetyError: The arm is not in a state to act, or stops because of this action.
        """
        with self._owner as keeper:
            self._require("ARMED", "RUNNING")
            if keeper.motors.is_sinking:
                raise SafetyError(f"{self.spec.name} is letting go; arm() again when it is IDLE")
            if keeper.seen is None:
                keeper.restart()
            now = keeper.now()
            try:
                target = check_action(self.spec, action).astype(np.float64)
            except ActionError as error:
                keeper.refuse(error)
                raise
            keeper.check(target)
            self._refuse_in_fault()
            if keeper.state == "ARMED":
                keeper.commands.begin(now)
                keeper.to("RUNNING", "actions come")
            keeper.acted_at = now
            return keeper.send(keeper.commands.follow(target, keeper.speeds(), now))

    def close(self) -> None:
        """Brings the arm to rest and lets go of it, whatever has happened; may be called twice.

        Raises:
            SafetyError: Joints that do not confirm that their torque is off.
        """
        try:
            if self.state != "DISCONNECTED":
                # What goes wrong now was said; below torque goes off without ceremony.
                with suppress(SafetyError):
                    self.relax()
        finally:
            with self._owner as keeper:
                keeper.close()

    def _is_off(self) -> bool:
        motors = self._keeper.motors
        return not self._owner.is_pressed and not motors.is_on and not motors.unconfirmed

    def _cycle(self, is_done: Callable[[float], bool], seconds: float, *states: State) -> None:
        """Runs cycles until `is_done`, asked with the time after each look, says so.

        Each cycle owns the robot for itself, so that an e-stop gets in between. Outside of `states`
        it ends.
        """
        start = self._keeper.now()
        for cycle in range(1, round(seconds / PERIOD_S) + 2):
            with self._owner as keeper:
                keeper.look()
                self._require(*states)
                if is_done(keeper.now()):
                    return
            if self._clock is not None:
                self._clock.sleep_until(start + cycle * PERIOD_S)
        raise SafetyError(f"{self.spec.name} is not where it should be after {seconds:.1f} s")

    def _require(self, *states: State) -> None:
        if self.state not in states:
            self._refuse_in_fault()
            raise SafetyError(f"{self.spec.name} is {self.state}: {_NEXT_STEP[self.state]}")

    def _refuse_in_fault(self) -> None:
        if self.state == "FAULT" and self.fault is not None:
            raise SafetyError(f"{self.spec.name} is in FAULT: {self.fault.sentence}", self.fault)
