"""ViperX 300s: six joints and a two-finger gripper on Dynamixel XM540 and XM430 servos.

Offsets, ranges and masses are those of Trossen Robotics' model, as gym-aloha ships it; ids and
directions (a drive mode set in the factory) those of its configuration for ROS. Shoulder and elbow
each have a second servo that obeys the first one's id. Speeds are the 30 rpm which that
configuration allows. Approximate: the fingers go by the servo's angle here, by a crank of 22 and
36 mm in truth, which is up to 1 mm elsewhere between open and closed.
"""

from math import pi
from pathlib import Path

from demoloop.robot.arms.arm_model import ArmModel, JointGuide, Place
from demoloop.robot.arms.servo_map import ServoJoint, ServoMap
from demoloop.robot.spec import CameraSpec, JointSpec, RobotSpec

GRIPPER_CLOSED, GRIPPER_OPEN = 0.021, 0.057
"""How far each finger is from the middle [m]; an action counts it from 0 closed to 1 open."""

_SPEED, _ACCELERATION = 3.14, 15.0  # rad/s, rad/s^2
_GRIP_TURN = 1.74  # rad of the servo from closed to open, by the crank's geometry

VIPERX_300S = RobotSpec(
    name="viperx_300s",
    joints=(
        # Joints that turn all the way round keep off the end of a servo's turn.
        JointSpec("waist", -3.1, 3.1, _SPEED, _ACCELERATION),
        JointSpec("shoulder", -1.85, 1.2566, _SPEED, _ACCELERATION),
        JointSpec("elbow", -1.7628, 1.6057, _SPEED, _ACCELERATION),
        JointSpec("forearm_roll", -3.1, 3.1, _SPEED, _ACCELERATION),
        JointSpec("wrist_angle", -1.8675, 2.234, _SPEED, _ACCELERATION),
        JointSpec("wrist_rotate", -3.1, 3.1, _SPEED, _ACCELERATION),
        JointSpec("gripper", 0.0, 1.0, _SPEED / _GRIP_TURN, _ACCELERATION / _GRIP_TURN, "opening"),
    ),
    cameras=(CameraSpec("front", 96, 96), CameraSpec("wrist", 96, 96)),
    control_hz=25.0,
)

GUIDES = (
    JointGuide(
        "waist",
        Place(0.0, "turn the arm to point straight ahead"),
        Place(pi / 2, "turn it a quarter turn to its left"),
    ),
    JointGuide(
        "shoulder",
        Place(0.0, "set the upper arm upright"),
        Place(-pi / 2, "lean it back until it is level"),
    ),
    JointGuide(
        "elbow",
        Place(0.0, "set the forearm square to the upper arm, pointing ahead"),
        Place(-pi / 2, "stretch it into one line with the upper arm"),
    ),
    JointGuide(
        "forearm_roll",
        Place(0.0, "turn the forearm until the wrist bends up and down"),
        Place(pi / 2, "seen from behind, turn it a quarter turn clockwise"),
    ),
    JointGuide(
        "wrist_angle",
        Place(0.0, "set the hand in one line with the forearm"),
        Place(pi / 2, "bend the hand down, square to the forearm"),
    ),
    JointGuide(
        "wrist_rotate",
        Place(0.0, "turn the hand until the fingers lie side by side"),
        Place(pi / 2, "seen from behind, turn it a quarter turn clockwise"),
    ),
    JointGuide(
        "gripper",
        Place(0.0, "close the gripper until its fingers meet"),
        Place(1.0, "open it as wide as it goes"),
    ),
)

ARM = ArmModel(
    spec=VIPERX_300S,
    mjcf=Path(__file__).with_suffix(".xml"),
    servos=ServoMap(
        bus="dynamixel",
        baud=1_000_000,
        joints=(
            ServoJoint("waist", 1, "xm540-w270"),
            ServoJoint("shoulder", 2, "xm540-w270", shadow_id=3),
            ServoJoint("elbow", 4, "xm540-w270", shadow_id=5),
            ServoJoint("forearm_roll", 6, "xm540-w270"),
            ServoJoint("wrist_angle", 7, "xm540-w270"),
            ServoJoint("wrist_rotate", 8, "xm430-w350"),
            ServoJoint(
                "gripper", 9, "xm430-w350", closed_tick=1781, open_tick=2915, torque_share=0.5
            ),
        ),
    ),
    home=(0.0, -0.96, 1.16, 0.0, -0.30, 0.0, 0.43),
    rest=(0.0, -1.84, 1.59, 0.0, 0.45, 0.0, 0.0),
    guides=GUIDES,
)
