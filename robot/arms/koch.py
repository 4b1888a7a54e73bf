"""Koch v1.1: five joints and a one-finger gripper on Dynamixel XL430 and XL330 servos.

Offsets of the joints, masses and ranges are those of MuJoCo Menagerie's model (NOTICE), made from
the drawings of the first version; that v1.1 has the same links is assumed. Speeds are the servos'
own by e-manual. Approximate: which way the servos count, which nobody publishes and a calibration
measures. Where the joints stop is not published either, so its places are found by eye: limbs
level, upright or across, within a few degrees.
"""

from math import pi
from pathlib import Path

from demoloop.robot.arms.arm_model import ArmModel, JointGuide, Place
from demoloop.robot.arms.servo_map import ServoJoint, ServoMap
from demoloop.robot.spec import CameraSpec, JointSpec, RobotSpec

GRIPPER_CLOSED, GRIPPER_OPEN = -0.032, 1.6
"""The finger's joint range [rad]; an action counts it from 0 closed to 1 open."""

_FINGER = GRIPPER_OPEN - GRIPPER_CLOSED
_XL430, _XL330 = 6.4, 10.8  # rad/s without load: 61 rpm at 12 V, 103 rpm at 5 V
_ACCELERATION = 40.0  # rad/s^2

JOINTS = (
    JointSpec("shoulder_pan", -2.2, 2.2, _XL430, _ACCELERATION),
    JointSpec("shoulder_lift", -0.6, 1.57, _XL430, _ACCELERATION),
    JointSpec("elbow_flex", -1.57, 1.45, _XL330, _ACCELERATION),
    JointSpec("wrist_flex", -2.0, 2.0, _XL330, _ACCELERATION),
    JointSpec("wrist_roll", -3.1, 3.1, _XL330, _ACCELERATION),
    JointSpec("gripper", 0.0, 1.0, _XL330 / _FINGER, _ACCELERATION / _FINGER, "opening"),
)

KOCH = RobotSpec(
    name="koch",
    joints=JOINTS,
    cameras=(CameraSpec("front", 96, 96), CameraSpec("wrist", 96, 96)),
    control_hz=25.0,
)

GUIDES = (
    JointGuide(
        "shoulder_pan",
        Place(0.0, "turn the arm to point straight ahead"),
        Place(pi / 2, "turn it a quarter turn to its right"),
    ),
    JointGuide(
        "shoulder_lift",
        Place(0.0, "set the upper arm upright"),
        Place(pi / 2, "lean it forward until it is level"),
    ),
    JointGuide(
        "elbow_flex",
        Place(0.0, "set the forearm square to the upper arm, pointing ahead"),
        Place(-pi / 2, "stretch it into one line with the upper arm"),
    ),
    JointGuide(
        "wrist_flex",
        Place(0.0, "set the hand in one line with the forearm"),
        Place(pi / 2, "bend the hand down, square to the forearm"),
    ),
    JointGuide(
        "wrist_roll",
        Place(0.0, "turn the hand until the fingers lie side by side, the moving one at the left"),
        Place(pi / 2, "seen from behind, turn it a quarter turn counterclockwise"),
    ),
    JointGuide(
        "gripper",
        Place(0.0, "close the gripper until its tips meet"),
        Place(1.0, "open it as wide as it goes"),
    ),
)

ARM = ArmModel(
    spec=KOCH,
    mjcf=Path(__file__).with_suffix(".xml"),
    servos=ServoMap(
        bus="dynamixel",
        baud=1_000_000,
        joints=(
            ServoJoint("shoulder_pan", 1, "xl430-w250"),
            ServoJoint("shoulder_lift", 2, "xl430-w250"),
            ServoJoint("elbow_flex", 3, "xl330-m288"),
            ServoJoint("wrist_flex", 4, "xl330-m288"),
            ServoJoint("wrist_roll", 5, "xl330-m288"),
            ServoJoint(
                "gripper", 6, "xl330-m288", closed_tick=2027, open_tick=3091, torque_share=0.5
            ),
        ),
    ),
    home=(0.0, -0.40, 0.60, 1.20, 0.0, 0.43),
    rest=(0.0, -0.58, 1.44, -0.15, 0.0, 0.0),
    guides=GUIDES,
)
