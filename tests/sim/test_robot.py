"""Laws of the simulated arm: same seed, same world; what is recorded is what was commanded."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from demoloop.robot import Action, ActionError, Observation, run_episode
from demoloop.robot.arms.so101 import SO101
from demoloop.sim import TASKS, SimError, SimRobot, make_robot
from demoloop.sim.randomize import Disturbance, Randomization

BLIND = replace(SO101, cameras=())
EVERYTHING = Randomization(0.2, 0.3, 0.01, 0.05, 0.5, 0.3, 2)


def rollout(robot: SimRobot, num_steps: int = 12) -> tuple[str, np.ndarray]:
    """Runs the expert; returns a hash of all that was seen and sent, and the actions."""
    digest, actions = hashlib.sha256(), []

    def listen(observation: Observation, action: Action) -> None:
        digest.update(observation.proprioception.tobytes())
        digest.update(robot.data.qpos.tobytes())
        for image in observation.images.values():
            digest.update(image.tobytes())
        actions.append(action)

    run_episode(robot, robot.task.make_expert(robot, 0), num_steps, listen)
    robot.close()
    return digest.hexdigest(), np.array(actions)


@pytest.mark.parametrize("task", TASKS)
def test_same_seed_gives_same_pixels_and_physics_to_the_bit(task: str) -> None:
    first, _ = rollout(make_robot(task, [7]))
    again, _ = rollout(make_robot(task, [7]))
    assert first == again


def test_same_seed_is_the_same_in_a_world_that_was_used_before() -> None:
    robot = make_robot("pick_place", [3, 7], randomization=EVERYTHING, disturbance=Disturbance())
    robot.reset()
    used, _ = rollout(robot)
    fresh, _ = rollout(
        make_robot("pick_place", [7], randomization=EVERYTHING, disturbance=Disturbance())
    )
    assert used == fresh


def test_different_seeds_differ() -> None:
    hashes = {rollout(make_robot("pick_place", [seed]), 3)[0] for seed in range(4)}
    assert len(hashes) == 4


def test_no_randomisation_draws_nothing() -> None:
    # Or a seed would mean another world once somebody adds a range that is off by default.
    robot = make_robot("pick_place", [7], spec=BLIND)
    robot.reset()
    settled = np.array(robot.data.body("cube").xpos[:2])
    robot.task.place(robot.model, robot.data, np.random.default_rng(7))
    np.testing.assert_allclose(robot.data.joint("cube").qpos[:2], settled, atol=1e-3)


@pytest.mark.parametrize(
    ("ranges", "changed"),
    [
        (Randomization(colour=0.2), {"mat_rgba"}),
        (Randomization(light=0.3), {"light_diffuse", "light_dir"}),
        (Randomization(camera_m=0.01), {"cam_pos"}),
        (Randomization(camera_rad=0.05), {"cam_quat"}),
        (Randomization(friction=0.5), {"geom_friction"}),
        (Randomization(servo_gain=0.3), {"actuator_gainprm", "actuator_biasprm"}),
        (EVERYTHING, {"mat_rgba", "light_diffuse", "light_dir", "cam_pos", "cam_quat",
                      "geom_friction", "actuator_gainprm", "actuator_biasprm"}),
    ],
)  # fmt: skip
def test_randomisation_changes_what_it_says_and_nothing_else(
    ranges: Randomization, changed: set[str]
) -> None:
    plain = make_robot("pick_place", [7], spec=BLIND).model
    robot = make_robot("pick_place", [7], spec=BLIND, randomization=ranges)
    robot.reset()
    names = [name for name in dir(plain) if isinstance(getattr(plain, name), np.ndarray)]
    # Euler angles of zero may turn a quaternion by a rounding error.
    differ = {n for n in names if not np.allclose(getattr(plain, n), getattr(robot.model, n))}
    assert differ == changed


def test_things_lie_where_they_do_in_the_plain_world_whatever_they_look_like() -> None:
    plain = make_robot("pick_place", [7], spec=BLIND)
    other = make_robot("pick_place", [7], spec=BLIND, randomization=Randomization(colour=0.2))
    plain.reset()
    other.reset()
    np.testing.assert_array_equal(plain.data.qpos, other.data.qpos)


def test_delayed_commands_arrive_later_by_whole_steps() -> None:
    robot = make_robot(
        "pick_place", range(20), spec=BLIND, randomization=Randomization(delay_steps=2)
    )
    delays = set()
    for _ in range(20):
        robot.reset()
        target = np.array([0.5, -1, 1, 1, 0, 0.5], np.float32)
        pan = []
        for _ in range(4):
            robot.act(target)
            pan.append(robot.data.ctrl[0])
        delays.add(pan.index(0.5))
    assert delays == {0, 1, 2}


def test_disturbance_moves_the_arm_but_never_stands_in_the_action() -> None:
    class Still:
        def reset(self) -> None: ...

        def decide(self, observation: Observation) -> Action:
            return command

    command = np.array([0.1, -1.0, 0.9, 1.4, 0.0, 0.5], np.float32)
    where = []
    for disturbance in (None, Disturbance()):
        sent: list[Action] = []
        robot = make_robot("pick_place", [7], spec=BLIND, disturbance=disturbance)
        run_episode(robot, Still(), 60, lambda _, action, sent=sent: sent.append(action))
        np.testing.assert_array_equal(sent, np.tile(command, (60, 1)))
        where.append(robot.positions())
    assert np.abs(where[0] - where[1]).max() > 0.01  # rad


def test_disturbance_leaves_the_start_of_a_seed_as_it_is() -> None:
    calm = make_robot("pick_place", [7], spec=BLIND)
    disturbed = make_robot("pick_place", [7], spec=BLIND, disturbance=Disturbance())
    calm.reset()
    disturbed.reset()
    np.testing.assert_array_equal(calm.data.qpos, disturbed.data.qpos)


def test_observation_is_what_the_spec_says() -> None:
    robot = make_robot("pick_place", [7])
    robot.reset()
    seen = robot.observe()
    robot.close()
    assert seen.proprioception.shape == (len(SO101.proprioception_names),)
    assert {name: image.shape for name, image in seen.images.items()} == {
        camera.name: (camera.height, camera.width, 3) for camera in SO101.cameras
    }


def test_time_of_a_step_is_one_control_period() -> None:
    robot = make_robot("pick_place", [7], spec=BLIND)
    robot.reset()
    before = robot.observe().time
    robot.act(np.array([0, -1, 1, 1, 0, 0.5], np.float32))
    assert robot.observe().time - before == pytest.approx(1 / SO101.control_hz)


def test_acting_at_the_control_rate_is_the_default_to_the_bit() -> None:
    plain, _ = rollout(make_robot("pick_place", [7], randomization=EVERYTHING))
    said, _ = rollout(make_robot("pick_place", [7], randomization=EVERYTHING, acting_hz=25.0))
    assert plain == said


def test_acting_faster_than_physics_divides_loses_no_time() -> None:
    robot = make_robot("pick_place", [7], spec=BLIND, acting_hz=100.0)  # 2.5 steps of physics each
    robot.reset()
    times = []
    for _ in range(8):
        robot.act(np.array([0, -1, 1, 1, 0, 0.5], np.float32))
        times.append(robot.observe().time)
    assert times[3] == pytest.approx(1 / SO101.control_hz)
    assert times[7] == pytest.approx(2 / SO101.control_hz)
    assert np.diff(times).max() < 0.0125


def test_pictures_stay_for_a_control_period_with_their_own_time() -> None:
    robot = make_robot("pick_place", [7], acting_hz=100.0)
    robot.reset()
    image_times, pictures = [], []
    for _ in range(9):
        seen = robot.observe()
        image_times.append(seen.image_times["front"])
        pictures.append(seen.images["front"])
        robot.act(np.array([0.5, -1, 1, 1, 0, 0.5], np.float32))
    robot.close()
    assert image_times == pytest.approx([0.0] * 4 + [0.04] * 4 + [0.08])
    assert all(picture is pictures[0] for picture in pictures[:4])
    assert not np.array_equal(pictures[4], pictures[3])


@pytest.mark.parametrize("hz", [10.0, 300.0, float("nan")])
def test_acting_slower_than_the_cameras_or_faster_than_physics_is_refused(hz: float) -> None:
    with pytest.raises(SimError, match="acts 25 to 250 times per second"):
        make_robot("pick_place", [7], spec=BLIND, acting_hz=hz)


def test_arm_refuses_a_target_beyond_its_limits() -> None:
    robot = make_robot("pick_place", [7], spec=BLIND)
    robot.reset()
    with pytest.raises(ActionError, match="shoulder_pan"):
        robot.act(np.array([2.5, 0, 0, 0, 0, 0.5], np.float32))


def test_running_out_of_seeds_is_said_in_a_sentence() -> None:
    robot = make_robot("pick_place", [7], spec=BLIND)
    robot.reset()
    with pytest.raises(SimError, match="no seed left"):
        robot.reset()
