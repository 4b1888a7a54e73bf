"""The open-loop error is what it says, and is refused where it would mean nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from demoloop.datasets import Dataset, DatasetWriter, Episode, open_dataset
from demoloop.policies import PolicyError
from demoloop.policies.curves import plot_open_loop
from demoloop.policies.open_loop import POLICY, REPEAT, STAY, check_recording, open_loop
from demoloop.robot import CameraSpec, JointSpec, Observation, RobotSpec

HORIZON = 4
LENGTHS = (6, 9)
SPEC = RobotSpec(
    "two_joints",
    (JointSpec("pan", -1.0, 1.0, 5.0, 50.0), JointSpec("gripper", 0.0, 1.0, 5.0, 50.0, "opening")),
    (CameraSpec("front", 16, 16),),
    10.0,
)
RANGES = np.array([2.0, 1.0])
Predict = Callable[[Observation], np.ndarray]


def actions(episode: int) -> np.ndarray:
    rng = np.random.default_rng(episode)
    return rng.uniform(0.0, 1.0, (LENGTHS[episode], 2)).astype(np.float32)


def positions(episode: int) -> np.ndarray:
    rng = np.random.default_rng(100 + episode)
    return rng.uniform(0.0, 1.0, (LENGTHS[episode], 2)).astype(np.float32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Pictures are as bright as the step is late, so that a policy can tell the step."""
    root = tmp_path_factory.mktemp("data") / "d"
    with DatasetWriter(root, SPEC) as writer:
        for e, length in enumerate(LENGTHS):
            time = np.arange(length) / SPEC.control_hz
            level = (20 * np.arange(length)).astype(np.uint8)
            speeds = np.full((length, 2), 7.0, np.float32)
            writer.add(
                Episode(
                    task="wave",
                    time=time,
                    proprioception=np.concatenate([positions(e), speeds], axis=1),
                    actions=actions(e),
                    images={"front": np.full((length, 16, 16, 3), level[:, None, None, None])},
                    image_times={"front": time},
                    success=None,
                    seed=None,
                )
            )
    return open_dataset(root)


def perfect(episode: int) -> Predict:
    """Knows what comes, from the picture alone, and says nonsense of what is after the end."""

    def predict(observation: Observation) -> np.ndarray:
        step = round(float(observation.images["front"].mean()) / 20)
        future = actions(episode)[step : step + HORIZON]
        return np.concatenate([future, np.full((HORIZON - len(future), 2), 1e6, np.float32)])

    return predict


def test_who_knows_the_future_has_no_error_and_what_is_past_the_end_does_not_count(
    dataset: Dataset,
) -> None:
    result = open_loop(perfect(1), SPEC, HORIZON, dataset, [1])
    assert result.share(POLICY) == 0
    assert result.count.tolist() == [9, 8, 7, 6]


def test_an_offset_is_its_own_error_at_every_step_ahead(dataset: Dataset) -> None:
    offset = np.array([0.25, -0.5], np.float32)
    guess = perfect(0)
    result = open_loop(lambda seen: guess(seen) + offset, SPEC, HORIZON, dataset, [0])
    np.testing.assert_allclose(result.by_joint(POLICY), np.abs(offset), rtol=1e-6)
    share = (np.abs(offset) / RANGES).mean()
    np.testing.assert_allclose(result.by_step(POLICY), share, rtol=1e-6)
    assert result.share(POLICY) == pytest.approx(share)
    assert result.worst_joints() == [1, 0]


def test_a_policy_that_stays_is_exactly_as_good_as_staying(dataset: Dataset) -> None:
    def stay(seen: Observation) -> np.ndarray:
        return np.tile(seen.proprioception[:2], (HORIZON, 1))

    result = open_loop(stay, SPEC, HORIZON, dataset, [0, 1])
    np.testing.assert_array_equal(result.totals[POLICY], result.totals[STAY])


def test_repeating_knows_the_last_command_and_at_the_first_step_stays(dataset: Dataset) -> None:
    result = open_loop(perfect(0), SPEC, HORIZON, dataset, [0])
    before = np.concatenate([positions(0)[:1], actions(0)[:-1]])
    expected = np.abs(before - actions(0)).sum(0)
    np.testing.assert_allclose(result.totals[REPEAT][0], expected, rtol=1e-5)  # float32


def test_the_policy_sees_positions_before_velocities_and_the_time_of_the_step(
    dataset: Dataset,
) -> None:
    seen: list[Observation] = []

    def look(observation: Observation) -> np.ndarray:
        seen.append(observation)
        return np.zeros((HORIZON, 2), np.float32)

    open_loop(look, SPEC, HORIZON, dataset, [1])
    np.testing.assert_array_equal([s.proprioception[:2] for s in seen], positions(1))
    assert all((s.proprioception[2:] == 7).all() for s in seen)
    np.testing.assert_allclose([s.time for s in seen], np.arange(9) / 10)


def test_the_report_is_json_and_the_picture_a_png(dataset: Dataset, tmp_path: Path) -> None:
    result = open_loop(perfect(0), SPEC, HORIZON, dataset, [0])
    report = json.loads(json.dumps(result.to_json()))
    assert report["errors"][POLICY]["joints"]["gripper"]["unit"] == "opening"
    assert len(report["errors"][STAY]["share_of_range_by_step_ahead"]) == HORIZON
    plot_open_loop(result, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (replace(SPEC, joints=SPEC.joints[:1]), "moves 1 (pan), .* records 2 (pan, gripper)"),
        (replace(SPEC, cameras=(CameraSpec("top", 16, 16),)), "through 1 (top 16x16)"),
        (replace(SPEC, cameras=(CameraSpec("front", 16, 32),)), "front 32x16) px, .* 16x16) px"),
        (replace(SPEC, control_hz=25.0), "acts at 25 Hz, .* recorded at 10 Hz"),
    ],
)
def test_a_recording_of_another_robot_is_refused_in_one_sentence(
    dataset: Dataset, spec: RobotSpec, words: str
) -> None:
    pattern = words.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(PolicyError, match=pattern) as caught:
        check_recording(spec, spec.proprioception_names[:1], dataset, "the policy x.onnx")
    assert "\n" not in str(caught.value)


def test_a_recording_without_a_reading_the_policy_needs_is_refused(dataset: Dataset) -> None:
    with pytest.raises(PolicyError, match=r"needs the reading pan\.torque"):
        check_recording(SPEC, ("pan.torque",), dataset, "the policy x.onnx")


def test_other_joint_limits_are_no_obstacle(dataset: Dataset) -> None:
    wider = tuple(replace(joint, low=joint.low - 1) for joint in SPEC.joints)
    check_recording(replace(SPEC, joints=wider), SPEC.proprioception_names, dataset, "x")
