"""A policy that is told by marks listens to them, in training, in torch and in its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from demoloop.datasets import Batch, DatasetWriter, Episode, open_dataset
from demoloop.deploy import PolicyError as FileError
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.policies import PolicyError, PolicyShape
from demoloop.policies.augment import AugmentConfig, augment_goal
from demoloop.policies.blocks import glimpse
from demoloop.policies.checkpoint import load_policy
from demoloop.policies.export import export
from demoloop.policies.open_loop import check_recording, open_loop
from demoloop.policies.registry import POLICIES, make_policy
from demoloop.policies.train import train
from demoloop.policies.train_config import TrainConfig
from demoloop.robot import Marks, Observation, RobotSpec
from demoloop.robot.card import CardError, PolicyCard, verify_seal

MARKS = Marks(("object", "place"), "front")
Sizes = dict[str, dict[str, int | float]]


@pytest.fixture(scope="session")
def pointed(
    tmp_path_factory: pytest.TempPathFactory, spec: RobotSpec, make_wave: Callable[..., Episode]
) -> Path:
    """Three episodes that differ in where is pointed."""
    folder = tmp_path_factory.mktemp("pointed") / "data"
    rng = np.random.default_rng(0)
    with DatasetWriter(folder, spec, marks=MARKS) as writer:
        for seed in range(3):
            writer.add(replace(make_wave(seed), goal=rng.random((2, 2), np.float32)))
    return folder


@pytest.fixture(scope="session", params=POLICIES)
def exported(
    request: pytest.FixtureRequest,
    pointed: Path,
    sizes: Sizes,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path]:
    """A run folder and the file made from it, of each policy."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("marks") / request.param
    config = TrainConfig(
        pointed, out, policy=request.param, sizes=sizes.get(request.param, {}), steps=4,
        batch_size=8, horizon=4, image_size=(16, 24), warmup_steps=1, learning_rate=1e-2,
    )  # fmt: skip
    run = train(config, progress=False)
    export(run, out / "policy.onnx")
    return run, out / "policy.onnx"


def look(spec: RobotSpec, goal: np.ndarray | None) -> Observation:
    rng = np.random.default_rng(1)
    images = {c.name: rng.integers(0, 256, (c.height, c.width, 3), np.uint8) for c in spec.cameras}
    return Observation(0.0, np.full(6, 0.3, np.float32), images, dict.fromkeys(images, 0.0), goal)


def test_file_listens_to_each_mark_and_answers_as_torch_does(
    exported: tuple[Path, Path], spec: RobotSpec
) -> None:
    run, path = exported
    policy, _ = load_policy(run)
    file = OnnxPolicy.load(path)
    assert file.card.marks == MARKS
    answers = []
    for goal in ([[0.2, 0.3], [0.8, 0.9]], [[0.6, 0.3], [0.8, 0.9]], [[0.2, 0.3], [0.8, 0.1]]):
        seen = look(spec, np.array(goal, np.float32))
        images = {name: torch.from_numpy(image[None]) for name, image in seen.images.items()}
        with torch.no_grad():
            expected = policy.predict(
                images, torch.from_numpy(seen.proprioception[None]), torch.tensor([goal])
            )[0].numpy()
        answers.append(file.predict(seen).actions)
        np.testing.assert_allclose(answers[-1], expected.clip(spec.low, spec.high), atol=2e-5)
    assert np.abs(answers[0] - answers[1]).max() > 1e-5
    assert np.abs(answers[0] - answers[2]).max() > 1e-5


def test_file_without_marks_refuses_in_one_sentence(
    exported: tuple[Path, Path], spec: RobotSpec
) -> None:
    file = OnnxPolicy.load(exported[1])
    with pytest.raises(FileError, match="pointed at, and nobody has pointed: mark object and"):
        file.predict(look(spec, None))
    with pytest.raises(FileError, match=r"expected \(2, 2\) between 0 and 1"):
        file.predict(look(spec, np.full((2, 2), 1.2, np.float32)))


