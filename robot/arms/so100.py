"""The SO-100: the SO-101's elder, on the same Feetech STS3215 servos.

Offsets of the joints and masses of the links are those of MuJoCo Menagerie's model (NOTICE), turned
to the SO-101's zero: upper arm up, forearm ahead. Its upper and lower arm are the SO-101's to a
tenth of a millimetre. Approximate: the limits and stops of all joints but the jaw, taken from the
SO-101, since the published model's are round numbers (0 to pi, say). A calibration that finds
others says so.
"""

from dataclasses import replace
from pathlib import Path

from demoloop.robot.arms import so101
from demoloop.robot.arms.arm_model import ArmModel
from demoloop.robot.spec import CameraSpec, JointSpec, RobotSpec

GRIPPER_CLOSED, GRIPPER_OPEN = -0.2, 2.0
"""The jaw's joint range [rad]; an action counts it from 0 closed to 1 open."""

_JAW = GRIPPER_OPEN - GRIPPER_CLOSED
_SPEED, _ACCELERATION = so101.JOINTS[0].max_velocity, so101.JOINTS[0].max_acceleration

SO100 = RobotSpec(
    name="so100",
    joints=(
        *so101.JOINTS[:-1],
        JointSpec("gripper", 0.0, 1.0, _SPEED / _JAW, _ACCELERATION / _JAW, "opening"),
    ),
    cameras=(CameraSpec("front", 96, 96), CameraSpec("wrist", 96, 96)),
    control_hz=25.0,
)

_SERVOS = so101.SERVOS.joints

ARM = ArmModel(
    spec=SO100,
    mjcf=Path(__file__).with_suffix(".xml"),
    servos=replace(
        so101.SERVOS,
        joints=(*_SERVOS[:-1], replace(_SERVOS[-1], closed_tick=1918, open_tick=3352)),
    ),
    home=(0.0, -1.15, 0.95, 1.45, 0.0, 0.43),
    rest=(0.0, -1.62, 1.50, 1.10, 0.0, 0.0),
    guides=so101.GUIDES,
)
