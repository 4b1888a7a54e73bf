"""`ARM:PORT`, as in so101:/dev/ttyACM0 or so101:emulated: which arm, and where it is."""

from __future__ import annotations

from demoloop.robot import RobotError
from demoloop.robot.arms import ARMS, ArmModel, find_arm

EMULATED = "emulated"


def parse_arm(text: str) -> tuple[ArmModel, str]:
    """Returns the arm and its port, `EMULATED` for one that is not there.

    Raises:
        RobotError: It has another form, or there is no such arm.
    """
    name, colon, port = text.partition(":")
    if not colon or not port:
        raise RobotError(
            f"{text!r} names no arm and its port; write ARM:/dev/ttyACM0 or ARM:{EMULATED}, with "
            f"ARM one of {', '.join(ARMS)}"
        )
    return find_arm(name), port


def is_remote(robot: str) -> bool:
    """Whether `--robot` names the endpoint of a host, such as tcp://10.0.0.5:5558, and no arm."""
    return "://" in robot
