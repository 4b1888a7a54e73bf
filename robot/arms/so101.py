"""The SO-101: five joints and a one-jaw gripper on Feetech STS3215 servos.

Dimensions, masses and limits are those of its maker's model (NOTICE). Where a joint stops on a real
arm is a little beyond: twice `STOP` is the median travel in the calibration files of four SO-101
that their owners published (pan 239, lift 210, elbow 194, wrist flex 205, wrist roll 337 degrees;
each within 4 of the median, but one pan that was not swept to its ends). Zero is in the middle of
that by the maker's definition; of the roll it is where the maker's own limits have it.
"""

from math import radians
from pathlib import Path

from demoloop.robot.arms.arm_model import ArmModel, JointGuide, Place
from demoloop.robot.arms.servo_map import ServoJoint, ServoMap
from demoloop.robot.spec import CameraSpec, JointSpec, RobotSpec

MJCF = Path(__file__).with_suffix(".xml")

GRIPPER_CLOSED, GRIPPER_OPEN = -0.1745, 1.7453
"""The jaw's joint range [rad]; an action counts it from 0 closed to 1 open."""

_SPEED, _ACCELERATION = 4.7, 40.0  # rad/s: 45 rpm by datasheet; rad/s^2: torque over armature
_JAW = GRIPPER_OPEN - GRIPPER_CLOSED

JOINTS = (
    JointSpec("shoulder_pan", -1.9199, 1.9199, _SPEED, _ACCELERATION),
    JointSpec("shoulder_lift", -1.7453, 1.7453, _SPEED, _ACCELERATION),
    JointSpec("elbow_flex", -1.6895, 1.6895, _SPEED, _ACCELERATION),
    JointSpec("wrist_flex", -1.6581, 1.6581, _SPEED, _ACCELERATION),
    JointSpec("wrist_roll", -2.7437, 2.8414, _SPEED, _ACCELERATION),
    JointSpec("gripper", 0.0, 1.0, _SPEED / _JAW, _ACCELERATION / _JAW, "opening"),
)

SO101 = RobotSpec(
    name="so101",
    joints=JOINTS,
    cameras=(CameraSpec("front", 96, 96), CameraSpec("wrist", 96, 96)),
    control_hz=25.0,
)

# A servo's middle, 2048, is where the joint is 0. The signs follow from the maker's own axes, which
# are those of its servos; a calibration measures them.
SERVOS = ServoMap(
    bus="feetech",
    baud=1_000_000,
    joints=(
        ServoJoint("shoulder_pan", 1, "sts3215"),
        ServoJoint("shoulder_lift", 2, "sts3215"),
        ServoJoint("elbow_flex", 3, "sts3215"),
        ServoJoint("wrist_flex", 4, "sts3215"),
        ServoJoint("wrist_roll", 5, "sts3215"),
        # Half the torque: a gripper that holds with all of it burns within a minute or two.
        ServoJoint("gripper", 6, "sts3215", closed_tick=1934, open_tick=3186, torque_share=0.5),
    ),
)

_PAN, _LIFT, _ELBOW, _WRIST = (radians(degrees / 2) for degrees in (239, 210, 194, 205))

GUIDES = (
    JointGuide(
        "shoulder_pan",
        Place(-_PAN, "turn the whole arm to its left until it stops"),
        Place(_PAN, "turn it to its right until it stops"),
        are_stops=True,
    ),
    JointGuide(
        "shoulder_lift",
        Place(-_LIFT, "lean the upper arm back until it stops"),
        Place(_LIFT, "lean it forward until it stops"),
        are_stops=True,
    ),
    JointGuide(
        "elbow_flex",
        Place(-_ELBOW, "stretch the elbow until it stops"),
        Place(_ELBOW, "fold the forearm against the upper arm until it stops"),
        are_stops=True,
    ),
    JointGuide(
        "wrist_flex",
        Place(-_WRIST, "bend the wrist up until it stops"),
        Place(_WRIST, "bend it down until it stops"),
        are_stops=True,
    ),
    JointGuide(
        "wrist_roll",
        Place(radians(-165.7), "seen from behind, turn the gripper clockwise until it stops"),
        Place(radians(171.3), "turn it counterclockwise until it stops"),
        are_stops=True,
    ),
    JointGuide(
        "gripper",
        Place(0.0, "close the gripper until its tips meet"),
        Place(1.0, "open it as wide as it goes"),
    ),
)

ARM = ArmModel(
    spec=SO101,
    mjcf=MJCF,
    servos=SERVOS,
    home=(0.0, -1.15, 0.95, 1.45, 0.0, 0.43),
    rest=(0.0, -1.55, 1.53, 1.03, 0.0, 0.0),
    guides=GUIDES,
)
