"""`chunk`: a small policy that a laptop trains in minutes.

Each camera has a ConvNet of its own. It answers two questions about the image: where things are
(spatial softmax, Levine et al. 2016) and what the scene looks like as a whole (a coarse feature
vector). Both are joined with proprioception, and one MLP predicts the whole action chunk (Zhao et
al. 2023). No normalisation layers: on a CPU they cost half the speed (docs/results.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from demoloop.policies.blocks import SpatialSoftmax, glimpse
from demoloop.policies.policy import Policy, PolicyShape, masked_l1


@dataclass(frozen=True)
class ChunkConfig:
    """Sizes of the network. The defaults are those of the results page."""

    width: int = 16
    """Channels of the first convolution; all later ones have twice as many."""
    num_keypoints: int = 32
    """Image points that each camera's network keeps track of."""
    coarse_dim: int = 64
    """Numbers that describe the whole image."""
    hidden_dim: int = 384
    """Width of the MLP."""
    glimpse_px: int = 24
    """Side of what is cut out around each mark, where people point."""
    glimpse_dim: int = 48


class CameraEncoder(nn.Module):
    """One image to one vector."""

    def __init__(self, config: ChunkConfig, image_size: tuple[int, int]) -> None:
        super().__init__()
        width = config.width
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, kernel_size=5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.residual = nn.Sequential(
            nn.Conv2d(2 * width, 2 * width, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, kernel_size=3, padding=1),
        )
        self.where = SpatialSoftmax(2 * width, config.num_keypoints)
        self.reduce = nn.Sequential(
            nn.Conv2d(2 * width, 2 * width, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        cells = 2 * width
        for pixels in image_size:
            cells *= -(-pixels // 16)  # four convolutions of stride 2, each rounding up
        self.what = nn.Sequential(nn.Linear(cells, config.coarse_dim), nn.ReLU())
        self.out_dim = 2 * config.num_keypoints + config.coarse_dim

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, h, w) to (B, out_dim)."""
        features = self.stem(pixels)  # (B, 2 * width, h / 4, w / 4)
        features = functional.relu(features + self.residual(features))
        return torch.cat([self.where(features), self.what(self.reduce(features))], dim=-1)


class GlimpseEncoder(nn.Module):
    """The surroundings of a mark to one vector."""

    def __init__(self, config: ChunkConfig) -> None:
        super().__init__()
        width = config.width
        cells = 2 * width * (-(-config.glimpse_px // 8)) ** 2
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(cells, config.glimpse_dim),
            nn.ReLU(),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, n, n) to (B, glimpse_dim)."""
        return self.layers(pixels)  # type: ignore[no-any-return]


class ChunkPolicy(Policy):
    """See the module's docstring."""

    def __init__(self, shape: PolicyShape, config: ChunkConfig) -> None:
        super().__init__(shape)
        self.encoders = nn.ModuleDict(
            {name: CameraEncoder(config, shape.image_size) for name in shape.cameras}
        )
        in_dim = shape.proprioception_dim + sum(e.out_dim for e in self.encoders.values())  # type: ignore[misc]
        self.glimpse_px = config.glimpse_px
        if shape.marks is not None:
            self.glimpsed = GlimpseEncoder(config)
            in_dim += len(shape.marks.names) * (2 + config.glimpse_dim)
        self.mlp = nn.Sequential(
            nn.Linear(in_dim, config.hidden_dim),
            nn.ReLU(),
            nn.Linear(config.hidden_dim, config.hidden_dim),
            nn.ReLU(),
            nn.Linear(config.hidden_dim, shape.horizon * shape.spec.action_dim),
        )

    def infer(
        self, pixels: dict[str, Tensor], proprioception: Tensor, goal: Tensor | None = None
    ) -> Tensor:
        """Normalised in, normalised chunk (B, horizon, A) out."""
        seen = [self.encoders[name](pixels[name]) for name in self.shape.cameras]
        if self.shape.marks is not None:
            assert goal is not None, "marks were checked where they came in"
            seen.append((2 * goal - 1).flatten(1))
            picture = pixels[self.shape.marks.camera]
            for number in range(len(self.shape.marks.names)):
                seen.append(self.glimpsed(glimpse(picture, goal[:, number], self.glimpse_px)))
        chunk: Tensor = self.mlp(torch.cat([*seen, proprioception], dim=-1))
        return chunk.view(-1, self.shape.horizon, self.shape.spec.action_dim)

    def loss(
        self,
        pixels: dict[str, Tensor],
        proprioception: Tensor,
        chunk: Tensor,
        is_pad: Tensor,
        goal: Tensor | None = None,
    ) -> Tensor:
        """Mean absolute error: the median answer where demonstrators differ."""
        return masked_l1(self.infer(pixels, proprioception, goal), chunk, is_pad)
