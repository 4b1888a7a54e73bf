"""Laws of two arms as one, with two that move by MuJoCo's physics."""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
import pytest

from demoloop.robot import Action, Observation, RobotError, RobotSpec, check_action
from demoloop.robot.arm import Health
from demoloop.robot.arms import ARMS, ArmModel
from demoloop.robot.arms.bimanual import Bimanual, bimanual_spec
from demoloop.robot.errors import Disconnected

SO101, SO100 = ARMS["so101"], ARMS["so100"]
SECOND = 1.0


class Simulated:
    """An arm of physics, which can be told to fail."""

    def __init__(self, arm: ArmModel) -> None:
        self.arm, self.spec = arm, arm.spec
        self.model = mujoco.MjModel.from_xml_path(str(arm.mjcf))
        self.data = mujoco.MjData(self.model)
        self.gains = self.model.actuator_gainprm.copy(), self.model.actuator_biasprm.copy()
        self.failing = ""
        self.error: type[Exception] = Disconnected
        self.is_open = self.has_torque = False
        self.share = 1.0
        self.reset()

    def _may_fail(self, what: str) -> None:
        if what in self.failing.split():
            raise self.error("the cable was pulled")

    def connect(self) -> None:
        self._may_fail("connect")
        self.is_open = True

    def reset(self) -> None:
        self._may_fail("reset")
        self.data.qpos[:] = self.data.ctrl[:] = self._angles(np.array(self.arm.home))

    def observe(self) -> Observation:
        self._may_fail("observe")
        low, high = self.model.joint("gripper").range
        positions = np.array(self.data.qpos)
        positions[-1] = (positions[-1] - low) / (high - low)
        seen = np.concatenate([positions, self.data.qvel]).astype(np.float32)
        shapes = {it.name: (it.height, it.width, 3) for it in self.spec.cameras}
        images = {name: np.full(shape, 7, np.uint8) for name, shape in shapes.items()}
        return Observation(self.data.time, seen, images, {name: self.data.time for name in images})

    def act(self, action: Action) -> Action:
        self._may_fail("act")
        self.data.ctrl[:] = self._angles(check_action(self.spec, action))
        return action

    def _angles(self, action: Action) -> Action:
        low, high = self.model.joint("gripper").range
        return np.concatenate([action[:-1], [low + action[-1] * (high - low)]])

    def pass_time(self, seconds: float) -> None:
        self.model.actuator_gainprm[:] = self.gains[0] * self.has_torque
        self.model.actuator_biasprm[:] = self.gains[1] * self.has_torque
        mujoco.mj_step(self.model, self.data, nstep=round(seconds / self.model.opt.timestep))

    def health(self) -> Health:
        full = np.full(self.spec.action_dim, 1.0)
        return Health(
            self.data.time, full, full, full, full, full * self.has_torque,
            {"gripper": ("overload",)}, ("elbow_flex",),
        )  # fmt: skip

    def enable_torque(self) -> None:
        self._may_fail("enable")
        self.has_torque = True

    def disable_torque(self) -> tuple[str, ...]:
        self.has_torque = False
        return ("gripper",) if "disable" in self.failing else ()

    def limit_torque(self, share: float) -> None:
        self.share = share

    def close(self) -> None:
        self.is_open = False
        self._may_fail("close")


@pytest.fixture
def left() -> Simulated:
    return Simulated(SO101)


@pytest.fixture
def right() -> Simulated:
    return Simulated(SO100)


@pytest.fixture
def both(left: Simulated, right: Simulated) -> Bimanual:
    both = Bimanual(left, right)
    both.connect()
    both.reset()
    both.enable_torque()
    return both


def test_spec_has_every_joint_and_camera_once_under_its_sides_name() -> None:
    spec = bimanual_spec(SO101.spec, SO101.spec)
    assert spec.name == "so101+so101"
    assert spec.joint_names[:2] == ("left_shoulder_pan", "left_shoulder_lift")
    assert spec.joint_names[6] == "right_shoulder_pan"
    assert spec.camera_names == ("left_front", "left_wrist", "right_front", "right_wrist")
    assert len(set(spec.joint_names)) == 12
    assert spec.joints[11].unit == "opening"
    np.testing.assert_array_equal(spec.low, np.tile(SO101.spec.low, 2))


def test_sides_exchanged_are_another_robot() -> None:
    one, other = (
        bimanual_spec(*pair).fingerprint()
        for pair in ((SO101.spec, SO100.spec), (SO100.spec, SO101.spec))
    )
    assert one != other


def test_arms_of_different_rates_do_not_go_together() -> None:
    slow = RobotSpec("slow", SO101.spec.joints, (), control_hz=10)
    with pytest.raises(RobotError, match="so101 at 25 Hz does not go with slow at 10 Hz"):
        bimanual_spec(SO101.spec, slow)