def test_file_that_is_told_nothing_ignores_marks(
    run_of: Callable[[str], Path], tmp_path: Path, spec: RobotSpec
) -> None:
    export(run_of("chunk"), tmp_path / "plain.onnx")
    file = OnnxPolicy.load(tmp_path / "plain.onnx")
    assert file.card.marks is None
    told = file.predict(look(spec, np.zeros((2, 2), np.float32))).actions
    np.testing.assert_array_equal(told, file.predict(look(spec, None)).actions)


def test_card_from_before_there_were_marks_has_none(exported: tuple[Path, Path]) -> None:
    card = json.loads(verify_seal(exported[1].read_bytes()).to_json())
    del card["marks"]
    assert PolicyCard.from_json(json.dumps(card)).marks is None


@pytest.mark.parametrize(
    ("marks", "sentence"),
    [
        ({"names": ["object"], "camera": "ceiling"}, "picture of 'ceiling'; tiny has front, wrist"),
        ({"names": ["object", "object"], "camera": "front"}, "different names"),
    ],
)
def test_card_with_marks_that_cannot_be_is_refused(
    exported: tuple[Path, Path], marks: dict[str, Any], sentence: str
) -> None:
    card = {**json.loads(verify_seal(exported[1].read_bytes()).to_json()), "marks": marks}
    with pytest.raises(CardError, match=sentence):
        PolicyCard.from_json(json.dumps(card))


def test_open_loop_tells_the_policy_what_was_pointed_at(
    pointed: Path, spec: RobotSpec, data: Path
) -> None:
    heard = []

    def predict(observation: Observation) -> np.ndarray:
        heard.append(observation.goal)
        return np.zeros((4, 3), np.float32)

    dataset = open_dataset(pointed)
    open_loop(predict, spec, 4, dataset, [1])
    np.testing.assert_array_equal(heard, [dataset.episode(1).goal] * 20)
    needed = spec.proprioception_names
    check_recording(spec, needed, dataset, "the policy", MARKS)
    with pytest.raises(PolicyError, match=r"is told object, place, in .* people point at nothing"):
        check_recording(spec, needed, open_dataset(data), "the policy", MARKS)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_weight_of_a_policy_with_marks_learns(
    policy: str, shape: PolicyShape, sizes: Sizes, make_batch: Callable[..., Batch]
) -> None:
    torch.manual_seed(0)
    network = make_policy(policy, replace(shape, marks=MARKS), sizes.get(policy))
    batch = make_batch(goal=torch.rand(4, 2, 2))
    pixels = {name: network.resize(image) for name, image in batch.images.items()}
    network(pixels, batch.proprioception, batch.actions, batch.is_pad, batch.goal).backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_glimpse_is_the_picture_around_the_mark() -> None:
    pixels = torch.rand(2, 3, 20, 30)
    # The centre of a pixel: row 9, column 4 of the first, row 12, column 20 of the second.
    where = torch.tensor([[4.5 / 30, 9.5 / 20], [20.5 / 30, 12.5 / 20]])
    cut = glimpse(pixels, where, 5)
    torch.testing.assert_close(cut[0], pixels[0, :, 7:12, 2:7])
    torch.testing.assert_close(cut[1], pixels[1, :, 10:15, 18:23])


def test_glimpse_moves_by_parts_of_a_pixel_and_is_empty_outside() -> None:
    pixels = torch.rand(1, 3, 20, 30)
    cut = glimpse(pixels, torch.tensor([[5.0 / 30, 9.5 / 20]]), 5)
    between = (pixels[:, :, 7:12, 2:7] + pixels[:, :, 7:12, 3:8]) / 2
    torch.testing.assert_close(cut, between)
    corner = glimpse(pixels, torch.tensor([[0.5 / 30, 0.5 / 20]]), 5)
    assert (corner[:, :, :2] == 0).all() and (corner[:, :, :, :2] == 0).all()
    torch.testing.assert_close(corner[:, :, 2:, 2:], pixels[:, :, :3, :3])


def test_pointing_is_varied_by_what_the_config_says() -> None:
    goal = torch.full((4000, 2, 2), 0.5)
    torch.manual_seed(0)
    varied = augment_goal(goal, AugmentConfig(point=0.02))
    assert varied is not None
    assert abs(float((varied - goal).std()) - 0.02) < 0.001
    assert augment_goal(goal, AugmentConfig(point=0.0)) is goal
    assert augment_goal(None, AugmentConfig()) is None
