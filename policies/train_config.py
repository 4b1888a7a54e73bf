"""What a training run is told, and how far it is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from demoloop.policies.augment import AugmentConfig
from demoloop.policies.errors import PolicyError

_LEAST = {
    "steps": 1,
    "batch_size": 1,
    "horizon": 1,
    "max_episodes": 1,
    "warmup_steps": 0,
    "weight_decay": 0,
    "num_judgements": 0,
    "checkpoint_every_s": 0,
    "seed": 0,
}
_POSITIVE = ("budget_minutes", "learning_rate", "gradient_clip")


@dataclass(frozen=True)
class TrainConfig:
    """Behaviour cloning of one dataset. The defaults are those of the results page.

    Raises:
        PolicyError: A number is outside its range; the message names the option.
    """

    data: Path
    """Folder of the dataset to learn from, as `demoloop record` writes it."""
    out: Path
    """Run folder to write: checkpoint, config, metrics and curves."""
    policy: str = "chunk"
    """Which network: chunk (small, quick on a CPU) or act."""
    sizes: dict[str, int | float] = field(default_factory=dict)
    """Sizes of the network that differ from their defaults, such as `--sizes width 32`."""
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
    streaming: bool = False
    """Decode pictures as they are needed, for datasets whose cache does not fit the disk."""
    learning_rate: float = 1e-3
    """Peak, after warm-up; then half a cosine down to zero."""
    warmup_steps: int = 200
    """Steps of rising learning rate."""
    weight_decay: float = 1e-4
    """Weight decay of AdamW."""
    gradient_clip: float = 1.0
    """Largest norm of one gradient; a longer one is shortened to it."""
    ema_decay: float = 0.998
    """Memory of the averaged weights, which are the ones exported: 0.998 is some 500 steps."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """How observations vary."""
    held_out: tuple[int, ...] = ()
    """Episodes not to train on, counted from 0 among those that are present."""
    split: str | None = None
    """Train on this split only, such as `train` (`demoloop dataset split` makes them)."""
    max_episodes: int | None = None
    """Train on the first so many episodes only."""
    seed: int = 0
    """Seed of the first weights, of the order of frames and of augmentation."""
    resume: bool = False
    """Go on from the checkpoint in the run folder."""
    checkpoint_every_s: float = 60.0
    """Seconds between checkpoints: what a kill may cost."""
    num_judgements: int = 0
    """How often the half-trained policy is tried, evenly over the run; needs `--judge`."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            # Written, here and below, so that a NaN fails it too.
            if value is not None and not least <= value < math.inf:
                raise _out_of_range(name, value, f"at least {least}")
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < math.inf:
                raise _out_of_range(name, getattr(self, name), "greater than 0")
        if not 0 <= self.ema_decay < 1:
            raise _out_of_range("ema_decay", self.ema_decay, "at least 0 and less than 1")
        if min(self.image_size) < 1:
            raise _out_of_range("image_size", self.image_size, "at least 1 px either way")
        for name, value in asdict(self.augment).items():
            if not 0 <= value < math.inf:
                raise _out_of_range(f"augment.{name}", value, "at least 0")


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


def _out_of_range(name: str, value: object, expected: str) -> PolicyError:
    return PolicyError(f"--{name.replace('_', '-')} is {value}; it must be {expected}")


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
    del flat["data"], flat["out"]
    return flat
