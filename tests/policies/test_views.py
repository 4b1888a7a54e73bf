"""What edits say is learnt from, and nothing else; and the policy says which view it was."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from demoloop.cli.open_loop import unseen_episodes
from demoloop.datasets import open_cache, open_dataset
from demoloop.datasets.edits import Op, Value, edit_episodes
from demoloop.policies.checkpoint import Checkpoint
from demoloop.policies.errors import PolicyError
from demoloop.policies.export import export
from demoloop.policies.learnable import training_episodes
from demoloop.policies.train import train
from demoloop.policies.train_config import TrainConfig
from demoloop.robot.card import read_card


@pytest.fixture
def edited(data: Path, tmp_path: Path, config: TrainConfig) -> TrainConfig:
    """Three episodes that may be edited."""
    return replace(config, data=Path(shutil.copytree(data, tmp_path / "edited")), steps=3)


def say(config: TrainConfig, op: Op, *values: tuple[int, Value]) -> None:
    episodes = open_dataset(config.data).episodes
    edit_episodes(config.data, op, {episodes[i].uuid: value for i, value in values})


@pytest.mark.parametrize(("op", "value"), [("weigh", 0), ("success", False)])
def test_what_fails_or_weighs_nothing_is_not_learnt_from(
    edited: TrainConfig, op: Op, value: Value
) -> None:
    say(edited, op, (1, value))
    cache = open_cache(open_dataset(edited.data), edited.image_size, progress=False)
    assert training_episodes(edited, cache).tolist() == [0, 2]


def test_nothing_left_to_learn_from_is_one_sentence(edited: TrainConfig) -> None:
    say(edited, "weigh", (0, 0), (1, 0), (2, 0))
    with pytest.raises(PolicyError, match="of weight 0"):
        train(edited, progress=False)


def test_view_that_was_learnt_from_travels_to_checkpoint_and_onnx(
    edited: TrainConfig, tmp_path: Path
) -> None:
    say(edited, "split", (0, "train"), (1, "val"), (2, "train"))
    say(edited, "trim", (2, (3, 15)))
    run = train(replace(edited, split="train"), progress=False)
    view = open_dataset(edited.data, "train").view_hash()
    assert view != open_dataset(edited.data).view_hash()
    assert Checkpoint.load(run).info["dataset_view"] == view
    assert Checkpoint.load(run).info["num_episodes"] == 2
    export(run, tmp_path / "policy.onnx")
    card = read_card((tmp_path / "policy.onnx").read_bytes())
    assert card.dataset_view == view
    assert unseen_episodes(card, open_dataset(edited.data)) == [1]
