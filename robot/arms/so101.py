"""The SO-101: five joints and a one-jaw gripper on Feetech STS3215 servos."""

from pathlib import Path

from demoloop.robot.spec import CameraSpec, JointSpec, RobotSpec

MJCF = Path(__file__).with_suffix(".xml")

GRIPPER_CLOSED, GRIPPER_OPEN = -0.1745, 1.7453
"""The jaw's joint range [rad]; an action counts it from 0 closed to 1 open."""

_SPEED, _ACCELERATION = 4.7, 40.0  # rad/s: 45 rpm by datasheet; rad/s^2: torque over armature
_JAW = GRIPPER_OPEN - GRIPPER_CLOSED

SO101 = RobotSpec(
    name="so101",
    joints=(
        JointSpec("shoulder_pan", -1.9199, 1.9199, _SPEED, _ACCELERATION),
        JointSpec("shoulder_lift", -1.7453, 1.7453, _SPEED, _ACCELERATION),
        JointSpec("elbow_flex", -1.6895, 1.6895, _SPEED, _ACCELERATION),
        JointSpec("wrist_flex", -1.6581, 1.6581, _SPEED, _ACCELERATION),
        JointSpec("wrist_roll", -2.7437, 2.8414, _SPEED, _ACCELERATION),
        JointSpec("gripper", 0.0, 1.0, _SPEED / _JAW, _ACCELERATION / _JAW, "opening"),
    ),
    cameras=(CameraSpec("front", 96, 96), CameraSpec("wrist", 96, 96)),
    control_hz=25.0,
)
