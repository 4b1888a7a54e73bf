"""What a step of driving a hand costs: `python benchmarks/hand_ik.py [steps]`.

The SO-101 is driven through its workspace and out of reach and back (teleop/cartesian.py), beside
the loop of mink's arm examples on the same targets: at most 20 iterations to 1e-4 m, no limit of
velocity, and the same small cost of orientation, without which five joints would not get there.
Prints CPU milliseconds a step, their ratio, by how much each misses and how far joints leap. Exit
code 1 when a step takes more than a millisecond.
"""

from __future__ import annotations

import sys
import time

import mink
import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Observation
from demoloop.robot.arms import ARMS
from demoloop.robot.kinematics import Kinematics
from demoloop.teleop.cartesian import Cartesian
from demoloop.teleop.motion import Motion

Vector = NDArray[np.float64]
BAR_MS = 1.0
DT = 0.04


class Wandering:
    """A hand that goes from point to point, one in five out of reach, and turns now and then."""

    name = "wandering"

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._from = self._to = np.array([0.15, 0.0, 0.07])
        self._begun, self._turning = 0.0, np.zeros(2)

    def read(self, time: float) -> Motion:
        """Returns where it is now."""
        length = max(0.02, float(np.linalg.norm(self._to - self._from)))
        share = (time - self._begun) * 0.2 / length
        if share >= 1:
            self._begun, self._from, share = time, self._to, 0.0
            is_far = self._rng.random() < 0.2
            self._to = np.array([0.24, 0.0, 0.09]) + self._rng.uniform(-1, 1, 3) * (
                [0.4, 0.5, 0.4] if is_far else [0.07, 0.13, 0.07]
            )
            self._turning = self._rng.uniform(-1, 1, 2) * (self._rng.random() < 0.3)
        position = self._from + share * (self._to - self._from)
        return Motion(is_engaged=True, position=position, turning=self._turning)


class PlainMink:
    """The loop of mink's examples/arm_*.py."""

    def __init__(self, start: Vector) -> None:
        arm = ARMS["so101"]
        self._configuration = mink.Configuration(mujoco.MjModel.from_xml_path(str(arm.mjcf)))
        self._configuration.update(start)
        self._task = mink.FrameTask("tcp", "site", position_cost=1.0, orientation_cost=0.02)
        self._limits = [mink.ConfigurationLimit(self._configuration.model)]
        pose = self._configuration.get_transform_frame_to_world("tcp", "site")
        self._rotation = pose.rotation()

    def step(self, target: Vector) -> tuple[Vector, float]:
        """Returns where the hand gets, (3,) [m], and how far a joint leapt [rad]."""
        before = np.array(self._configuration.q)
        pose = mink.SE3.from_rotation_and_translation(self._rotation, target)
        self._task.set_target(pose)
        for _ in range(20):
            velocity = mink.solve_ik(
                self._configuration, [self._task], DT, "daqp", limits=self._limits
            )
            self._configuration.integrate_inplace(velocity, DT)
            error = self._task.compute_error(self._configuration)
            if np.linalg.norm(error[:3]) < 1e-4:
                break
        reached = self._configuration.get_transform_frame_to_world("tcp", "site")
        leap = float(np.abs(self._configuration.q - before).max())
        return np.asarray(reached.translation()), leap


def main() -> int:
    """Prints two lines and their ratio."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    arm = ARMS["so101"]
    cartesian, kinematics = Cartesian(Wandering(), arm), Kinematics(arm.mjcf, "tcp")
    start = kinematics.middle
    start[:5] = arm.home[:5]
    plain = PlainMink(start)
    joints = np.array(arm.home, np.float32)
    cartesian.begin(joints)
    ours, theirs, our_miss, their_miss = [], [], [], []
    our_leap, their_leap = 0.0, 0.0
    for step in range(count):
        look = Observation(step * DT, np.concatenate([joints, 0 * joints]), {}, {})
        before, begun = joints, time.thread_time()
        joints = cartesian.decide(look)
        ours.append(time.thread_time() - begun)
        our_leap = max(our_leap, float(np.abs(joints - before).max()))
        start[:5] = joints[:5]
        our_miss.append(float(np.linalg.norm(kinematics.forward(start)[0] - cartesian.target)))
        begun = time.thread_time()
        reached, leap = plain.step(cartesian.target)
        theirs.append(time.thread_time() - begun)
        their_leap = max(their_leap, leap)
        their_miss.append(float(np.linalg.norm(reached - cartesian.target)))
    for name, times, misses, leap in (
        ("cartesian", ours, our_miss, our_leap),
        ("mink's examples", theirs, their_miss, their_leap),
    ):
        spent, missed = 1e3 * np.array(times), 1e3 * np.array(misses)
        print(
            f"{name:16} mean {spent.mean():.2f} ms, p99 {np.quantile(spent, 0.99):.2f} ms; misses "
            f"by {np.median(missed):.2f} mm (median), {np.quantile(missed, 0.99):.1f} mm (p99); "
            f"longest leap of a joint {leap:.2f} rad"
        )
    print(f"ratio of the means {np.mean(ours) / np.mean(theirs):.2f}; bar: {BAR_MS:g} ms")
    return int(float(np.mean(ours)) * 1e3 > BAR_MS)


if __name__ == "__main__":
    sys.exit(main())
