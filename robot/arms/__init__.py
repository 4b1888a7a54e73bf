"""The arms there are: one file each, its MJCF beside it, and one line here."""

from demoloop.robot.arms import koch, koch_leader, so100, so101, so101_leader, viperx_300s
from demoloop.robot.arms.arm_model import ArmModel, JointGuide, Place
from demoloop.robot.errors import RobotError

ARMS: dict[str, ArmModel] = {
    "so101": so101.ARM,
    "so101_leader": so101_leader.ARM,
    "so100": so100.ARM,
    "koch": koch.ARM,
    "koch_leader": koch_leader.ARM,
    "viperx_300s": viperx_300s.ARM,
}


def find_arm(name: str) -> ArmModel:
    """Returns the arm called `name`; raises RobotError that lists those there are."""
    if name not in ARMS:
        raise RobotError(f"there is no arm {name!r}; there are {', '.join(ARMS)}")
    return ARMS[name]


__all__ = ["ARMS", "ArmModel", "JointGuide", "Place", "find_arm"]
