"""What was observed, as it might also have been: other light, a camera knocked by some pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class AugmentConfig:
    """How much observations vary while training; all zero leaves them as they are."""

    colour: float = 0.1
    """Contrast of each colour varies by up to this fraction, brightness by up to half of it."""
    shift_px: int = 0
    """Shift of the whole batch by up to so many pixels. It blurs the link between pixel and place,
    which a policy without much data needs sharp: measure before you use it."""
    proprioception: float = 0.0
    """Noise on what the network is told of its joints, in shares of their spread in the data. From
    few demonstrations a network learns where the arm was when something happened, and closes an
    empty gripper there; joints it can trust less make it look (docs/results.md)."""
    point: float = 0.01
    """Each mark moves by so much of the picture (standard deviation), where people point."""


def augment(pixels: Tensor, config: AugmentConfig) -> Tensor:
    """Returns a varied copy of (B, 3, h, w) in [-0.5, 0.5]; draws from torch's own generator."""
    if config.colour > 0:
        batch = len(pixels)
        contrast = 1 + config.colour * (2 * torch.rand(batch, 3, 1, 1) - 1)
        brightness = 0.5 * config.colour * (2 * torch.rand(batch, 1, 1, 1) - 1)
        pixels = pixels * contrast + brightness
    if config.shift_px > 0:
        reach = config.shift_px
        height, width = pixels.shape[2:]
        padded = functional.pad(pixels, (reach,) * 4, mode="replicate")
        row, column = torch.randint(0, 2 * reach + 1, (2,)).tolist()
        pixels = padded[:, :, row : row + height, column : column + width]
    return pixels


def augment_proprioception(normal: Tensor, config: AugmentConfig) -> Tensor:
    """Returns normalised (B, P) as it might also have been measured."""
    if config.proprioception == 0:
        return normal
    return normal + config.proprioception * torch.randn_like(normal)


def augment_goal(goal: Tensor | None, config: AugmentConfig) -> Tensor | None:
    """Returns (B, num_marks, 2) as it might also have been pointed at."""
    if goal is None or config.point == 0:
        return goal
    return goal + config.point * torch.randn_like(goal)
