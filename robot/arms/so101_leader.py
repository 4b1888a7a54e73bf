"""The SO-101 leader: the follower's links with a handle and a trigger, moved by a person's hand.

Its servos are STS3215 of three gear ratios and all say model 777. Limits are the follower's, so
that what a leader shows a follower can do. A published calibration file of one has the follower's
travels within 2 degrees, its trigger 110.
"""

from dataclasses import replace
from pathlib import Path

from demoloop.robot.arms import so101
from demoloop.robot.arms.arm_model import ArmModel, JointGuide, Place
from demoloop.robot.spec import RobotSpec

SO101_LEADER = RobotSpec(
    name="so101_leader", joints=so101.JOINTS, cameras=(), control_hz=so101.SO101.control_hz
)

TRIGGER = JointGuide(
    "gripper",
    Place(0.0, "press the trigger until it stops"),
    Place(1.0, "let it go as far open as it goes"),
)

ARM = ArmModel(
    spec=SO101_LEADER,
    mjcf=Path(__file__).with_suffix(".xml"),
    # A leader's servos hold at most against the hand that guides it.
    servos=replace(
        so101.SERVOS,
        joints=tuple(replace(joint, torque_share=0.3) for joint in so101.SERVOS.joints),
    ),
    home=so101.ARM.home,
    rest=so101.ARM.rest,
    guides=(*so101.GUIDES[:-1], TRIGGER),
)
