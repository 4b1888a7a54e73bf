"""The loop that owns a hosted robot: it looks at its own pace, and follows the newest action.

Whoever drives is at the other end of a line that may be slow, stall or break. The loop waits for
nobody: it looks `hz` times a second whatever comes, an action is carried out once and at once, and
when none has come for `SILENCE_S` the robot is told to hold. One thread turns it; the methods above
`run` are for another one, which speaks to the network.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from demoloop.deploy.robot_wire import Verb
from demoloop.robot import Action, DemoloopError, Observation, RobotSpec

SILENCE_S = 0.2
"""Without a new action for longer nobody drives: the robot holds. Five control periods of 40 ms; at
3 rad/s an arm has gone 0.6 rad by then, on its way to where it was told to be."""
HOSTED_HZ = 100.0
"""Looks per second: the rate at which a supervisor judges an arm."""
_MOST_ORDERS = 8  # that wait; more than one come only from a driver who does not wait for answers


class Hosted(Protocol):
    """A robot as the loop sees it: armed, and inside a supervisor where it is more than simulated.

    Times are of this computer's monotonic clock, a simulation's too. One thread calls all but
    `estop`, which any may.
    """

    @property
    def spec(self) -> RobotSpec:
        """What it is."""
        ...

    @property
    def state(self) -> str:
        """How its supervisor calls its state."""
        ...

    @property
    def fault(self) -> str:
        """What is latched, in a sentence; empty when nothing is."""
        ...

    def succeeded(self) -> bool | None:
        """Whether its task is solved; None where only a person can tell."""
        ...

    def observe(self) -> Observation:
        """Looks once, and judges what it sees."""
        ...

    def act(self, action: Action) -> Action:
        """Sends a checked action; returns the one really sent."""
        ...

    def hold(self) -> None:
        """Comes to rest within its limits, and stays."""
        ...

    def reset(self, seed: int | None) -> None:
        """Brings it to where an episode starts; a simulation to the world of `seed`."""
        ...

    def arm(self) -> None:
        """Switches torque on."""
        ...

    def reset_fault(self) -> None:
        """Takes a latched fault back; a person has looked at it."""
        ...

    def estop(self, reason: str) -> None:
        """Switches torque off at once."""
        ...


@dataclass(frozen=True)
class View:
    """One look, and how the robot was."""

    number: int  # counts up
    observation: Observation
    state: str
    fault: str
    success: bool | None


@dataclass(frozen=True)
class Outcome:
    """What came of one action or order."""

    session: int
    seq: int
    sent: Action | None = None  # None: it was an order, or it was refused
    refusal: str = ""
    state: str = ""  # after an order
    fault: str = ""


@dataclass(frozen=True)
class _Wish:
    session: int
    seq: int
    came_at: float  # s


@dataclass(frozen=True)
class _Action(_Wish):
    action: Action


@dataclass(frozen=True)
class _Order(_Wish):
    verb: Verb
    seed: int | None


class ArmLoop:
    """Owns one robot; `run` in the thread that opened it.

    Args:
        robot: What moves.
        hz: Looks per second.
        clock: Seconds that only ever count up.
    """

    def __init__(
        self, robot: Hosted, hz: float = HOSTED_HZ, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.robot = robot
        self.view: View | None = None  # the newest; None before one, and while there is no robot
        self.trouble = "it has not been looked at yet"  # why there is no view
        self.turned_at = clock()  # s, when the loop was last seen to turn
        self.is_busy = False  # an order is carried out, which takes as long as it takes
        self.on_news: Callable[[], None] = lambda: None  # called when a view or an outcome is here
        self._period = 1.0 / hz
        self._clock = clock
        self._changed = threading.Condition()  # guards what follows
        self._action: _Action | None = None  # the newest, not carried out yet
        self._orders: deque[_Order] = deque()
        self._outcomes: deque[Outcome] = deque(maxlen=64)
        self._is_left = False  # whoever drove has gone
        self._is_driven = False  # an action was carried out, and no hold since
        self._heard_at = self._may_act_at = 0.0  # s
        self._num_views = 0

    def drive(self, session: int, seq: int, action: Action) -> None:
        """Hands over an action (action_dim,), checked; the one before is forgotten if it waits."""
        with self._changed:
            self._action = _Action(session, seq, self._clock(), action)
            self._changed.notify()

    def order(self, session: int, seq: int, verb: Verb, seed: int | None = None) -> bool:
        """Hands over an order; returns whether there was room for it."""
        with self._changed:
            if len(self._orders) >= _MOST_ORDERS:
                return False
            self._orders.append(_Order(session, seq, self._clock(), verb, seed))
            self._changed.notify()
            return True

    def leave(self) -> None:
        """Whoever drove has gone: what he wished is forgotten, and the robot holds at once."""
        with self._changed:
            self._action, self._is_left = None, True
            self._orders.clear()
            self._changed.notify()

    def outcomes(self) -> list[Outcome]:
        """Takes what has come of actions and orders since the last call."""
        with self._changed:
            taken = list(self._outcomes)
            self._outcomes.clear()
            return taken

    def run(self, stop: threading.Event) -> None:
        """Turns until `stop` is set, then holds. Deadlines are absolute; missed ones are skipped.

        Raises:
            Exception: Whatever is no DemoloopError: a fault in the robot's program.
        """
        deadline = self._clock()
        while not stop.is_set():
            with self._changed:
                self._changed.wait_for(self._has_news, max(0.0, deadline - self._clock()))
            self.serve()
            now = self._clock()
            if now >= deadline:
                self.look()
                deadline += self._period * max(1, int((now - deadline) / self._period))
        self.leave()
        self.serve()

    def serve(self) -> None:
        """Carries out an order, or the newest action; or notices that nobody drives any more."""
        self.turned_at = self._clock()
        with self._changed:
            order = self._orders.popleft() if self._orders else None
            action, self._action = self._action, None
            is_left, self._is_left = self._is_left, False
        if is_left and self._is_driven:
            self._hold()  # before anything that whoever came next wants
            now = self.turned_at  # which waited for no fault of its own
        else:
            now = self._clock()
        if order is not None:
            self._carry_out(order)
            now = self._clock()
        if action is not None:
            self._act(action, now)
        elif self._is_driven and now - self._heard_at > SILENCE_S:
            self._hold()

    def look(self) -> None:
        """Looks once; a robot that is not there is no reason to end."""
        try:
            observation = self.robot.observe()
        except DemoloopError as error:
            self.view, self.trouble = None, str(error)
        else:
            self._num_views += 1
            robot = self.robot
            success = robot.succeeded()
            self.view = View(self._num_views, observation, robot.state, robot.fault, success)
        self.turned_at = self._clock()
        self.on_news()

    def _has_news(self) -> bool:
        """Says whether something is to be done before the next look is due."""
        is_due = self._action is not None and self._clock() >= self._may_act_at
        return is_due or bool(self._orders) or self._is_left

    def _act(self, wish: _Action, now: float) -> None:
        waited_s = now - wish.came_at
        if waited_s > SILENCE_S:
            refusal = f"the action waited for {waited_s:.1f} s and is of no use any more"
            self._tell(Outcome(wish.session, wish.seq, refusal=refusal))
            return
        # However often actions come, they are carried out no more often than the robot is looked
        # at: between two looks nobody would judge what they do.
        self._may_act_at = now + self._period
        self._heard_at = wish.came_at
        try:
            sent = self.robot.act(wish.action)
        except DemoloopError as error:
            self._tell(Outcome(wish.session, wish.seq, refusal=str(error)))
            return
        self._is_driven = True
        self._tell(Outcome(wish.session, wish.seq, sent))

    def _hold(self) -> None:
        self._is_driven = False
        self.is_busy = True
        try:
            self.robot.hold()
        except DemoloopError:
            pass  # it has stopped by itself, and the next look says why
        finally:
            self.is_busy = False

    def _carry_out(self, order: _Order) -> None:
        robot, refusal = self.robot, ""
        # Whatever it is, who orders it wants no action of before it; and to be at rest after it.
        self._is_driven = False
        self.is_busy = True
        try:
            if order.verb == "reset":
                robot.reset(order.seed)
            elif order.verb == "hold":
                robot.hold()
            elif order.verb == "arm":
                robot.arm()
            elif order.verb == "reset_fault":
                robot.reset_fault()
        except DemoloopError as error:
            refusal = str(error)
        finally:
            self.is_busy = False
        self.look()
        after = (robot.state, robot.fault)
        self._tell(Outcome(order.session, order.seq, None, refusal, *after))

    def _tell(self, outcome: Outcome) -> None:
        with self._changed:
            self._outcomes.append(outcome)
        self.on_news()
