"""`act`: Action Chunking with Transformers (Zhao et al. 2023, arXiv 2304.13705, section IV).

A conditional variational auto-encoder. While training, a transformer encoder (the "CVAE encoder")
reads the true chunk and compresses the demonstrator's style into a latent z; the policy itself
sees images, proprioception and z, and reconstructs the chunk. Deployed, z is the prior's mean, 0.

Where we depart from the paper: the ResNet-18 is trained from scratch and has no batch
normalisation but SkipInit (De & Smith 2020, arXiv 2002.10444), because frozen ImageNet statistics
mean nothing without ImageNet weights and normalisation is slow on a CPU; all cameras share the
ResNet and pass through it as one batch; the chunk is relative to the present joints (policy.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from demoloop.policies.cpu_layers import Linear, ReluDropout
from demoloop.policies.errors import PolicyError
from demoloop.policies.policy import Policy, PolicyShape, masked_l1
from demoloop.robot.marked import count_marks


@dataclass(frozen=True)
class ActConfig:
    """Sizes of the network: the defaults suit two CPU cores; the paper's are in brackets."""

    resnet_width: int = 24
    """Channels of the first ResNet stage; doubles at each of the other three [64]."""
    dim: int = 128
    """Width of the transformers [512]."""
    num_heads: int = 4
    """Attention heads [8]."""
    feedforward_dim: int = 512
    """Width inside a transformer layer [3200]."""
    num_encoder_layers: int = 2
    """Layers that mix image, proprioception and latent tokens [4]."""
    num_decoder_layers: int = 1
    """Layers that read the chunk out of them [1 in the released code, for want of a fix]."""
    num_vae_layers: int = 2
    """Layers of the CVAE encoder [4]."""
    latent_dim: int = 32
    """Size of z [32]."""
    kl_weight: float = 10.0
    """How much the latent is held to its prior [10]."""
    dropout: float = 0.1
    """In the transformers, while training [0.1]."""

    def __post_init__(self) -> None:
        if self.dim % self.num_heads:
            raise PolicyError(
                f"policy 'act': dim {self.dim} cannot be shared by {self.num_heads} heads; "
                "choose a multiple"
            )


