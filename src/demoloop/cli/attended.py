"""An opened arm as `demoloop run` drives it: never unwatched between episodes, armed by a reset."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType

from demoloop.cli.robots import Opened
from demoloop.robot import Action, Observation, RobotSpec


class Attended:
    """`with Attended(opened) as robot`: it holds, and is looked at, until an episode begins.

    While the server is looked for, an operator is waited for or a report is written, nobody ticks:
    a watchdog would take that for a program that hangs. Within an episode only the guard looks, so
    that one which hangs is found out.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._held = ExitStack()

    @property
    def spec(self) -> RobotSpec:
        """Of the robot within."""
        return self._opened.robot.spec

    def __enter__(self) -> Attended:
        """Holds."""
        self.rest()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the arm to whoever opened it."""
        self._held.close()

    def rest(self) -> None:
        """The episode is over: it holds until the next one."""
        self._held.close()
        self._held.enter_context(self._opened.held())

    def reset(self) -> None:
        """Brings it to where an episode starts; raises SafetyError for what happened meanwhile."""
        self._held.close()
        self._opened.robot.reset()

    def observe(self) -> Observation:
        """As the robot within."""
        return self._opened.robot.observe()

    def act(self, action: Action) -> Action:
        """As the robot within."""
        return self._opened.robot.act(action)

    def estop(self, reason: str) -> None:
        """Torque off at once; from any thread."""
        self._opened.supervised.estop(reason)

    def reset_fault(self) -> None:
        """A person has looked at the arm: torque on again, where it is.

        Raises:
            SafetyError: What was wrong still is.
        """
        self._opened.supervised.reset_fault()
        self._opened.supervised.arm()

    def close(self) -> None:
        """Whoever opened the arm brings it to rest."""
