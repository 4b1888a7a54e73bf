"""Holds an emulated SO-101 by all that a real one has: `driver_of_emulated.py PORT`."""

from __future__ import annotations

import sys
import time

from demoloop.robot import RobotError
from demoloop.robot.arms.so101 import ARM
from demoloop.robot.bus import serial_bus
from demoloop.robot.safety import Limits, SafetyError, Supervised
from demoloop.robot.safety.let_go import watchdog_of
from demoloop.robot.servo_arm import ServoArm


def main(port: str) -> None:
    arm = ServoArm(ARM.spec, ARM.servos, serial_bus(ARM.servos, port))
    # A second of silence: on a busy machine a program that is well is silent for some tenths.
    watchdog = watchdog_of(ARM.servos, port, silence_s=1.0)
    robot = Supervised(arm, watchdog=watchdog, limits=Limits(arm_s=0.2, silent_s=1.0))
    while robot.state == "DISCONNECTED":
        try:
            robot.connect()
        except RobotError:  # the emulator did not get to run in time
            time.sleep(0.1)
    robot.arm()
    print("holding", flush=True)
    while True:
        try:
            robot.observe()
            if robot.fault is not None:
                print(robot.fault.sentence, flush=True)
                return
        except SafetyError as error:
            print(error, flush=True)
            return
        time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1])
