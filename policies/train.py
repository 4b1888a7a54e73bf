"""Behaviour cloning: from a dataset to a run folder with a checkpoint, metrics and curves.

The run folder holds `config.json`, `checkpoint.safetensors`, `metrics.jsonl` and `curves.png`.
Started by torchrun, every process trains on its slice of each batch (DDP).
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from demoloop.datasets import (
    Dataset,
    StreamingView,
    TrainingCache,
    WindowSampler,
    open_cache,
    open_dataset,
    open_numbers,
)
from demoloop.policies.augment import augment, augment_goal
from demoloop.policies.checkpoint import Checkpoint, shape_to_json
from demoloop.policies.curves import plot_curves
from demoloop.policies.errors import PolicyError
from demoloop.policies.interrupt import noting_interrupts
from demoloop.policies.learnable import policy_shape, training_episodes
from demoloop.policies.metrics import Log
from demoloop.policies.parallel import Parallel
from demoloop.policies.policy import Policy
from demoloop.policies.ranges import training_ranges
from demoloop.policies.registry import check_policy, make_policy
from demoloop.policies.train_config import Progress, TrainConfig, flat_config, learning_rate

Judge = Callable[[Policy], Mapping[str, float]]
"""Tries a half-trained policy and returns numbers for the curve, such as its success."""

_DECIDE_THE_BATCHES = ("batch_size", "seed", "held_out", "max_episodes", "streaming")


def train(config: TrainConfig, judge: Judge | None = None, *, progress: bool = True) -> Path:
    """Trains and returns the run folder. Ctrl-C saves a checkpoint to resume from.

    Raises:
        DatasetError: The dataset is missing, broken or empty.
        PolicyError: There is no such policy, or the checkpoint to resume from does not fit.
    """
    check_policy(config.policy, config.sizes)  # before the minutes that decoding may take
    dataset = open_dataset(config.data, config.split)
    with Parallel() as parallel:
        if config.streaming:
            cache = open_numbers(dataset)
        else:
            cache = open_cache(dataset, config.image_size, progress=progress and parallel.is_first)
        trainer = Trainer(config, dataset, cache, parallel)
        trainer.run(judge, show=progress and parallel.is_first)
    return config.out


class Trainer:
    """One run: the network, its optimiser and average, and the stream of batches."""

    def __init__(
        self, config: TrainConfig, dataset: Dataset, cache: TrainingCache, parallel: Parallel
    ) -> None:
        self.config, self.parallel = config, parallel
        torch.manual_seed(config.seed)
        self.shape = policy_shape(config, dataset)
        episodes = training_episodes(config, cache)
        ranges = training_ranges(
            cache, episodes, config.horizon, is_relative=self.shape.is_relative
        )
        self.policy = make_policy(config.policy, self.shape, config.sizes)
        self.policy.set_ranges(ranges)
        # Convolutions on a CPU run a fifth quicker with channels last, as the images already are.
        self.policy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = make_policy(config.policy, self.shape, config.sizes)
        self.average.load_state_dict(self.policy.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.policy.parameters(),
            config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        batches = (config.horizon, config.batch_size, config.seed)
        self.sampler = (
            StreamingView(dataset, cache, config.image_size, *batches, episodes=episodes)
            if config.streaming
            else WindowSampler(cache, *batches, episodes=episodes)
        )
        self.progress = Progress()
        starts = cache.episode_starts
        seen = np.concatenate(
            [cache.proprioception[starts[e] : starts[e + 1]] for e in episodes]
        )  # (N, P)
        info = {
            "policy": config.policy,
            "sizes": config.sizes,
            "shape": shape_to_json(self.shape),
            "proprioception_names": list(dataset.proprioception_names),
            "proprioception_low": seen.min(0).tolist(),
            "proprioception_high": seen.max(0).tolist(),
            "dataset_view": dataset.view_hash(),
            "tasks": sorted({episode.task for episode in dataset.episodes}),
            "data": str(config.data),
            "train_config": flat_config(config),
            "num_episodes": len(episodes),
        }
        # As it will be read back, so that a resumed run compares like with like.
        self.info: dict[str, Any] = json.loads(json.dumps(info))
        self.log = Log(config.out / "metrics.jsonl", enabled=parallel.is_first)
        if config.resume:
            self._restore()

    def run(self, judge: Judge | None, *, show: bool) -> None:
        """Trains to the end, leaving checkpoint, metrics and curves in the run folder."""
        config, is_first = self.config, self.parallel.is_first
        model = self.parallel.wrap(self.policy)
        if is_first:
            self._open_folder()
        log = self.log
        saved_at = time.monotonic()
        bar = tqdm(
            total=1000, disable=not show, unit="‰", desc=f"train {config.policy}",
            bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        )  # fmt: skip
        with self.sampler, bar, noting_interrupts() as interrupted:
            while True:
                # One number says both, so that all processes stop before the same step.
                fraction = self.parallel.agree(
                    math.inf if interrupted.is_set() else self.progress.fraction(config)
                )
                if fraction == math.inf:
                    if is_first:
                        self.save()
                        bar.write(
                            f"saved at step {self.progress.step}; --resume goes on", sys.stderr
                        )
                    raise KeyboardInterrupt
                if fraction >= 1:
                    break
                began = time.perf_counter()
                batch = next(self.sampler)
                waited = time.perf_counter() - began
                loss = self.step(model, self.parallel.slice(batch), fraction)
                self.progress.step += 1
                taken = time.perf_counter() - began
                self.progress.seconds += taken
                log.add(self.progress, loss, waited, taken, config.batch_size)
                bar.update(int(1000 * min(1.0, fraction)) - bar.n)
                if log.is_due(self.progress.step):
                    bar.set_postfix_str(log.write(self.progress))
                if is_first and time.monotonic() - saved_at > config.checkpoint_every_s:
                    self.save()
                    saved_at = time.monotonic()
                if judge is not None and is_first and self._is_judgement_due(fraction):
                    self._judge(judge, log)
            bar.update(1000 - bar.n)
        if is_first:
            log.write(self.progress)
            if judge is not None and self.progress.judgements < config.num_judgements:
                self._judge(judge, log)
            self.save()
            plot_curves(config.out / "metrics.jsonl", config.out / "curves.png")

    def step(self, model: torch.nn.Module, batch: Any, fraction: float) -> float:
        """One update; returns the loss."""
        config = self.config
        rate = learning_rate(config, self.progress.step, fraction)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        pixels = {
            name: augment(self.policy.resize(image), config.augment)
            for name, image in batch.images.items()
        }
        goal = augment_goal(batch.goal, config.augment)
        numbers = (batch.proprioception, batch.actions, batch.is_pad)
        loss: Tensor = model(pixels, *numbers, goal, config.augment)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), config.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)  # now: the next forward pass wants the memory
        # The average forgets the random start quickly: a young average has a short memory.
        decay = min(config.ema_decay, (self.progress.step + 1) / (self.progress.step + 10))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.policy.parameters(), strict=True)
            for mean, present in pairs:
                mean.lerp_(present, 1 - decay)
        value = loss.item()
        if not math.isfinite(value):
            raise PolicyError(
                f"the loss became {value} at step {self.progress.step}; "
                f"lower --learning-rate (now {config.learning_rate})"
            )
        return value

    def save(self) -> None:
        """Writes the checkpoint."""
        tensors = {f"model.{k}": v for k, v in self.policy.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.average.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{k}": v for k, v in state.items()}
        tensors["random"] = torch.get_rng_state()
        info = {
            **self.info,
            "progress": asdict(self.progress),
            "sampler": self.sampler.state(),
            "log": self.log.state(),
        }
        Checkpoint(tensors, info).save(self.config.out)

    def _open_folder(self) -> None:
        out = self.config.out
        try:
            out.mkdir(parents=True, exist_ok=True)
            (out / "config.json").write_text(json.dumps(self.info, indent=2))
            if not self.config.resume:
                (out / "metrics.jsonl").unlink(missing_ok=True)
        except OSError as error:
            raise PolicyError(
                f"--out {out} cannot be written: {error.strerror}; choose another folder"
            ) from error

    def _restore(self) -> None:
        checkpoint = Checkpoint.load(self.config.out)
        self._check_same(checkpoint.info)
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "adam": {}}
        for name, value in checkpoint.tensors.items():
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = value
        self.policy.load_state_dict(parts["model"])
        self.average.load_state_dict(parts["ema"])
        weights = list(self.policy.parameters())
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["adam"].items():
            index, _, key = name.partition(".")
            if value.dim() == 4:
                # The fused AdamW walks weight and moments in the order of memory, unasked.
                value = torch.empty_like(weights[int(index)]).copy_(value)
            moments.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.sampler.restore(checkpoint.info["sampler"])
        self.progress = Progress(**checkpoint.info["progress"])
        self.log.restore(self.progress, checkpoint.info.get("log", {}))
        torch.set_rng_state(checkpoint.tensors["random"])

    def _check_same(self, saved: dict[str, Any]) -> None:
        """Raises PolicyError naming what is not as it was when the checkpoint was written."""
        out = self.config.out
        if saved["dataset_view"] != self.info["dataset_view"]:
            raise PolicyError(
                f"cannot resume {out}: it learned from {saved['data']} as it was then (view "
                f"{saved['dataset_view']}), and {self.info['data']} now has view "
                f"{self.info['dataset_view']}; choose another --out, or that very dataset"
            )
        was = {**saved["train_config"], **saved["shape"], "sizes": saved["sizes"]}
        now = {**self.info["train_config"], **self.info["shape"], "sizes": self.info["sizes"]}
        for name in ("policy", "sizes", *self.info["shape"], *_DECIDE_THE_BATCHES):
            if was.get(name) != now.get(name):
                raise PolicyError(
                    f"cannot resume {out}: its {name} was {was.get(name)} and is {now.get(name)} "
                    "now; choose another --out, or the same settings"
                )

    def _is_judgement_due(self, fraction: float) -> bool:
        return fraction >= (self.progress.judgements + 1) / max(1, self.config.num_judgements) and (
            self.progress.judgements + 1 < self.config.num_judgements
        )

    def _judge(self, judge: Judge, log: Log) -> None:
        random_state = torch.get_rng_state()  # judging must not change what is learnt
        self.average.eval()
        log.judged(self.progress, judge(self.average))
        self.progress.judgements += 1
        torch.set_rng_state(random_state)
