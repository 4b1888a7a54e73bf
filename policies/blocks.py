"""What more than one policy needs: normalisation and resizing that travel inside the network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Normalizer(nn.Module):
    """(value - mean) / std with the statistics kept in the checkpoint."""

    mean: Tensor
    std: Tensor

    def __init__(self, size: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def set(self, mean: NDArray[np.float32], std: NDArray[np.float32]) -> None:
        """Takes over statistics of the size given at construction."""
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(std))

    def forward(self, value: Tensor) -> Tensor:
        """Normalises (..., *size)."""
        return (value - self.mean) / self.std

    def undo(self, value: Tensor) -> Tensor:
        """Brings (..., *size) back to SI units."""
        return value * self.std + self.mean


class ResizeImage(nn.Module):
    """uint8 (B, H, W, 3) to float (B, 3, h, w) in [-0.5, 0.5], averaging over areas.

    The same weights as OpenCV's INTER_AREA, which made the training cache, written as two matrix
    products so that ONNX Runtime computes exactly what was trained on. An image that has the
    right size already passes untouched.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        """Resizes, scales, and puts channels first."""
        pixels = image.permute(0, 3, 1, 2).to(torch.float32)  # (B, 3, H, W)
        for axis, size in ((2, self.size[0]), (3, self.size[1])):
            if pixels.shape[axis] != size:
                matrix = area_matrix(pixels.shape[axis], size)  # (size, H or W)
                pixels = matrix @ pixels if axis == 2 else pixels @ matrix.T
        return pixels / 255.0 - 0.5


def area_matrix(num_in: int, num_out: int) -> Tensor:
    """Weights (num_out, num_in): row i averages the stretch of input that output i covers."""
    edges = torch.arange(num_out + 1, dtype=torch.float64) * num_in / num_out
    cells = torch.arange(num_in, dtype=torch.float64)
    start = torch.maximum(edges[:-1, None], cells[None, :])
    end = torch.minimum(edges[1:, None], cells[None, :] + 1)
    return ((end - start).clamp_min(0) * num_out / num_in).to(torch.float32)


class SpatialSoftmax(nn.Module):
    """Feature maps to the image coordinates of what they look for (Levine et al. 2016, eq. 3)."""

    def __init__(self, channels: int, num_keypoints: int) -> None:
        super().__init__()
        self.heat = nn.Conv2d(channels, num_keypoints, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, h, w) to (B, 2 * num_keypoints), coordinates in [-1, 1]: all x, all y."""
        heat = self.heat(features)  # (B, K, h, w)
        batch, num_keypoints, height, width = heat.shape
        weight = heat.flatten(2).softmax(-1).view(batch, num_keypoints, height, width)
        x = (weight.sum(2) * torch.linspace(-1, 1, width)).sum(-1)  # (B, K)
        y = (weight.sum(3) * torch.linspace(-1, 1, height)).sum(-1)  # (B, K)
        return torch.cat([x, y], dim=-1)


def glimpse(pixels: Tensor, where: Tensor, size: int) -> Tensor:
    """Cuts (B, C, size, size) out of (B, C, h, w) around `where` (B, 2), x and y from 0 to 1.

    Two matrix products with bilinear weights, as in DRAW (Gregor et al. 2015, eq. 27), so that
    it moves with the mark by fractions of a pixel, and exports. Outside the picture it is 0.
    """
    height, width = pixels.shape[2:]
    offset = torch.arange(size) - (size - 1) / 2  # px

    def weights(centre: Tensor, length: int) -> Tensor:
        sampled = centre[:, None] * length - 0.5 + offset  # (B, size) px
        distance = (sampled[:, :, None] - torch.arange(length)).abs()
        return (1 - distance).clamp_min(0)[:, None]  # (B, 1, size, length)

    rows, columns = weights(where[:, 1], height), weights(where[:, 0], width)
    return rows @ pixels @ columns.transpose(2, 3)
