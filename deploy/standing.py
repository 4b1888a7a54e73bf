"""What operators have ordered, and whether the arm may move: a latch, and no clock of its own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from demoloop.deploy.motion import State
from demoloop.deploy.notes import Mode, Order, Pulse, Reply
from demoloop.deploy.remote_agent import Permission
from demoloop.robot import Action, DemoloopError, Observation, Robot, RobotSpec

IO_PATIENCE_S = 0.5
"""Without a pulse of the io process for longer, no operator could stop the arm: it holds."""
UNHEARD = "the io process shows no sign of life, so nobody could stop the arm"
UNATTENDED = "no operator is connected"


@runtime_checkable
class Stoppable(Protocol):
    """A robot with an emergency stop of its own, below everything that decides."""

    def estop(self, reason: str) -> None:
        """Stops at once and stays so."""
        ...

    def reset_fault(self) -> None:
        """Lets the robot move again; raises RobotError when what was wrong still is."""
        ...


class Halted:
    """A robot around one that is `Stoppable`: sends it nothing while the stop is latched.

    It has come to rest in its own way, and would refuse.
    """

    def __init__(self, robot: Robot, standing: Permission) -> None:
        self.robot = robot
        self._standing = standing

    @property
    def spec(self) -> RobotSpec:
        """Of the robot within."""
        return self.robot.spec

    def reset(self) -> None:
        """As the robot within."""
        self.robot.reset()

    def observe(self) -> Observation:
        """As the robot within."""
        return self.robot.observe()

    def act(self, action: Action) -> Action:
        """As the robot within, unless it was stopped."""
        return action if self._standing.is_stopped else self.robot.act(action)

    def close(self) -> None:
        """As the robot within."""
        self.robot.close()


@dataclass(frozen=True)
class Setting:
    """A number that an operator may change while the arm moves."""

    low: float
    high: float
    change: Callable[[float], None]


class Standing:
    """Go, hold or stopped. `stop` is latched: `reset` turns it into a hold, and only `go` moves.

    Args:
        robot: Whose own emergency stop is pulled with ours, if it has one.
        needs_operator: Holds from the start, and whenever no operator is heard; who comes back
            has to say `go`, since an arm must not move because a cable was plugged in.
        settings: What `set` may change, by name.
        now: s, monotonic.
    """

    def __init__(
        self,
        robot: object = None,
        *,
        needs_operator: bool = False,
        settings: Mapping[str, Setting] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.mode: Mode = "hold" if needs_operator else "go"
        self.needs_operator = needs_operator
        self.operator = ""  # who is heard
        self.has_ended = False  # the run must: nobody would hear an order any more
        self.settings = dict(settings or {})
        self._robot = robot if isinstance(robot, Stoppable) else None
        self._reason = UNATTENDED if needs_operator else ""  # of the mode
        self._now = now
        self._heard_at = now()
        self._is_unheard = False

    @property
    def ban(self) -> str:
        """Why the arm must not move at this moment; empty when it may."""
        if self.mode != "go" or self.has_ended:
            return self._reason
        return UNHEARD if self._is_unheard else ""

    @property
    def is_stopped(self) -> bool:
        """Whether the stop is latched."""
        return self.mode == "stopped"

    def hear(self, pulse: Pulse) -> None:
        """Takes in a sign of life of the io process."""
        self._heard_at, self.operator = self._now(), pulse.operator
        if self.needs_operator and not pulse.operator and self.mode == "go":
            self._latch("hold", UNATTENDED)

    def check(self) -> None:
        """Looks how long nothing was heard; called when all that has come was taken in."""
        self._is_unheard = self._now() - self._heard_at > IO_PATIENCE_S
        if self._is_unheard and self.needs_operator and self.mode == "go":
            self._latch("hold", UNHEARD)

    def end(self, reason: str) -> None:
        """Nothing will be heard any more: the arm comes to rest, and the run ends."""
        self.has_ended = True
        if self.mode == "go":
            self._latch("hold", reason)

    def take(self, order: Order, state: State) -> Reply:
        """Does what is ordered; returns what came of it. `state` is the agent's."""
        try:
            refusal = self._do(order)
        except DemoloopError as error:  # of the robot
            refusal = str(error)
        text = refusal or f"{order.verb}: done"
        return Reply(order.number, not refusal, text[:1000], self.mode, state, self.ban[:1000])

    def _do(self, order: Order) -> str:
        """Returns why not, or nothing."""
        if order.verb == "stop":
            self._latch("stopped", f"stopped by {order.who}")
            if self._robot is not None:
                self._robot.estop(self._reason)
        elif order.verb == "reset":
            if self.is_stopped:
                if self._robot is not None:
                    self._robot.reset_fault()
                self._latch("hold", f"reset by {order.who}; say go")
        elif order.verb in ("hold", "go") and self.is_stopped:
            return f"{self._reason}; say reset first"
        elif order.verb == "hold":
            self._latch("hold", f"held by {order.who}")
        elif order.verb == "go":
            if self.has_ended:
                return self._reason
            if self.needs_operator and not self.operator:
                return f"{UNATTENDED}, and this run needs one that stays"
            self._latch("go", "")
        elif order.verb == "set":
            return self._set(order.name, order.value)
        return ""

    def _set(self, name: str, value: float) -> str:
        setting = self.settings.get(name)
        if setting is None:
            known = ", ".join(self.settings) or "nothing"
            return f"no setting {name!r}; while it runs there is {known}"
        if not setting.low <= value <= setting.high or math.isnan(value):
            return f"{name} is {value:g}; it must be {setting.low:g} to {setting.high:g}"
        setting.change(value)
        return ""

    def _latch(self, mode: Mode, reason: str) -> None:
        self.mode, self._reason = mode, reason
