"""Two emulated arms in two processes, as one supervised robot in the one loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from demoloop.robot import Action, Observation, WallClock, run_episode
from demoloop.robot.arms.bimanual import Bimanual
from demoloop.robot.arms.so101 import ARM
from demoloop.robot.bus import serial_bus
from demoloop.robot.emulator.emulator import Emulator, emulated_arm
from demoloop.robot.emulator.faults import Dead
from demoloop.robot.safety import Limits, SafetyError, Supervised
from demoloop.robot.servo_arm import ServoArm

pytestmark = pytest.mark.realtime

SPEC = replace(ARM.spec, cameras=())
PATIENT = Limits(arm_s=0.2, relax_s=0.2, silent_s=0.3, heartbeat_s=1.0)


class Parts:
    """Turns the arms apart from where they are."""

    def reset(self) -> None:
        self._start: Action | None = None

    def decide(self, observation: Observation) -> Action:
        here = observation.proprioception[:12]
        if self._start is None:
            self._start = here.clip(np.tile(SPEC.low, 2), np.tile(SPEC.high, 2))
        action = self._start.copy()
        action[0], action[6] = 0.4, -0.4
        return action


def torques(emulator: Emulator) -> list[bool]:
    return [servo.has_torque for servo in emulator.control.state().lines["arm"]]


def test_two_supervised_arms_run_an_episode_and_a_fault_of_one_stops_both() -> None:
    with emulated_arm(ARM) as left, emulated_arm(ARM) as right:
        arms = [ServoArm(SPEC, ARM.servos, serial_bus(ARM.servos, it.port)) for it in (left, right)]
        robot = Supervised(Bimanual(*arms), limits=PATIENT)
        with robot:
            robot.arm()
            run_episode(robot, Parts(), 200, clock=WallClock(), hz=100)
            assert left.control.state().qpos[0] > 0.2
            assert right.control.state().qpos[0] < -0.2
            right.control.inject(Dead(id=1))
            try:
                run_episode(robot, Parts(), 200, clock=WallClock(), hz=100)
            except SafetyError as error:
                assert "right_shoulder_pan does not answer" in str(error)
            assert robot.state == "FAULT"
            right.control.clear()
        assert not any(torques(left))
        assert not any(torques(right))