def test_observation_is_positions_of_both_then_velocities_of_both(
    both: Bimanual, left: Simulated, right: Simulated
) -> None:
    left.data.qvel[0], right.data.qvel[0] = 0.5, -0.25
    seen = both.observe()
    assert seen.proprioception.shape == (2 * both.spec.action_dim,)
    found = dict(zip(both.spec.proprioception_names, seen.proprioception.tolist(), strict=True))
    assert found["left_shoulder_lift.pos"] == pytest.approx(left.data.qpos[1])
    assert found["right_wrist_flex.pos"] == pytest.approx(right.data.qpos[3])
    assert (found["left_shoulder_pan.vel"], found["right_shoulder_pan.vel"]) == (0.5, -0.25)


def test_observation_is_as_old_as_the_older(both: Bimanual, left: Simulated) -> None:
    left.data.time = 5.0
    assert both.observe().time == 0.0


def test_each_camera_is_there_with_its_time(both: Bimanual) -> None:
    seen = both.observe()
    assert set(seen.images) == set(seen.image_times) == set(both.spec.camera_names)


def test_each_arm_gets_its_own_part_of_an_action(
    both: Bimanual, left: Simulated, right: Simulated
) -> None:
    action = np.array([*SO101.home, *SO100.home], np.float32)
    action[0], action[6] = 0.6, -0.6
    np.testing.assert_array_equal(both.act(check_action(both.spec, action)), action)
    for arm in (left, right):
        arm.pass_time(SECOND)
    assert left.data.qpos[0] == pytest.approx(0.6, abs=0.03)
    assert right.data.qpos[0] == pytest.approx(-0.6, abs=0.03)


FAILING: dict[str, Callable[[Bimanual, Action], object]] = {
    "act": lambda both, action: both.act(action),
    "observe": lambda both, _: both.observe(),
}


@pytest.mark.parametrize("what", FAILING)
@pytest.mark.parametrize("side", ["left", "right"])
def test_when_one_arm_fails_the_other_stays_where_it_was_seen(
    what: str, side: str, both: Bimanual, left: Simulated, right: Simulated
) -> None:
    failing, other = (left, right) if side == "left" else (right, left)
    far = np.array([*SO101.home, *SO100.home], np.float32)
    far[0] = far[6] = 1.5
    both.act(far)
    other.pass_time(0.1)  # on its way
    both.observe()
    where = float(other.data.qpos[0])
    assert 0.01 < where < 1.0
    failing.failing = what
    with pytest.raises(Disconnected, match=f"^{side} arm: the cable was pulled"):
        FAILING[what](both, far)
    other.pass_time(2 * SECOND)
    assert other.data.qpos[0] == pytest.approx(where, abs=0.05)


def test_arm_that_cannot_be_seen_stays_too(both: Bimanual, left: Simulated) -> None:
    both.observe()
    far = np.array([*SO101.home, *SO100.home], np.float32)
    far[0] = 1.5
    both.act(far)
    left.failing = "observe"
    with pytest.raises(Disconnected):
        both.observe()
    assert left.data.ctrl[0] == pytest.approx(0.0, abs=1e-3)


def test_other_arm_stays_also_when_the_error_is_a_fault_of_ours(
    both: Bimanual, left: Simulated, right: Simulated
) -> None:
    both.observe()
    left.failing, left.error = "act", ZeroDivisionError
    far = np.array([*SO101.home, *SO100.home], np.float32)
    far[6] = 1.5
    with pytest.raises(ZeroDivisionError):
        both.act(far)
    assert right.data.ctrl[0] == pytest.approx(0.0, abs=1e-3)


def test_both_are_connected_or_none(left: Simulated, right: Simulated) -> None:
    right.failing = "connect"
    with pytest.raises(Disconnected, match=r"^right arm"):
        Bimanual(left, right).connect()
    assert not left.is_open


def test_torque_comes_on_in_both_or_in_none(left: Simulated, right: Simulated) -> None:
    right.failing = "enable"
    with pytest.raises(Disconnected, match=r"^right arm"):
        Bimanual(left, right).enable_torque()
    assert not left.has_torque


def test_torque_goes_off_in_both_and_says_who_did_not_confirm(
    both: Bimanual, left: Simulated, right: Simulated
) -> None:
    left.failing = "disable"
    assert both.disable_torque() == ("left_gripper",)
    assert not left.has_torque
    assert not right.has_torque


@pytest.mark.parametrize("side", ["left", "right"])
def test_both_are_closed_also_when_one_cannot_be(
    side: str, both: Bimanual, left: Simulated, right: Simulated
) -> None:
    (left if side == "left" else right).failing = "close"
    with pytest.raises(Disconnected):
        both.close()
    assert not left.is_open
    assert not right.is_open


def test_torque_limit_reaches_both(both: Bimanual, left: Simulated, right: Simulated) -> None:
    both.limit_torque(0.4)
    assert (left.share, right.share) == (0.4, 0.4)


def test_health_says_of_which_arm_it_speaks(both: Bimanual, right: Simulated) -> None:
    right.has_torque = False
    health = both.health()
    assert health.torque.tolist() == [1.0] * 6 + [0.0] * 6
    assert health.silent == ("left_elbow_flex", "right_elbow_flex")
    assert health.alarms == {"left_gripper": ("overload",), "right_gripper": ("overload",)}
