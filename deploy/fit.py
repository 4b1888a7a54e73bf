"""Whether a policy was trained for this very robot, and if not, what is different."""

from __future__ import annotations

from collections.abc import Iterator

from demoloop.deploy.errors import PolicyError
from demoloop.robot import RobotSpec


def check_fit(policy: RobotSpec, robot: RobotSpec, what: str) -> None:
    """Raises PolicyError naming the joints, cameras, units or rate that differ.

    Args:
        policy: The spec of the robot whose demonstrations the policy learned.
        robot: The spec of the robot it is to move.
        what: Names the policy in the message.
    """
    found = list(differences(policy, robot))
    if found:
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        raise PolicyError(
            f"{what} does not fit the robot {robot.name}: {'; '.join(found[:3])}{more}; "
            "use a policy trained on this robot, or train one"
        )


def differences(policy: RobotSpec, robot: RobotSpec) -> Iterator[str]:
    """Yields one phrase per difference, with the policy's value and the robot's."""
    if policy.name != robot.name:
        yield f"it was trained on {policy.name}, this is {robot.name}"
    if policy.control_hz != robot.control_hz:
        yield f"control rate {policy.control_hz:g} Hz, the robot has {robot.control_hz:g} Hz"
    if policy.joint_names != robot.joint_names:
        a, b = (", ".join(names) for names in (policy.joint_names, robot.joint_names))
        yield f"joints {a}, the robot has {b}"
    else:
        for ours, theirs in zip(policy.joints, robot.joints, strict=True):
            for field in ("unit", "low", "high", "max_velocity", "max_acceleration"):
                learned, given = getattr(ours, field), getattr(theirs, field)
                if learned != given:
                    yield f"joint {ours.name}: {field} {learned}, the robot has {given}"
    if policy.camera_names != robot.camera_names:
        a, b = (", ".join(names) or "none" for names in (policy.camera_names, robot.camera_names))
        yield f"cameras {a}, the robot has {b}"
    else:
        for seen, built in zip(policy.cameras, robot.cameras, strict=True):
            if seen != built:
                yield (
                    f"camera {seen.name}: {seen.width}x{seen.height} px, "
                    f"the robot has {built.width}x{built.height} px"
                )
