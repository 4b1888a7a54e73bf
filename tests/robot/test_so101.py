"""Laws of the SO-101's MJCF: the measured table of its maker's model, typed again by hand."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from demoloop.robot.arms.so101 import GRIPPER_CLOSED, GRIPPER_OPEN, MJCF, SO101

# joint: anchor [m] and axis in the world at q = 0, range [deg]; body: mass [kg]
TABLE = {
    "shoulder_pan": ((0.0388, 0, 0.0624), (0, 0, -1), (-110, 110), "shoulder", 0.100),
    "shoulder_lift": ((0.0692, -0.0183, 0.1166), (0, 1, 0), (-100, 100), "upper_arm", 0.103),
    "elbow_flex": ((0.0972, -0.0183, 0.2292), (0, 1, 0), (-96.8, 96.8), "lower_arm", 0.104),
    "wrist_flex": ((0.2321, -0.0183, 0.2344), (0, 1, 0), (-95, 95), "wrist", 0.079),
    "wrist_roll": ((0.2932, 0, 0.2344), (-1, 0, 0), (-157.2, 162.8), "gripper", 0.087),
    "gripper": ((0.3166, 0.0176, 0.2555), (0, -0.9988, -0.0487), (-10, 100), "jaw", 0.012),
}
LAST_DIGIT = 1.01e-4  # m: the table gives tenths of a millimetre, sums of them may be one off


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(str(MJCF))


@pytest.fixture(scope="module")
def at_zero(model: mujoco.MjModel) -> mujoco.MjData:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return data


@pytest.mark.parametrize("joint", TABLE)
def test_joint_is_anchored_where_the_table_says(at_zero: mujoco.MjData, joint: str) -> None:
    np.testing.assert_allclose(at_zero.joint(joint).xanchor, TABLE[joint][0], atol=LAST_DIGIT)


@pytest.mark.parametrize("joint", TABLE)
def test_joint_turns_about_the_axis_of_the_table(at_zero: mujoco.MjData, joint: str) -> None:
    np.testing.assert_allclose(at_zero.joint(joint).xaxis, TABLE[joint][1], atol=1e-4)


@pytest.mark.parametrize("joint", TABLE)
def test_joint_range_is_that_of_the_table(model: mujoco.MjModel, joint: str) -> None:
    np.testing.assert_allclose(np.degrees(model.joint(joint).range), TABLE[joint][2], atol=0.05)


@pytest.mark.parametrize("joint", TABLE)
def test_link_weighs_what_the_table_says(model: mujoco.MjModel, joint: str) -> None:
    _, _, _, body, mass = TABLE[joint]
    # The fingers carry pads of 3 g that the table's arm has not: the jaw is heavier by one, the
    # gripper lighter, and the whole arm is right.
    assert model.body(body).mass[0] == pytest.approx(mass, abs=3.5e-3)


def test_whole_arm_weighs_632_g(model: mujoco.MjModel) -> None:
    assert model.body_subtreemass[0] == pytest.approx(0.632, abs=5e-4)


def test_tool_centre_is_where_the_table_says(at_zero: mujoco.MjData) -> None:
    np.testing.assert_allclose(at_zero.site("tcp").xpos, (0.3914, 0, 0.2265), atol=LAST_DIGIT)


def test_links_are_as_long_as_measured(at_zero: mujoco.MjData) -> None:
    lift, elbow, wrist = (
        at_zero.joint(name).xanchor for name in ("shoulder_lift", "elbow_flex", "wrist_flex")
    )
    lengths = [np.linalg.norm(elbow - lift), np.linalg.norm(wrist - elbow)]
    np.testing.assert_allclose(lengths, [0.116, 0.135], atol=5e-4)


def test_quarter_turn_of_pan_points_the_arm_to_the_right(model: mujoco.MjModel) -> None:
    # Pan turns about -z: 90 degrees bring what is in front to the right, towards -y.
    data = mujoco.MjData(model)
    data.joint("shoulder_pan").qpos = np.pi / 2
    mujoco.mj_forward(model, data)
    ahead = 0.3914 - 0.0388
    np.testing.assert_allclose(data.site("tcp").xpos, (0.0388, -ahead, 0.2265), atol=2e-4)


def test_servos_are_those_bam_identified(model: mujoco.MjModel) -> None:
    np.testing.assert_allclose(model.actuator_gainprm[:, 0], 17.8)  # N m / rad
    np.testing.assert_allclose(model.actuator_biasprm[:, 1], -17.8)
    np.testing.assert_allclose(model.dof_damping, 0.608)  # N m s / rad
    np.testing.assert_allclose(model.dof_frictionloss, 0.052)  # N m
    np.testing.assert_allclose(model.dof_armature, 0.028)  # kg m^2
    np.testing.assert_allclose(np.abs(model.actuator_forcerange), 1.9)  # N m


def test_servo_gives_way_under_a_load_as_the_real_one_does(model: mujoco.MjModel) -> None:
    # SO-ARM100 issue 134 measured 1.8 to 2.6 deg at 1.04 to 1.47 N m and 12 V; a gain scales with
    # the voltage, so 7.4 V give 12 / 7.4 as much. A gain of 998 would give 0.1 deg.
    droop = np.degrees(1.04 / model.actuator_gainprm[1, 0]) * 7.4 / 12
    assert 1.8 < droop < 2.6


def test_spec_and_mjcf_agree_on_order_and_limits(model: mujoco.MjModel) -> None:
    assert tuple(model.joint(i).name for i in range(model.njnt)) == SO101.joint_names
    assert tuple(model.actuator(i).name for i in range(model.nu)) == SO101.joint_names
    np.testing.assert_allclose(model.jnt_range[:5, 0], SO101.low[:5], atol=1e-6)
    np.testing.assert_allclose(model.jnt_range[:5, 1], SO101.high[:5], atol=1e-6)
    np.testing.assert_allclose(model.jnt_range[5], (GRIPPER_CLOSED, GRIPPER_OPEN), atol=1e-6)
