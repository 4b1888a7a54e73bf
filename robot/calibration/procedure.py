"""The guided calibration as a state machine: sentences out, readings in, a calibration in the end.

It knows neither servos nor a screen: a terminal, a panel and a test drive it alike. For each joint
a person brings it to two places by hand, torque off, while readings are fed in as often as they
come. From the two follow its zero, its direction and whether it is whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from demoloop.robot.arms import ArmModel
from demoloop.robot.calibration.measured import Calibration, JointCalibration, measured
from demoloop.robot.errors import RobotError

_STILL_TICKS = 12  # a degree: a hand that holds a joint moves it less
_NUM_STILL = 5  # readings that have to agree


@dataclass(frozen=True)
class Step:
    """What a person does next."""

    joint: str
    which: Literal["first", "second"]
    words: str  # a sentence
    number: int  # from 1
    total: int


class Procedure:
    """One guided calibration.

    `while (step := procedure.step): ... feed(readings) ... confirm()`, then `calibration(serial)`.

    Attributes:
        done: What is measured so far, joint by joint; hand it to a new procedure to go on.
    """

    def __init__(self, arm: ArmModel, done: Iterable[JointCalibration] = ()) -> None:
        """Stores; joints in `done` are not asked for again."""
        self._arm = arm
        self.done: dict[str, JointCalibration] = {joint.name: joint for joint in done}
        self._readings: deque[int] = deque(maxlen=_NUM_STILL)
        self._turn: int | None = None  # the last reading, counted on beyond the end of a turn
        self._first: int | None = None
        self._was_reversed = ""  # the joint that was found to count the other way, once

    @property
    def step(self) -> Step | None:
        """What to do next; None when all joints are measured."""
        for index, guide in enumerate(self._arm.guides):
            if guide.joint in self.done:
                continue
            is_second = self._first is not None
            place = guide.second if is_second else guide.first
            return Step(
                guide.joint,
                "second" if is_second else "first",
                f"{guide.joint}: {place.words}, and hold it there",
                2 * index + 1 + is_second,
                2 * len(self._arm.guides),
            )
        return None

    def feed(self, ticks: Mapping[str, int]) -> None:
        """Takes what the servos read now, joint -> tick; of no matter how many joints.

        Raises:
            RobotError: The joint moved too quickly to tell which way; it begins at its first place.
        """
        step = self.step
        if step is None or step.joint not in ticks:
            return
        turn = self._arm.servos.joints[self._index(step.joint)].ticks_per_turn
        tick = ticks[step.joint]
        if self._turn is None:
            self._turn = tick
        moved = (tick - self._turn + turn // 2) % turn - turn // 2  # the shorter way
        if abs(moved) > turn // 4 and self._first is not None:
            self._again()
            raise RobotError(
                f"{step.joint} moved {abs(moved) * 360 // turn} degrees between two readings, too "
                "quickly to follow; begin with it again, slowly"
            )
        self._turn += moved
        self._readings.append(self._turn)

    def confirm(self, *, measured_at: str = "", homing_offset: int = 0) -> str:
        """Takes the present place of the joint, and returns what was found, in a sentence.

        Raises:
            RobotError: It is not held still, or what was found cannot be; `step` says what next.
        """
        step = self.step
        if step is None:
            raise RobotError("all joints are measured; there is nothing to confirm")
        tick = self._still(step.joint)
        if self._first is None:
            self._first = tick
            return f"{step.joint} is at {tick}"
        servo = self._arm.servos.joints[self._index(step.joint)]
        found = JointCalibration(
            step.joint, servo.id, servo.model, self._first, tick, homing_offset, measured_at
        )
        self._again()
        result = measured(self._arm, servo, found)  # raises what cannot be
        is_expected = result.scale.ticks_per_unit * servo.scale.ticks_per_unit > 0
        if not is_expected and self._was_reversed != step.joint:
            self._was_reversed = step.joint
            raise RobotError(
                f"{step.joint} counts the other way than {self._arm.spec.name} is built: were the "
                "two places exchanged? Measure it once more; what comes then is believed"
            )
        self.done[step.joint] = found
        degrees = abs(found.travel) * 360 / servo.ticks_per_turn
        way = "" if is_expected else ", mounted the other way round"
        return f"{step.joint}: {degrees:.1f} degrees{way}"

    def redo(self, joint: str) -> None:
        """Forgets what was measured of a joint; it is asked for again.

        Raises:
            RobotError: There is no such joint.
        """
        self._index(joint)
        self.done.pop(joint, None)
        self._again()

    def calibration(self, serial: str) -> Calibration:
        """Returns what was measured.

        Raises:
            RobotError: Not everything is.
        """
        missing = [guide.joint for guide in self._arm.guides if guide.joint not in self.done]
        if missing:
            raise RobotError(f"not measured yet: {', '.join(missing)}; go on with --resume")
        joints = tuple(self.done[name] for name in self._arm.spec.joint_names)
        return Calibration(self._arm.spec.name, serial, joints)

    def _again(self) -> None:
        self._first, self._turn = None, None
        self._readings.clear()

    def _still(self, joint: str) -> int:
        """Returns where the joint is held, or raises RobotError when it is not held."""
        if len(self._readings) < _NUM_STILL:
            raise RobotError(f"{joint}: too few readings came; wait a moment and confirm again")
        if max(self._readings) - min(self._readings) > _STILL_TICKS:
            raise RobotError(f"{joint} moves; hold it still and confirm again")
        return sorted(self._readings)[_NUM_STILL // 2]

    def _index(self, joint: str) -> int:
        names = self._arm.spec.joint_names
        if joint not in names:
            raise RobotError(
                f"{self._arm.spec.name} has no joint {joint!r}; it has {', '.join(names)}"
            )
        return names.index(joint)
