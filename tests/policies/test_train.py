"""Laws of the training loop: what a seed, a number and a dataset decide."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from demoloop.datasets import DatasetWriter, open_cache, open_dataset
from demoloop.policies import POLICIES, Policy, PolicyError
from demoloop.policies.augment import AugmentConfig
from demoloop.policies.checkpoint import Checkpoint
from demoloop.policies.parallel import Parallel
from demoloop.policies.train import Trainer, train
from demoloop.policies.train_config import TrainConfig, flat_config, learning_rate
from demoloop.robot import RobotSpec


def tensors(config: TrainConfig) -> dict[str, torch.Tensor]:
    """What a run of `config` leaves in its checkpoint."""
    return Checkpoint.load(train(config, progress=False)).tensors


def trainer_of(config: TrainConfig) -> Trainer:
    dataset = open_dataset(config.data)
    return Trainer(config, dataset, open_cache(dataset, config.image_size), Parallel())


@pytest.mark.parametrize("policy", list(POLICIES))
def test_same_seed_gives_the_same_weights_to_the_bit(
    config: TrainConfig, tmp_path: Path, policy: str, sizes: dict[str, dict[str, int | float]]
) -> None:
    config = replace(config, policy=policy, sizes=sizes.get(policy, {}))
    one, two = (tensors(replace(config, out=tmp_path / name)) for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_streaming_learns_without_a_cache(
    config: TrainConfig, make_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    data = make_dataset(tmp_path / "fresh")
    config = replace(config, data=data, streaming=True)
    one, two = (tensors(replace(config, out=tmp_path / name)) for name in ("one", "two"))
    assert not list(data.rglob("*.u8"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_another_seed_gives_other_weights_and_another_order(config: TrainConfig) -> None:
    one, two = (trainer_of(replace(config, seed=seed)) for seed in (0, 1))
    assert not torch.equal(
        one.policy.state_dict()["mlp.0.weight"], two.policy.state_dict()["mlp.0.weight"]
    )
    assert not torch.equal(one.sampler.batch(0).index, two.sampler.batch(0).index)


def test_training_makes_the_loss_smaller(config: TrainConfig) -> None:
    train(replace(config, steps=200, learning_rate=3e-3), progress=False)
    lines = (config.out / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert len(losses) == 2
    assert losses[1] < 0.9 * losses[0]


def test_training_tells_the_network_joints_with_the_noise_it_was_asked_for(
    config: TrainConfig,
) -> None:
    losses = []
    for noise in (0.0, 0.0, 3.0):
        augment = AugmentConfig(colour=0.0, point=0.0, proprioception=noise)
        trainer = trainer_of(replace(config, augment=augment))
        losses.append(trainer.step(trainer.policy, trainer.sampler.batch(0), 0.0))
    assert losses[0] == losses[1] != losses[2]


def test_learning_rate_warms_up_then_falls_to_zero(config: TrainConfig) -> None:
    config = replace(config, learning_rate=1e-3, warmup_steps=10, steps=100)
    rates = [learning_rate(config, step, step / 100) for step in range(101)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[:10] == sorted(rates[:10])
    assert max(rates) == pytest.approx(1e-3, rel=0.03)  # the cosine has begun to fall by then
    assert rates[50] == pytest.approx(0.5e-3)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == 0


def test_rate_stays_at_zero_when_a_step_overruns_the_budget(config: TrainConfig) -> None:
    assert learning_rate(config, 1000, 1.5) == 0


def test_averaged_weights_follow_the_trained_ones_with_a_growing_memory(
    config: TrainConfig,
) -> None:
    trainer = trainer_of(replace(config, ema_decay=0.25))
    with trainer.sampler:
        for step, decay in enumerate([0.1, 2 / 11, 0.25, 0.25]):  # (step + 1) / (step + 10), ...
            before = [value.clone() for value in trainer.average.parameters()]
            trainer.step(trainer.policy, next(trainer.sampler), step / 4)
            trainer.progress.step += 1
            pairs = zip(
                before, trainer.average.parameters(), trainer.policy.parameters(), strict=True
            )
            for old, mean, present in pairs:
                torch.testing.assert_close(mean, decay * old + (1 - decay) * present)


def test_gradients_longer_than_the_clip_are_shortened_to_it(config: TrainConfig) -> None:
    trainer = trainer_of(replace(config, gradient_clip=0.01))
    with trainer.sampler:
        trainer.step(trainer.policy, next(trainer.sampler), 0.0)
    # After one step the first moment of Adam is a tenth of the gradient, beta being 0.9.
    moments = [state["exp_avg"] for state in trainer.optimizer.state.values()]
    norm = math.sqrt(sum(float(moment.square().sum()) for moment in moments))
    assert norm == pytest.approx(0.1 * 0.01, rel=1e-3)


def test_loss_that_is_not_finite_stops_the_run_and_names_the_learning_rate(
    config: TrainConfig,
) -> None:
    with pytest.raises(PolicyError, match=r"lower --learning-rate \(now 1e\+30\)"):
        train(replace(config, learning_rate=1e30, gradient_clip=1e30), progress=False)
    assert not (config.out / "checkpoint.safetensors").exists()


def test_judging_does_not_change_what_is_learnt(config: TrainConfig, tmp_path: Path) -> None:
    asked: list[bool] = []

    def judge(policy: Policy) -> dict[str, float]:
        asked.append(policy.training)
        return {"success": float(torch.rand(())), "low": 0.0, "high": 1.0}

    alone = tensors(config)
    judged = replace(config, out=tmp_path / "judged", num_judgements=3)
    again = Checkpoint.load(train(judged, judge, progress=False)).tensors
    assert asked == [False] * 3
    assert all(torch.equal(alone[name], again[name]) for name in alone)
    lines = [json.loads(line) for line in (judged.out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "success" in line] == [5, 9, 12]


def test_held_out_episodes_are_not_trained_on(config: TrainConfig) -> None:
    trainer = trainer_of(replace(config, held_out=(1,)))
    assert trainer.sampler.num_samples == 40
    with trainer.sampler:
        seen = torch.cat([next(trainer.sampler).index for _ in range(5)])
    assert not ((seen >= 20) & (seen < 40)).any()


def test_failures_are_not_taught_and_what_nobody_judged_is(
    config: TrainConfig, spec: RobotSpec, tmp_path: Path
) -> None:
    root = tmp_path / "mixed"
    with DatasetWriter(root, spec) as writer:
        for seed, success in enumerate((True, False, None)):
            writer.add(replace(open_dataset(config.data).episode(seed), success=success))
    trainer = trainer_of(replace(config, data=root))
    with trainer.sampler:
        seen = torch.cat([next(trainer.sampler).index for _ in range(10)])
    assert set((seen // 20).tolist()) == {0, 2}


def test_run_folder_holds_config_metrics_and_curves(config: TrainConfig) -> None:
    out = train(config, progress=False)
    names = {path.name for path in out.iterdir()}
    assert names == {"checkpoint.safetensors", "config.json", "metrics.jsonl", "curves.png"}


def test_no_path_of_this_machine_travels_with_the_policy(config: TrainConfig) -> None:
    assert str(config.data) not in json.dumps(flat_config(config))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "--steps is 0; it must be at least 1"),
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"horizon": -1}, "--horizon is -1"),
        ({"max_episodes": 0}, "--max-episodes is 0"),
        ({"learning_rate": math.nan}, "--learning-rate is nan; it must be greater than 0"),
        ({"budget_minutes": 0.0}, "--budget-minutes is 0.0"),
        ({"budget_minutes": math.inf}, "--budget-minutes is inf"),
        ({"ema_decay": 1.0}, "--ema-decay is 1.0; it must be at least 0 and less than 1"),
        ({"image_size": (96, 0)}, "--image-size"),
        ({"seed": -1}, "--seed is -1"),
        ({"augment": AugmentConfig(shift_px=-1)}, "--augment.shift-px is -1"),
    ],
)
def test_impossible_number_is_refused_by_the_name_of_its_option(
    config: TrainConfig, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(PolicyError, match=message):
        replace(config, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"held_out": (1, 3, 7)}, r"--held-out 3, 7: .* has episodes 0 to 2"),
        ({"held_out": (0, 1, 2)}, "all are held out, failed or of weight 0; hold"),
        ({"policy": "chunks"}, "no policy 'chunks'"),
    ],
)
def test_what_the_dataset_or_the_policies_do_not_have_is_refused(
    config: TrainConfig, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(PolicyError, match=message):
        train(replace(config, **change), progress=False)


def test_file_in_the_place_of_the_run_folder_is_refused(config: TrainConfig) -> None:
    config.out.write_text("precious")
    with pytest.raises(PolicyError, match="cannot be written"):
        train(config, progress=False)
    assert config.out.read_text() == "precious"


def test_bare_joint_names_of_others_are_positions(
    config: TrainConfig, make_foreign: Callable[[], Path]
) -> None:
    trainer = trainer_of(replace(config, data=make_foreign()))
    assert trainer.shape.is_relative
    assert trainer.info["proprioception_names"] == ["pan.pos", "lift.pos", "gripper.pos"]
