"""The leader of the Koch v1.1: the follower's links on six XL330-M077, with a handle and a trigger.

Limits are the follower's, so that what a leader shows a follower can do. Approximate: the trigger's
range, and which way its servos count (its elbow is built mirrored); a calibration measures both.
"""

from pathlib import Path

from demoloop.robot.arms import koch
from demoloop.robot.arms.arm_model import ArmModel
from demoloop.robot.arms.servo_map import ServoJoint, ServoMap
from demoloop.robot.arms.so101_leader import TRIGGER
from demoloop.robot.spec import RobotSpec

KOCH_LEADER = RobotSpec(
    name="koch_leader", joints=koch.JOINTS, cameras=(), control_hz=koch.KOCH.control_hz
)

_HOLD = 0.3  # share of the torque: the most with which it resists the hand that guides it

ARM = ArmModel(
    spec=KOCH_LEADER,
    mjcf=Path(__file__).with_suffix(".xml"),
    servos=ServoMap(
        bus="dynamixel",
        baud=1_000_000,
        joints=(
            ServoJoint("shoulder_pan", 1, "xl330-m077", torque_share=_HOLD),
            ServoJoint("shoulder_lift", 2, "xl330-m077", torque_share=_HOLD),
            ServoJoint("elbow_flex", 3, "xl330-m077", sign=-1, torque_share=_HOLD),
            ServoJoint("wrist_flex", 4, "xl330-m077", torque_share=_HOLD),
            ServoJoint("wrist_roll", 5, "xl330-m077", torque_share=_HOLD),
            ServoJoint(
                "gripper", 6, "xl330-m077", closed_tick=2027, open_tick=2635, torque_share=_HOLD
            ),
        ),
    ),
    home=koch.ARM.home,
    rest=(0.0, -0.52, 1.44, -0.38, 0.0, 0.0),
    guides=(*koch.GUIDES[:-1], TRIGGER),
)
