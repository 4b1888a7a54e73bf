"""Laws of every arm there is; a new one is tested by standing in `ARMS`."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from demoloop.robot import RobotError, check_action
from demoloop.robot.arms import ARMS, ArmModel, find_arm

# Where the tool centre is, from published numbers alone: origin of the first pitch joint [m], then
# for each pitch joint the step (ahead, up) [m] to what comes next. The SO-100's and the Koch's are
# those of MuJoCo Menagerie, the ViperX's those of Trossen's URDF (whose kinematics have the tool
# at 0.5365, 0, 0.4271), the SO-101's those of its maker.
Chain = tuple[tuple[float, float], dict[str, tuple[float, float]]]
CHAINS: dict[str, Chain] = {
    "so101": (
        (0.0692, 0.1166),
        {
            "shoulder_lift": (0.0280, 0.1126),
            "elbow_flex": (0.1349, 0.0052),
            "wrist_flex": (0.1593, -0.0079),
        },
    ),
    "so100": (
        (0.0758, 0.1190),
        {
            "shoulder_lift": (0.0280, 0.1126),
            "elbow_flex": (0.1349, 0.0052),
            "wrist_flex": (0.1543, -0.0089),
        },
    ),
    "koch": (
        (-0.0120, 0.0563),
        {
            "shoulder_lift": (0.0148, 0.1083),
            "elbow_flex": (0.1005, 0.0027),
            "wrist_flex": (0.1098, 0.0005),
        },
    ),
    "viperx_300s": (
        (0.0, 0.12705),
        {"shoulder": (0.05955, 0.3), "elbow": (0.3, 0.0), "wrist_angle": (0.176944, 0.0)},
    ),
}
PITCHES = (0.3, -0.5, 0.7)  # rad, of those three joints
MASS_KG = {"so101": 0.632, "so100": 0.76, "koch": 0.31, "viperx_300s": 3.6}
REACH_M = {"so101": 0.41, "so100": 0.41, "koch": 0.325, "viperx_300s": 0.78}

Vector = NDArray[np.float64]


@pytest.fixture(params=ARMS)
def arm(request: pytest.FixtureRequest) -> ArmModel:
    return ARMS[request.param]


def with_table(arm: ArmModel) -> mujoco.MjModel:
    """The arm on a table, all of whose parts can meet, but for neighbours that share a joint."""
    spec = mujoco.MjSpec.from_file(str(arm.mjcf))
    for geom in spec.geoms:
        geom.conaffinity = geom.contype
    spec.worldbody.add_geom(
        name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1], contype=1, conaffinity=1
    )
    return spec.compile()


def placed(arm: ArmModel, model: mujoco.MjModel, action: tuple[float, ...]) -> mujoco.MjData:
    """The arm where `action` says, at rest."""
    data = mujoco.MjData(model)
    for index, (joint, value) in enumerate(zip(arm.spec.joints, action, strict=True)):
        low, high = model.joint(joint.name).range
        data.qpos[index] = low + value * (high - low) if joint.unit == "opening" else value
    data.ctrl[:] = data.qpos[: model.nu]
    data.qpos[model.nu :] = data.qpos[model.nu - 1]  # the second finger goes as the first does
    mujoco.mj_forward(model, data)
    return data


def touching(model: mujoco.MjModel, data: mujoco.MjData) -> set[frozenset[str]]:
    """Bodies that touch, but for the base on its table."""
    pairs = [
        frozenset(model.body(int(model.geom_bodyid[geom])).name for geom in contact.geom)
        for contact in data.contact
    ]
    return {pair for pair in pairs if pair != {"world", "base"}}


def test_every_arm_stands_under_its_own_name() -> None:
    assert {name: arm.spec.name for name, arm in ARMS.items()} == {name: name for name in ARMS}


def test_unknown_arm_is_answered_with_those_there_are() -> None:
    with pytest.raises(RobotError, match="no arm 'so102'; there are so101, so101_leader, so100"):
        find_arm("so102")


def test_no_two_arms_have_one_fingerprint() -> None:
    assert len({arm.spec.fingerprint() for arm in ARMS.values()}) == len(ARMS)


def test_joints_have_the_same_names_and_order_everywhere(arm: ArmModel) -> None:
    model = mujoco.MjModel.from_xml_path(str(arm.mjcf))
    names = arm.spec.joint_names
    assert tuple(model.actuator(i).name for i in range(model.nu)) == names
    assert tuple(model.joint(i).name for i in range(model.njnt))[: len(names)] == names
    assert tuple(joint.name for joint in arm.servos.joints) == names
    assert tuple(guide.joint for guide in arm.guides) == names


def test_limits_are_inside_the_mjcfs_ranges(arm: ArmModel) -> None:
    model = mujoco.MjModel.from_xml_path(str(arm.mjcf))
    for joint in arm.spec.joints:
        if joint.unit == "opening":
            assert (joint.low, joint.high) == (0, 1)
        else:
            low, high = model.joint(joint.name).range
            assert low - 1e-6 <= joint.low < joint.high <= high + 1e-6, joint.name


def test_stops_are_no_nearer_than_the_limits(arm: ArmModel) -> None:
    for joint in arm.spec.joints:
        low, high = arm.stops.get(joint.name, (-np.inf, np.inf))
        assert low <= joint.low < joint.high <= high, joint.name


@pytest.mark.parametrize("where", ["home", "rest"])
def test_pose_is_within_the_limits(arm: ArmModel, where: str) -> None:
    pose = np.array(getattr(arm, where))
    np.testing.assert_allclose(check_action(arm.spec, pose), pose, atol=1e-6)


@pytest.mark.parametrize("where", ["home", "rest"])
def test_in_its_pose_no_part_is_inside_another(arm: ArmModel, where: str) -> None:
    model = with_table(arm)
    assert touching(model, placed(arm, model, getattr(arm, where))) == set()


def test_a_pose_inside_the_table_or_itself_would_be_seen(arm: ArmModel) -> None:
    model = with_table(arm)
    forward = [0.0] * arm.spec.action_dim
    forward[1] = arm.spec.joints[1].high
    forward[2] = 0.5
    hand = model.body(int(model.site("tcp").bodyid[0])).name
    assert frozenset(("world", hand)) in touching(model, placed(arm, model, tuple(forward)))
    inward = list(arm.rest)
    _, links = CHAINS[arm.spec.name.removesuffix("_leader")]
    wrist = arm.spec.joint_names.index(list(links)[-1])
    inward[wrist] = arm.spec.joints[wrist].high
    assert touching(model, placed(arm, model, tuple(inward)))


def test_arm_weighs_about_what_its_maker_says(arm: ArmModel) -> None:
    model = mujoco.MjModel.from_xml_path(str(arm.mjcf))
    expected = MASS_KG[arm.spec.name.removesuffix("_leader")]
    # A handle weighs something else than a gripper, and a leader's shoulder has smaller servos.
    assert model.body_subtreemass[0] == pytest.approx(expected, rel=0.12)


def test_arm_reaches_about_as_far_as_its_maker_says(arm: ArmModel) -> None:
    _, links = CHAINS[arm.spec.name.removesuffix("_leader")]
    reach = sum(float(np.hypot(*link)) for link in links.values())
    assert reach == pytest.approx(REACH_M[arm.spec.name.removesuffix("_leader")], abs=0.012)


def test_tool_is_where_the_published_lengths_put_it(arm: ArmModel) -> None:
    (ahead, up), links = CHAINS[arm.spec.name.removesuffix("_leader")]
    model = mujoco.MjModel.from_xml_path(str(arm.mjcf))
    data = mujoco.MjData(model)
    angle = 0.0
    for pitch, (name, (length, rise)) in zip(PITCHES, links.items(), strict=False):
        data.joint(name).qpos = pitch
        angle += pitch  # about the axis to the left: what is ahead goes down
        ahead += length * np.cos(angle) + rise * np.sin(angle)
        up += -length * np.sin(angle) + rise * np.cos(angle)
    mujoco.mj_forward(model, data)
    tool = data.site("tcp").xpos
    # Tenths of a millimetre in the tables; the Koch's tool is 7 mm beside the middle.
    np.testing.assert_allclose((tool[0], tool[2]), (ahead, up), atol=3e-4)
    assert abs(tool[1]) < 8e-3


def test_positive_pitch_lowers_what_is_ahead(arm: ArmModel) -> None:
    model = mujoco.MjModel.from_xml_path(str(arm.mjcf))
    heights = []
    for lift in (0.0, 0.4):
        data = mujoco.MjData(model)
        data.qpos[1] = lift
        mujoco.mj_forward(model, data)
        heights.append(data.site("tcp").xpos[2])
    assert heights[1] < heights[0]


def test_ticks_survive_the_way_to_joints_and_back(arm: ArmModel) -> None:
    for joint, servo in zip(arm.spec.joints, arm.servos.joints, strict=True):
        ends = sorted(servo.scale.to_tick(value) for value in (joint.low, joint.high))
        for tick in range(ends[0], ends[1] + 1):
            assert servo.scale.to_tick(servo.scale.to_joint(tick)) == tick, servo.name


def test_limits_are_within_one_turn_of_the_servo(arm: ArmModel) -> None:
    for joint, servo in zip(arm.spec.joints, arm.servos.joints, strict=True):
        for value in (joint.low, joint.high):
            assert 0 <= servo.scale.to_tick(value) < servo.ticks_per_turn, servo.name


def test_gripper_turns_as_far_by_ticks_as_by_the_mjcf(arm: ArmModel) -> None:
    model = mujoco.MjModel.from_xml_path(str(arm.mjcf))
    low, high = model.joint("gripper").range
    # The ViperX's crank turns 1.74 rad for its 36 mm: horn of 22 mm, rod of 36 mm.
    turn = 1.74 if arm.spec.name == "viperx_300s" else high - low
    gripper = arm.servos.joints[-1]
    assert gripper.closed_tick is not None
    assert gripper.open_tick is not None
    assert abs(gripper.open_tick - gripper.closed_tick) == pytest.approx(
        turn * gripper.ticks_per_turn / (2 * np.pi), abs=1
    )


def test_no_two_servos_have_one_id(arm: ArmModel) -> None:
    ids = [*arm.servos.ids, *(it.shadow_id for it in arm.servos.joints if it.shadow_id)]
    assert len(set(ids)) == len(ids)
    assert all(0 < number < 253 for number in ids)


def test_places_of_a_joint_are_at_least_an_eighth_of_a_turn_apart(arm: ArmModel) -> None:
    for guide in arm.guides[:-1]:
        assert abs(guide.second.position - guide.first.position) > np.pi / 4, guide.joint
    assert (arm.guides[-1].first.position, arm.guides[-1].second.position) == (0, 1)


def test_arm_holds_its_home_against_gravity(arm: ArmModel) -> None:
    model = with_table(arm)
    data = placed(arm, model, arm.home)
    mujoco.mj_step(model, data, nstep=round(2.0 / model.opt.timestep))
    joints = np.array(data.qpos[: model.nu])
    # A proportional servo droops; the Koch leader's, made to be moved by hand, droop the most.
    allowed = 0.6 if arm.spec.name == "koch_leader" else 0.12
    np.testing.assert_allclose(joints, placed(arm, model, arm.home).qpos[: model.nu], atol=allowed)
    assert np.abs(data.qvel).max() < 0.02


def test_arm_does_not_fall_when_torque_goes_off_at_rest(arm: ArmModel) -> None:
    model = with_table(arm)
    data = placed(arm, model, arm.rest)
    before = np.array(data.qpos)
    model.actuator_gainprm[:] = model.actuator_biasprm[:] = 0
    mujoco.mj_step(model, data, nstep=round(3.0 / model.opt.timestep))
    gripper = model.nu - 1  # a jaw may fall open or shut
    moved = np.abs(np.array(data.qpos) - before)
    assert np.delete(moved, range(gripper, model.nq)).max() < 0.12


# Published by their owners: travel [ticks] of shoulder_pan, shoulder_lift, elbow_flex, wrist_flex.
PUBLISHED_SO101 = {
    "follower, UniRobot": (2731, 2389, 2209, 2367),
    "follower, listener": (2715, 2358, 2180, 2337),
    "follower, console": (2689, 2386, 2204, 2336),
    "leader, UniRobot": (2724, 2391, 2205, 2345),
}


@pytest.mark.parametrize("owner", PUBLISHED_SO101)
def test_real_so101_stop_within_4_degrees_of_where_ours_does(owner: str) -> None:
    stops = ARMS["so101"].stops
    ours = [np.degrees(high - low) for low, high in list(stops.values())[:4]]
    theirs = np.array(PUBLISHED_SO101[owner]) * 360 / 4096
    np.testing.assert_allclose(theirs, ours, atol=4)
