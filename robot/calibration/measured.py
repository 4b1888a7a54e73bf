"""A calibration: what was measured on one arm, and what follows from it.

Zero stands here and never in a servo: an offset in a servo reaches half a turn only, is lost with
the servo, and differs silently from what a dataset was recorded with. The hash of a calibration
goes with every episode, so that one can tell later whether two were recorded alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import degrees, pi
from typing import Any

from demoloop.robot.arms import ArmModel
from demoloop.robot.arms.servo_map import ServoJoint, ServoMap
from demoloop.robot.errors import RobotError
from demoloop.robot.spec import JointSpec

SCHEMA = 1
SLACK_DEG = 10.0
"""How far an arm may differ from its model. Published files of four SO-101 differ by up to 4."""


@dataclass(frozen=True)
class JointCalibration:
    """Two places of one joint, as its servo read them. Ticks count on beyond a turn's end."""

    name: str
    id: int
    model: str
    first_tick: int  # at the first place of the arm's guide
    second_tick: int  # at the second
    homing_offset: int = 0  # [ticks] in the servo; left as it was found, and compared later
    measured_at: str = ""  # ISO 8601, UTC

    @property
    def travel(self) -> int:
        """Ticks from the first place to the second."""
        return self.second_tick - self.first_tick


@dataclass(frozen=True)
class Calibration:
    """What was measured on one arm, joints in the order of its spec."""

    arm: str  # as in `ARMS`
    serial: str  # of its USB adapter
    joints: tuple[JointCalibration, ...]

    def servos(self, arm: ArmModel) -> ServoMap:
        """Returns the arm's servo map with what was measured in place of what was planned.

        Raises:
            RobotError: It is another arm's, or a joint is missing or differs too much.
        """
        if self.arm != arm.spec.name:
            raise RobotError(
                f"this calibration is of arm {self.arm!r}, not of {arm.spec.name!r}; "
                f"`demoloop calibrate {arm.spec.name}:PORT` makes one"
            )
        names = tuple(joint.name for joint in self.joints)
        if names != arm.spec.joint_names:
            raise RobotError(
                f"the calibration of {self.serial} has the joints {', '.join(names)}; "
                f"{arm.spec.name} has {', '.join(arm.spec.joint_names)}; calibrate it again"
            )
        planned = zip(arm.servos.joints, self.joints, strict=True)
        return replace(
            arm.servos, joints=tuple(measured(arm, servo, joint) for servo, joint in planned)
        )

    def to_json(self) -> dict[str, Any]:
        """Returns plain values, the hash over the others among them."""
        value = self._content()
        value["sha256"] = self.sha256
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Calibration:
        """Reads what `to_json` returned; RobotError says what is wrong with it."""
        try:
            if value["schema"] != SCHEMA:
                raise ValueError(f"it has schema {value['schema']}, this demoloop reads {SCHEMA}")
            joints = tuple(JointCalibration(**joint) for joint in value["joints"])
            for joint in joints:
                ticks = (joint.id, joint.first_tick, joint.second_tick, joint.homing_offset)
                if not all(type(tick) is int for tick in ticks):
                    raise ValueError(f"the ticks of {joint.name} are no whole numbers")
            found = cls(str(value["arm"]), str(value["serial"]), joints)
            said = value["sha256"]
        except (KeyError, TypeError, ValueError) as error:
            raise RobotError(f"not a calibration: {error}") from error
        if said != found.sha256:
            raise RobotError(
                f"its sha256 is {found.sha256[:12]}, it says {str(said)[:12]}: it was changed "
                "since it was measured"
            )
        return found

    @property
    def sha256(self) -> str:
        """64 hex digits that change when anything measured does."""
        text = json.dumps(self._content(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def event(self) -> str:
        """What an episode notes at its first step: `recorder.note(calibration.event)`."""
        return f"calibration {self.arm} {self.sha256}"

    def _content(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}


def measured(arm: ArmModel, servo: ServoJoint, joint: JointCalibration) -> ServoJoint:
    """Returns a planned servo with its measured zero and direction.

    Raises:
        RobotError: The two places are not as far apart as on the model, by more than SLACK_DEG, or
            the joint cannot be sent everywhere, since its servo's turn ends within its limits.
    """
    index = arm.spec.joint_names.index(joint.name)
    if (servo.id, servo.model) != (joint.id, joint.model):
        raise RobotError(
            f"{joint.name}: calibrated as servo {joint.id} ({joint.model}), but "
            f"{arm.spec.name} has servo {servo.id} ({servo.model}) there; calibrate it again"
        )
    check_travel(arm, servo, joint)
    spec = arm.spec.joints[index]
    if spec.unit == "opening":
        turns = _turns(servo, (joint.first_tick + joint.second_tick) / 2)
        closed, opened = joint.first_tick - turns, joint.second_tick - turns
        found = replace(servo, closed_tick=closed, open_tick=opened)
        _check_turn(spec, found)
        return found
    guide = arm.guides[index]
    per_rad = servo.ticks_per_turn / (2 * pi)
    expected = guide.second.position - guide.first.position
    sign = 1 if joint.travel * expected > 0 else -1
    # By both places alike: what one is off, the other halves.
    zero = (
        joint.first_tick
        + joint.second_tick
        - sign * per_rad * (guide.first.position + guide.second.position)
    ) / 2
    middle = zero + sign * per_rad * (spec.low + spec.high) / 2
    found = replace(servo, sign=sign, zero_tick=round(zero - _turns(servo, middle), 1))
    _check_turn(spec, found)
    return found


def check_travel(arm: ArmModel, servo: ServoJoint, joint: JointCalibration) -> None:
    """Raises RobotError with both numbers when the places are not as far apart as they should."""
    index = arm.spec.joint_names.index(joint.name)
    found = abs(joint.travel) * 360 / servo.ticks_per_turn
    if arm.spec.joints[index].unit == "opening":
        planned = abs((servo.open_tick or 0) - (servo.closed_tick or 0)) * 360 / 4096
        if found < planned / 3:
            raise RobotError(
                f"{joint.name}: closed and open are only {found:.1f} degrees apart, on "
                f"{arm.spec.name} about {planned:.0f}; close and open it all the way"
            )
        return
    guide = arm.guides[index]
    expected = degrees(abs(guide.second.position - guide.first.position))
    if abs(found - expected) > SLACK_DEG:
        reason = (
            "something is in its way, or a horn has slipped"
            if guide.are_stops and found < expected
            else "a horn has slipped, or it is another arm"
            if guide.are_stops
            else "look again at both places"
        )
        raise RobotError(
            f"{joint.name} went {found:.1f} degrees from one place to the other, on "
            f"{arm.spec.name} it is {expected:.1f}: {reason}"
        )


def _turns(servo: ServoJoint, tick: float) -> int:
    """Ticks of the whole turns before the one that `tick` is in."""
    return int(tick // servo.ticks_per_turn) * servo.ticks_per_turn


def _check_turn(spec: JointSpec, servo: ServoJoint) -> None:
    """Raises RobotError when the servo's turn ends within the joint's limits."""
    ends = sorted(servo.scale.to_tick(value) for value in (spec.low, spec.high))
    if ends[0] >= 0 and ends[1] < servo.ticks_per_turn:
        return
    middle = servo.ticks_per_turn // 2
    off = round((ends[0] + ends[1]) / 2) - middle
    by = degrees(abs(off) * 2 * pi / servo.ticks_per_turn)
    raise RobotError(
        f"{spec.name}: servo {servo.id} counts from {servo.ticks_per_turn - 1} on to 0 within the "
        f"joint's range ({ends[0]} .. {ends[1]}), where it cannot be sent across; take its horn "
        f"off, turn the servo {by:.0f} degrees so that it reads {abs(off)} "
        f"{'less' if off > 0 else 'more'}, put the horn back and measure this joint again"
    )
