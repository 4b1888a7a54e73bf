"""What one arm measured about itself: where its joints are zero and which way its servos count."""

from demoloop.robot.calibration.measured import Calibration, JointCalibration
from demoloop.robot.calibration.procedure import Procedure, Step
from demoloop.robot.calibration.store import (
    calibration_file,
    load_calibration,
    port_serial,
    save_calibration,
)

__all__ = [
    "Calibration",
    "JointCalibration",
    "Procedure",
    "Step",
    "calibration_file",
    "load_calibration",
    "port_serial",
    "save_calibration",
]
