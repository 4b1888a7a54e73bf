"""Laws of checkpoints: whole or refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from demoloop.policies import PolicyError
from demoloop.policies.checkpoint import NAME, Checkpoint, load_policy


@pytest.fixture
def run(run_of: Callable[[str], Path], tmp_path: Path) -> Path:
    """A run folder that may be spoilt."""
    (tmp_path / NAME).write_bytes((run_of("chunk") / NAME).read_bytes())
    return tmp_path


def refusal(folder: Path) -> str:
    with pytest.raises(PolicyError) as caught:
        load_policy(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_checkpoint_reads_back_to_the_bit(run: Path, tmp_path: Path) -> None:
    first = Checkpoint.load(run)
    (tmp_path / "again").mkdir()
    first.save(tmp_path / "again")
    again = Checkpoint.load(tmp_path / "again")
    assert again.info == first.info
    assert again.tensors.keys() == first.tensors.keys()
    assert all(torch.equal(again.tensors[name], first.tensors[name]) for name in first.tensors)


def test_averaged_weights_are_the_ones_loaded(run: Path) -> None:
    policy, _ = load_policy(run)
    tensors = Checkpoint.load(run).tensors
    for name, value in policy.state_dict().items():
        assert torch.equal(value, tensors[f"ema.{name}"])
    assert not policy.training


def test_missing_checkpoint_says_what_makes_one(tmp_path: Path) -> None:
    assert "no checkpoint in" in refusal(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    assert "`demoloop train --out" in refusal(tmp_path / "file")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.999])
def test_truncated_checkpoint_is_refused(run: Path, share: float) -> None:
    data = (run / NAME).read_bytes()
    (run / NAME).write_bytes(data[: int(share * len(data))])
    assert "is not a whole checkpoint of demoloop" in refusal(run)


@pytest.mark.parametrize(
    "metadata", [None, {"format": "pt"}, {"info": "{"}, {"info": "[]"}, {"info": "{}"}]
)
def test_somebody_elses_safetensors_are_refused(run: Path, metadata: dict[str, str] | None) -> None:
    save_file({"weight": torch.ones(3)}, run / NAME, metadata=metadata)
    assert "checkpoint of demoloop" in refusal(run)


def test_foreign_file_is_refused(run: Path) -> None:
    (run / NAME).write_bytes(np.random.default_rng(0).bytes(5000))
    assert "is not a whole checkpoint" in refusal(run)


def test_folder_in_the_place_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    assert "is not a whole checkpoint" in refusal(tmp_path)


def test_weights_of_another_size_are_refused(run: Path) -> None:
    checkpoint = Checkpoint.load(run)
    checkpoint.info["sizes"]["hidden_dim"] = 17
    checkpoint.save(run)
    assert "does not fit its own sizes" in refusal(run)


def test_checkpoint_whose_policy_is_gone_is_refused(run: Path) -> None:
    checkpoint = Checkpoint.load(run)
    Checkpoint(checkpoint.tensors, checkpoint.info | {"policy": "older"}).save(run)
    assert "no policy 'older'; there are" in refusal(run)


def test_failed_save_leaves_the_old_checkpoint(run: Path) -> None:
    before = (run / NAME).read_bytes()
    checkpoint = Checkpoint.load(run)
    (run / f"{NAME}.partial").mkdir()  # in the way of the new file
    with pytest.raises(PolicyError, match="cannot be written"):
        checkpoint.save(run)
    assert (run / NAME).read_bytes() == before


def test_info_is_plain_json(run: Path) -> None:
    info = Checkpoint.load(run).info
    assert json.loads(json.dumps(info)) == info
