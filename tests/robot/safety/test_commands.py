"""Laws of commands: no joint quicker than promised, nothing through a wall, no burnt gripper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
from tests.robot.safety.simulated import REST, SPEC, Cell

from demoloop.robot import JointSpec, RobotError, RobotSpec
from demoloop.robot.arms import ARMS
from demoloop.robot.arms.so101 import GRIPPER_CLOSED, GRIPPER_OPEN, MJCF, SO101
from demoloop.robot.safety import Body, Limits, SafetyError
from demoloop.robot.safety.body import segment_distance

DOWN = np.array([0.0, 0.3, 0.3, 0.6, 0.0, 0.5])  # leans over the table


@pytest.fixture(scope="module")
def body() -> Body:
    return Body(MJCF, SO101)


@pytest.mark.parametrize("jitter_s", [0.0, 0.005, 0.02])
@pytest.mark.parametrize("at", range(6))
def test_a_step_of_any_joint_stays_within_its_speed(at: int, jitter_s: float) -> None:
    limits = Limits(jump_rad=9.0)
    cell = Cell(limits).running()
    cell.clock.worst_jitter_s = jitter_s
    cell.arm.speeds.clear()
    target = cell.here()
    target[at] += (1.5 if target[at] < 0 else -1.5) if at < 5 else -0.5
    clamp = min(SPEC.joints[at].max_velocity, limits.max_velocity)
    cell.drive(target, 1.5)
    assert np.abs(cell.arm.speeds)[:, at].max() <= 1.05 * clamp
    assert abs(cell.arm.q[at] - target[at]) < 0.1


def test_actions_that_come_and_go_anyhow_keep_speed_and_acceleration() -> None:
    limits = Limits(jump_rad=9.0, heartbeat_s=9.0, stall_s=9.0, following_s=9.0)
    cell = Cell(limits).running()
    cell.clock.worst_jitter_s = 0.03
    rng = np.random.default_rng(1)
    speed = np.zeros(6)
    for _ in range(1500):
        target = rng.uniform(SPEC.low, SPEC.high)
        before, start = cell.arm.goal.copy(), cell.clock.now()
        last = cell.robot._keeper.commands._limiter.time
        cell.robot.observe()
        cell.robot.act(target.astype(np.float32))
        dt = min(cell.robot._keeper.commands._limiter.time - last, 0.1)
        moved = (cell.arm.goal - before) / dt
        assert (np.abs(moved[:5]) <= 3.0 + 1e-4).all()
        assert (np.abs(moved - speed)[:5] <= 20.0 * dt + 1e-3).all()
        speed = moved
        cell.clock.sleep_until(start + 0.01)


@pytest.mark.parametrize("name", ARMS)
def test_frames_agree_with_mujoco_to_rounding(name: str) -> None:
    arm = ARMS[name]
    body = Body(arm.mjcf, arm.spec)
    model = mujoco.MjModel.from_xml_path(str(arm.mjcf))
    data = mujoco.MjData(model)
    rng = np.random.default_rng(2)
    for _ in range(50):
        action = rng.uniform(arm.spec.low, arm.spec.high)
        for joint, value in zip(arm.spec.joints, action, strict=True):
            if joint.unit == "opening":
                low, high = model.joint(joint.name).range
                value = low + value * (high - low)
            data.joint(joint.name).qpos[:] = value
        mujoco.mj_kinematics(model, data)
        rotations, origins = body.place(action)
        assert list(body._names) == [model.body(at).name for at in range(1, model.nbody)]
        np.testing.assert_allclose(origins, data.xpos[1:], atol=1e-9)
        np.testing.assert_allclose(rotations.reshape(-1, 9), data.xmat[1:], atol=1e-9)


def test_a_rod_by_its_ends_is_the_rod_by_its_middle(tmp_path: Path) -> None:
    def room(geom: str) -> float:
        path = tmp_path / "arm.xml"
        path.write_text(
            '<mujoco><compiler angle="radian"/><worldbody><body name="base"><body name="turn">'
            '<joint name="pan" axis="0 0 1" range="-3 3"/><body name="link">'
            '<joint name="tilt" axis="1 0 0" range="-3 3"/>'
            f"{geom}</body></body></body></worldbody></mujoco>"
        )
        joints = tuple(JointSpec(name, -3, 3, 1, 1) for name in ("pan", "tilt"))
        return Body(path, RobotSpec("two", joints, (), 25.0)).margins([0.2, 0.4])[0].room_m

    by_ends = room('<geom type="capsule" fromto="0 0 0.1 0 0.3 0.1" size="0.02"/>')
    by_middle = room(
        '<geom type="capsule" pos="0 0.15 0.1" euler="1.5707963267948966 0 0" size="0.02 0.15"/>'
    )
    assert by_ends == pytest.approx(by_middle, abs=0.01)  # boxes that are turned about their axis


def test_the_lowest_corner_is_where_mujoco_has_it(body: Body) -> None:
    model = mujoco.MjModel.from_xml_path(str(MJCF))
    data = mujoco.MjData(model)
    rng = np.random.default_rng(3)
    boxes = [
        at
        for at in range(model.ngeom)
        if model.geom_type[at] == mujoco.mjtGeom.mjGEOM_BOX and model.geom_bodyid[at] > 2
    ]
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    for _ in range(50):
        action = rng.uniform(SO101.low, SO101.high)
        data.qpos[:] = action
        data.qpos[5] = GRIPPER_CLOSED + action[5] * (GRIPPER_OPEN - GRIPPER_CLOSED)
        mujoco.mj_kinematics(model, data)
        lowest = min(
            (
                data.geom_xpos[at]
                + (signs * model.geom_size[at]) @ data.geom_xmat[at].reshape(3, 3).T
            )[:, 2].min()
            for at in boxes
        )
        height = body.margins(action)[0].room_m + Limits().table_m
        assert height <= lowest + 1e-12  # cylinders count too, as boxes
        assert height >= lowest - 0.03


def test_parts_that_mujoco_sees_in_each_other_are_never_called_free(body: Body) -> None:
    model = mujoco.MjModel.from_xml_path(str(MJCF))
    data = mujoco.MjData(model)
    far = {(body._rod_of[one], body._rod_of[other]) for one, other in body._far}
    pairs = [
        (one, other)
        for one in range(model.ngeom)
        for other in range(model.ngeom)
        if (model.geom_bodyid[one] - 1, model.geom_bodyid[other] - 1) in far
    ]
    rng = np.random.default_rng(4)
    num_hit = num_free = 0
    for _ in range(60):
        action = rng.uniform(SO101.low, SO101.high)
        data.qpos[:] = action
        data.qpos[5] = GRIPPER_CLOSED + action[5] * (GRIPPER_OPEN - GRIPPER_CLOSED)
        mujoco.mj_forward(model, data)
        apart = min(
            mujoco.mj_geomDistance(model, data, one, other, 0.2, None) for one, other in pairs
        )
        room = body.margins(action)[-1].room_m
        if apart < -0.01:
            num_hit += 1
            assert room < 0, f"MuJoCo: {apart:.3f} m"
        elif apart > 0.03:
            num_free += 1
            assert room > 0, f"MuJoCo: {apart:.3f} m"
    assert num_hit >= 3 and num_free >= 20


def test_segments_are_as_far_apart_as_their_nearest_points() -> None:
    rng = np.random.default_rng(5)
    one, other = rng.normal(size=(2, 200, 2, 3))
    other[:20, 1] = other[:20, 0]  # points
    other[20:40] = one[20:40] + 0.3  # parallel
    share = np.linspace(0, 1, 201)[:, None]
    for a, b, distance in zip(one, other, segment_distance(one, other), strict=True):
        near = np.linalg.norm(
            (a[0] + share * (a[1] - a[0]))[:, None] - (b[0] + share * (b[1] - b[0]))[None], axis=2
        ).min()
        assert distance <= near + 1e-12
        assert distance >= near - 0.03


def test_nothing_is_commanded_below_the_table(body: Body) -> None:
    cell = Cell(Limits(jump_rad=9.0), body=body).running()
    target = DOWN.copy()
    target[1] = 1.4  # through the table
    for _ in range(400):
        cell.tick(target)
        assert body.margins(cell.arm.goal)[0].room_m >= -1e-9
    assert cell.robot.state == "RUNNING"
    assert "the table's limit is -0.005 m" in cell.robot.blocked
    assert cell.sentences().count("so101: waits: ") == 1  # it does not tremble
    assert not cell.robot._keeper.commands.is_moving
    cell.drive(REST, 3.0)
    assert cell.robot.blocked == ""
    assert np.abs(cell.arm.q - REST).max() < 0.1


def test_the_workspace_is_not_left(body: Body) -> None:
    limits = Limits(jump_rad=9.0, workspace_m=((-0.3, -0.1, -0.1), (0.6, 0.1, 0.6)))
    body = Body(MJCF, SO101, limits)
    cell = Cell(limits, body=body).running()
    target = REST.copy()
    target[0] = 1.5
    for _ in range(300):
        cell.tick(target)
        assert min(margin.room_m for margin in body.margins(cell.arm.goal)) >= -1e-9
    assert "the workspace goes from -0.100 to 0.100 m" in cell.robot.blocked


def test_the_arm_is_not_commanded_into_itself(body: Body) -> None:
    rng = np.random.default_rng(6)
    poses = (rng.uniform(SO101.low, SO101.high) for _ in range(1000))
    target = next(pose for pose in poses if body.margins(pose)[-1].room_m < -0.02 and pose[5] > 0.2)
    cell = Cell(Limits(jump_rad=9.0), body=body).running()
    for _ in range(400):
        cell.tick(target)
        assert body.margins(cell.arm.goal)[-1].room_m >= -1e-9
    assert cell.robot.blocked


def test_going_through_something_is_refused_with_its_name(body: Body) -> None:
    cell = Cell(body=body).armed()
    target = DOWN.copy()
    target[1] = 1.4
    with pytest.raises(SafetyError, match=r"so101 cannot go there: .* the table's limit"):
        cell.robot.go(target.astype(np.float32))
    assert cell.robot.state == "ARMED"


def test_an_arm_that_lies_too_low_may_move_up_and_not_down() -> None:
    lowest = Body(MJCF, SO101).margins(DOWN)[0].room_m + Limits().table_m
    limits = Limits(jump_rad=9.0, table_m=lowest + 0.01)
    body = Body(MJCF, SO101, limits)
    cell = Cell(limits, body=body)
    cell.arm.q = DOWN.copy()
    cell.running()
    up, down = cell.arm.goal.copy(), cell.arm.goal.copy()
    up[3] -= 0.3
    down[3] += 0.3
    start = body.margins(cell.arm.goal)[0].room_m
    assert start < 0
    cell.drive(down, 0.5)
    assert body.margins(cell.arm.goal)[0].room_m >= start - 1e-6
    cell.drive(up, 0.3)
    assert body.margins(cell.arm.goal)[0].room_m > start + 0.003


def test_an_mjcf_of_another_arm_is_refused() -> None:
    joints = (replace(SO101.joints[0], name="waist"), *SO101.joints[1:])
    with pytest.raises(RobotError, match=r"so101\.xml has no joint 'waist'; it has shoulder_pan"):
        Body(MJCF, replace(SO101, joints=joints))


def test_a_gripper_that_meets_something_closes_no_further() -> None:
    cell = Cell().running()
    cell.arm.grips_at = 0.3
    target = cell.here()
    target[5] = 0.0
    cell.drive(target, 1.0)
    assert cell.robot.state == "RUNNING"
    assert cell.arm.goal[5] == pytest.approx(0.3 - Limits().gripper_squeeze, abs=0.002)
    load = abs(float(cell.arm.health().load[5]))
    cell.drive(target, 3.0)
    assert 0.1 < load < 0.6
    cell.arm.grips_at = None  # it slips out
    cell.drive(target, 1.0)
    assert cell.arm.q[5] < 0.02
    target[5] = 0.9
    cell.drive(target, 1.5)
    assert cell.arm.q[5] > 0.85
