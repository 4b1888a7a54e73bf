"""What every policy here is: images and proprioception in, an action chunk out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demoloop.policies.augment import AugmentConfig, augment_proprioception
from demoloop.policies.blocks import Normalizer, ResizeImage
from demoloop.robot import Marks, RobotSpec

Images: TypeAlias = Mapping[str, Tensor]
"""camera -> (B, height, width, 3) uint8 RGB."""


@dataclass(frozen=True)
class PolicyShape:
    """The sizes a policy is built for; read off the dataset, written into the checkpoint."""

    spec: RobotSpec
    proprioception_dim: int
    horizon: int  # steps in one action chunk
    image_size: tuple[int, int]  # (height, width) the network looks at, whatever the camera's
    is_relative: bool = True
    """Proprioception begins with the positions of the very joints an action moves."""
    marks: Marks | None = None
    """What a person points at; None for a policy that is told nothing."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Camera names in the order the network keeps them."""
        return self.spec.camera_names


@dataclass(frozen=True)
class TrainingRanges:
    """Statistics of the training data that the network normalises by."""

    proprioception_mean: NDArray[np.float32]  # (P,)
    proprioception_std: NDArray[np.float32]  # (P,)
    action_mean: NDArray[np.float32]  # (horizon, A), of actions relative to present positions
    action_std: NDArray[np.float32]  # (horizon, A)


class Policy(nn.Module, ABC):
    """A network with its normalisation inside, in SI units on both sides.

    Inside, an action chunk is predicted relative to the present joint positions (where the data
    tell them) and divided by its spread at each step ahead: "from here, where to" generalises
    over where "here" is. Subclasses see normalised tensors only.
    """

    def __init__(self, shape: PolicyShape) -> None:
        super().__init__()
        self.shape = shape
        action_dim = shape.spec.action_dim
        self.resize = ResizeImage(shape.image_size)
        self.normalize_proprioception = Normalizer((shape.proprioception_dim,))
        self.normalize_actions = Normalizer((shape.horizon, action_dim))

    def set_ranges(self, ranges: TrainingRanges) -> None:
        """Takes over the statistics of the training data."""
        self.normalize_proprioception.set(ranges.proprioception_mean, ranges.proprioception_std)
        self.normalize_actions.set(ranges.action_mean, ranges.action_std)

    def predict(self, images: Images, proprioception: Tensor, goal: Tensor | None = None) -> Tensor:
        """Returns the action chunk (B, horizon, action_dim), absolute targets in SI units.

        Args:
            images: camera -> (B, height, width, 3) uint8 RGB of any size.
            proprioception: (B, P) joint positions, then velocities, in SI units.
            goal: (B, num_marks, 2) where the shape has marks; else it is not looked at.
        """
        pixels = {name: self.resize(images[name]) for name in self.shape.cameras}
        normal = self.normalize_proprioception(proprioception)
        relative = self.normalize_actions.undo(self.infer(pixels, normal, goal))
        return relative + self._origin(proprioception)  # (B, horizon, A)

    def forward(
        self,
        pixels: dict[str, Tensor],
        proprioception: Tensor,
        actions: Tensor,
        is_pad: Tensor,
        goal: Tensor | None = None,
        augmentation: AugmentConfig | None = None,
    ) -> Tensor:
        """Returns the training loss, a scalar. Training and DDP call the module itself.

        Args:
            pixels: camera -> (B, 3, h, w) float in [-0.5, 0.5], resized and augmented.
            proprioception: (B, P) in SI units.
            actions: (B, horizon, A) absolute targets in SI units.
            is_pad: (B, horizon) bool, steps after the end of the episode.
            goal: (B, num_marks, 2); None where the shape has no marks.
            augmentation: How the proprioception that the network sees varies. What actions are
                counted from stays as measured: the answer to a varied look is the same.
        """
        relative = actions - self._origin(proprioception)
        normal = self.normalize_proprioception(proprioception)
        if augmentation is not None:
            normal = augment_proprioception(normal, augmentation)
        return self.loss(
            pixels,
            normal,
            self.normalize_actions(relative),
            is_pad,
            goal,
        )

    @abstractmethod
    def infer(
        self, pixels: dict[str, Tensor], proprioception: Tensor, goal: Tensor | None = None
    ) -> Tensor:
        """Normalised in, normalised chunk (B, horizon, A) out."""

    @abstractmethod
    def loss(
        self,
        pixels: dict[str, Tensor],
        proprioception: Tensor,
        chunk: Tensor,
        is_pad: Tensor,
        goal: Tensor | None = None,
    ) -> Tensor:
        """Normalised in, scalar loss out."""

    def _origin(self, proprioception: Tensor) -> Tensor:
        """What actions are counted from, (B, 1, A)."""
        positions = proprioception[:, None, : self.shape.spec.action_dim]
        return positions if self.shape.is_relative else torch.zeros_like(positions[..., :1])


def masked_l1(prediction: Tensor, target: Tensor, is_pad: Tensor) -> Tensor:
    """Mean absolute error of (B, horizon, A), where padding counts as no error.

    Divided by the size of the batch and not by the number of real steps, so that the mean over
    two halves of a batch is the mean over the batch: several processes get the same gradient.
    """
    return ((prediction - target).abs() * (~is_pad).unsqueeze(-1)).mean()
