"""What a training run is told, and how far it is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from demoloop.policies.augment import AugmentConfig


@dataclass(frozen=True)
class TrainConfig:
    """Behaviour cloning of one dataset. The defaults are those of the results page."""

    data: Path
    """Folder of the dataset."""
    out: Path
    """Run folder to write."""
    policy: str = "chunk"
    """Which network: chunk (small, quick on a CPU) or act."""
    sizes: dict[str, int | float] = field(default_factory=dict)
    """Fields of the network's config that differ from their defaults."""
    budget_minutes: float = 8.0
    """How long to train; the learning rate comes down in time."""
    steps: int | None = None
    """Train for so many steps instead: the same seed then gives the same weights to the bit."""
    batch_size: int = 32
    """Frames per step over all processes. 64 takes half the steps for the same frames."""
    horizon: int = 16
    """Actions predicted per forward pass: two thirds of a second at 25 Hz."""
    image_size: tuple[int, int] = (96, 96)
    """Height and width the network looks at."""
    learning_rate: float = 1e-3
    """Peak, after warm-up; then half a cosine down to zero."""
    warmup_steps: int = 200
    """Steps of rising learning rate."""
    weight_decay: float = 1e-4
    """Of AdamW."""
    gradient_clip: float = 1.0
    """Largest norm of one gradient."""
    ema_decay: float = 0.998
    """Of the averaged weights, which are the ones exported."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """How images vary."""
    held_out: tuple[int, ...] = ()
    """Episodes not to train on."""
    max_episodes: int | None = None
    """Train on the first so many episodes only."""
    seed: int = 0
    """Of weights, order and augmentation."""
    resume: bool = False
    """Go on from the checkpoint in the run folder."""
    num_judgements: int = 0
    """How often a half-trained policy is tried, evenly over the run, when somebody can judge."""


@dataclass
class Progress:
    """How far a run is; saved with the checkpoint."""

    step: int = 0
    seconds: float = 0.0  # of training alone: judging and saving do not count
    judgements: int = 0

    def fraction(self, config: TrainConfig) -> float:
        """0 at the start, 1 at the end."""
        if config.steps is not None:
            return self.step / config.steps
        return self.seconds / (60 * config.budget_minutes)


def learning_rate(config: TrainConfig, step: int, fraction: float) -> float:
    """Linear warm-up, then half a cosine from the peak to zero (Loshchilov & Hutter 2017)."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    return config.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))


def flat_config(config: TrainConfig) -> dict[str, str | int | float | bool]:
    """Returns the config as names and plain values, nested names joined by dots."""
    flat: dict[str, str | int | float | bool] = {}

    def visit(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                visit(f"{prefix}.{key}" if prefix else key, inner)
        elif value is not None:
            flat[prefix] = value if isinstance(value, str | int | float | bool) else str(value)

    visit("", asdict(config))
    # A path tells of the machine, not of the policy.
    flat.pop("data"), flat.pop("out")
    return flat
