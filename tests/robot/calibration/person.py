"""An arm whose torque is off, and a person who moves it: true angles in, ticks out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from demoloop.robot.arms import ArmModel
from demoloop.robot.arms.servo_map import ServoMap
from demoloop.robot.calibration import Procedure

TURN = 4096


@dataclass
class Person:
    """Brings joints where they are told to, `true` being how this arm was really put together."""

    arm: ArmModel
    true: ServoMap
    steps: int = 40  # readings on the way from one place to another
    positions: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.positions = {name: 0.0 for name in self.arm.spec.joint_names}

    def ticks(self) -> dict[str, int]:
        """What the servos read now."""
        return {
            servo.name: servo.scale.to_tick(self.positions[servo.name]) % TURN
            for servo in self.true.joints
        }

    def bring(self, procedure: Procedure, joint: str, position: float) -> None:
        """Moves one joint by hand, and holds it there."""
        start = self.positions[joint]
        for i in range(1, self.steps + 1):
            self.positions[joint] = start + (position - start) * i / self.steps
            procedure.feed(self.ticks())
        for _ in range(5):
            procedure.feed(self.ticks())

    def obey(self, procedure: Procedure) -> str:
        """Does the next step and confirms it."""
        step = procedure.step
        assert step is not None
        guide = self.arm.guides[self.arm.spec.joint_names.index(step.joint)]
        place = guide.first if step.which == "first" else guide.second
        self.bring(procedure, step.joint, place.position)
        return procedure.confirm()


def built(arm: ArmModel, **changes: dict[str, float]) -> ServoMap:
    """The arm as planned, but for `changes`: joint -> fields of its servo."""
    joints = tuple(replace(joint, **changes.get(joint.name, {})) for joint in arm.servos.joints)
    return replace(arm.servos, joints=joints)