class ActPolicy(Policy):
    """See the module's docstring."""

    def __init__(self, shape: PolicyShape, config: ActConfig) -> None:
        super().__init__(shape)
        self.config = config
        dim, action_dim = config.dim, shape.spec.action_dim
        self.resnet = ResNet18(config.resnet_width)
        self.image_token = Linear(8 * config.resnet_width, dim)
        self.proprioception_token = Linear(shape.proprioception_dim, dim)
        self.latent_token = Linear(config.latent_dim, dim)
        num_camera_tokens = math.prod(-(-pixels // 32) for pixels in shape.image_size)
        num_marks = count_marks(shape.marks)
        self.goal_token = Linear(2 * num_marks, dim) if num_marks else None
        num_tokens = 2 + (num_marks > 0) + len(shape.cameras) * num_camera_tokens
        self.position = nn.Parameter(0.02 * torch.randn(num_tokens, dim))
        self.encoder = nn.ModuleList(Layer(config) for _ in range(config.num_encoder_layers))
        self.queries = nn.Parameter(0.02 * torch.randn(shape.horizon, dim))
        self.decoder = nn.ModuleList(
            Layer(config, reads=True) for _ in range(config.num_decoder_layers)
        )
        self.decoder_norm = nn.LayerNorm(dim)
        self.head = Linear(dim, action_dim)

        self.style_token = nn.Parameter(0.02 * torch.randn(1, dim))
        self.style_proprioception = Linear(shape.proprioception_dim, dim)
        self.style_action = Linear(action_dim, dim)
        self.style_position = nn.Parameter(0.02 * torch.randn(2 + shape.horizon, dim))
        self.style_encoder = nn.ModuleList(Layer(config) for _ in range(config.num_vae_layers))
        self.style_head = Linear(dim, 2 * config.latent_dim)

    def infer(
        self, pixels: dict[str, Tensor], proprioception: Tensor, goal: Tensor | None = None
    ) -> Tensor:
        """Normalised in, normalised chunk (B, horizon, A) out, with z at the prior's mean."""
        latent = proprioception.new_zeros(len(proprioception), self.config.latent_dim)
        return self._decode(pixels, proprioception, goal, latent)

    def loss(
        self,
        pixels: dict[str, Tensor],
        proprioception: Tensor,
        chunk: Tensor,
        is_pad: Tensor,
        goal: Tensor | None = None,
    ) -> Tensor:
        """Reconstruction (L1) plus the weighted Kullback-Leibler divergence from the prior."""
        mean, log_variance = self._encode_style(proprioception, chunk, is_pad)
        latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        decoded = self._decode(pixels, proprioception, goal, latent)
        reconstruction = masked_l1(decoded, chunk, is_pad)
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(-1)
        return reconstruction + self.config.kl_weight * divergence.mean()

    def _encode_style(
        self, proprioception: Tensor, chunk: Tensor, is_pad: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns mean and log variance of z, (B, latent_dim) each."""
        batch = len(chunk)
        tokens = torch.cat(
            [
                self.style_token.expand(batch, 1, -1),
                self.style_proprioception(proprioception).unsqueeze(1),
                self.style_action(chunk),
            ],
            dim=1,
        )  # (B, 2 + horizon, dim)
        always = is_pad.new_zeros(batch, 2)
        mask = ~torch.cat([always, is_pad], dim=1)[:, None, None, :]  # True may be looked at
        for layer in self.style_encoder[:-1]:
            tokens = layer(tokens, self.style_position, mask=mask)
        # Only the style token is read, so the last layer need not compute the others.
        tokens = self.style_encoder[-1](tokens, self.style_position, mask=mask, num_asked=1)
        mean, log_variance = self.style_head(tokens[:, 0]).chunk(2, dim=-1)
        return mean, log_variance

    def _decode(
        self,
        pixels: dict[str, Tensor],
        proprioception: Tensor,
        goal: Tensor | None,
        latent: Tensor,
    ) -> Tensor:
        cameras = self.shape.cameras
        batch = len(proprioception)
        stacked = torch.cat([pixels[name] for name in cameras])  # (cameras * B, 3, h, w)
        features = self.resnet(stacked).flatten(2).transpose(1, 2)  # (cameras * B, cells, channels)
        image_tokens = self.image_token(features).view(
            len(cameras), batch, features.shape[1], self.config.dim
        )
        told = [self.latent_token(latent), self.proprioception_token(proprioception)]
        if self.goal_token is not None:
            assert goal is not None, "marks were checked where they came in"
            told.append(self.goal_token((2 * goal - 1).flatten(1)))
        tokens = torch.cat(
            [torch.stack(told, dim=1), *image_tokens.unbind(0)], dim=1
        )  # (B, 2 or 3 + cameras * cells, dim)
        for layer in self.encoder:
            tokens = layer(tokens, self.position)
        chunk = torch.zeros_like(self.queries).expand(batch, -1, -1)  # (B, horizon, dim)
        for number, layer in enumerate(self.decoder):
            chunk = layer(
                chunk,
                self.queries,
                memory=tokens,
                memory_position=self.position,
                is_blank=number == 0,
            )
        return self.head(self.decoder_norm(chunk))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Multi-head attention; positions are added to queries and keys, not to values, as in DETR."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.num_heads, self.dropout = config.num_heads, config.dropout
        self.query, self.key, self.value, self.out = (
            Linear(config.dim, config.dim) for _ in range(4)
        )

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """(B, n, dim) queries over (B, m, dim) keys and values."""
        q, k, v = (
            linear(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, heads, n, d)
            for linear, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        dropout = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(q, k, v, mask, dropout)
        return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """One transformer layer, normalised after each step as in the paper's code."""

    def __init__(self, config: ActConfig, *, reads: bool = False) -> None:
        super().__init__()
        self.attend = Attention(config)
        self.norm_attend = nn.LayerNorm(config.dim)
        self.read = Attention(config) if reads else None
        self.norm_read = nn.LayerNorm(config.dim) if reads else nn.Identity()
        self.feedforward = nn.Sequential(
            Linear(config.dim, config.feedforward_dim),
            ReluDropout(config.dropout),
            Linear(config.feedforward_dim, config.dim),
        )
        self.norm_feedforward = nn.LayerNorm(config.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        tokens: Tensor,
        position: Tensor,
        *,
        mask: Tensor | None = None,
        memory: Tensor | None = None,
        memory_position: Tensor | None = None,
        num_asked: int | None = None,
        is_blank: bool = False,
    ) -> Tensor:
        """Mixes tokens (B, n, dim) and returns as many, or the first `num_asked` of them.

        Args:
            tokens: What is known so far.
            position: (n, dim) where each token stands.
            mask: (B, 1, 1, n) bool, True where a token may be looked at; all when None.
            memory: (B, m, dim) tokens to read from.
            memory_position: (m, dim) where those stand.
            num_asked: Tokens whose answer is wanted; all when None.
            is_blank: All tokens are equal, so attention among them has one answer, computed once.
        """
        if is_blank:
            one = tokens[:, :1]
            mixed = self.attend(one, one, one, None).expand_as(tokens)
        else:
            placed = tokens + position
            mixed = self.attend(placed[:, :num_asked], placed, tokens, mask)
        tokens = self.norm_attend(tokens[:, :num_asked] + self.dropout(mixed))
        if self.read is not None and memory is not None and memory_position is not None:
            seen = self.read(tokens + position, memory + memory_position, memory, None)
            tokens = self.norm_read(tokens + self.dropout(seen))
        return self.norm_feedforward(tokens + self.dropout(self.feedforward(tokens)))  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; begins as the shortcut alone (SkipInit)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.scale = nn.Parameter(torch.zeros(()))
        self.shortcut = (
            nn.Conv2d(in_channels, out_channels, 1, stride)
            if stride > 1 or in_channels != out_channels
            else nn.Identity()
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_channels, h, w) to (B, out_channels, h / stride, w / stride)."""
        branch = self.second(functional.relu(self.first(features)))
        # In this order ONNX Runtime draws scale, sum and rectifier into the second convolution.
        return functional.relu(self.shortcut(features) + branch * self.scale)


class ResNet18(nn.Module):
    """He et al. 2015 (arXiv 1512.03385), table 1, without the classifier."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        stages: list[nn.Module] = []
        channels = width
        for stage in range(4):
            wider = width * 2**stage
            stages += [
                ResidualBlock(channels, wider, stride=1 if stage == 0 else 2),
                ResidualBlock(wider, wider, stride=1),
            ]
            channels = wider
        self.stages = nn.Sequential(*stages)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, h, w) to (B, 8 * width, h / 32, w / 32)."""
        return self.stages(self.stem(pixels))  # type: ignore[no-any-return]
