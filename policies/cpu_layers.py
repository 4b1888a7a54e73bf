"""Layers that compute what torch's own do, quicker on a CPU and with less to remember.

Elsewhere, and when not training, they are torch's own: an exported file knows nothing of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# What torch.compile makes of a linear layer on a CPU; torch has no public name for it.
_HAS_ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """nn.Linear that trains by oneDNN on a CPU, the same to rounding.

    torch itself asks MKL, which uses half of the vector unit of an AMD core: 105 against 240
    GFLOP/s on one core of Zen 5 for 816 tokens of 512 to 3200.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        is_training = self.training and torch.is_grad_enabled()
        is_few = input.numel() < 64 * self.in_features  # oneDNN's gradient crawls for 8 tokens
        is_meant = input.device.type == "cpu" and input.dtype == torch.float32
        if not (_HAS_ONEDNN and is_training and is_meant) or is_few:
            return super().forward(input)
        return _OneDnnLinear.apply(input, self.weight, self.bias)  # type: ignore[no-any-return, no-untyped-call]


class ReluDropout(nn.Dropout):
    """Rectifies, then drops: nn.ReLU and nn.Dropout in one.

    Remembers its answer alone, which the next layer remembers anyway, where the two would keep
    two tensors more; and draws four decisions from one random number, at a quarter of the cost.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        if not self.training or self.p == 0:
            return functional.relu(input)
        return _ReluDropout.apply(input, self.p)  # type: ignore[no-any-return, no-untyped-call]


class _OneDnnLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(tokens, weight)
        return _product(tokens, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        tokens, weight = ctx.saved_tensors
        rows = gradients[0].reshape(-1, len(weight))  # (tokens, out)
        seen = tokens.reshape(len(rows), -1)  # (tokens, in)
        back = _product(rows, weight.T).view_as(tokens) if ctx.needs_input_grad[0] else None
        return back, _product(rows.T, seen.T), rows.sum(0)


def _product(rows: Tensor, columns: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns rows @ columns.T + bias."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, columns, bias, "none", [], "")
    return product


class _ReluDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, share: float) -> Tensor:
        ctx.scale = 1 / (1 - share)
        answer = functional.relu(tensor).mul_(_is_kept(tensor, share)).mul_(ctx.scale)
        ctx.save_for_backward(answer)
        return answer

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (answer,) = ctx.saved_tensors
        # What was dropped and what was rectified are both 0, and neither passes a gradient.
        return (answer > 0) * gradients[0] * ctx.scale, None


def _is_kept(tensor: Tensor, share: float) -> Tensor:
    """Draws which elements to keep; `share` is rounded to 1/65536."""
    count = tensor.numel()
    draws = torch.empty(-(-count // 4), dtype=torch.int64, device=tensor.device)
    numbers = draws.random_(-(2**63), None).view(torch.int16)[:count]
    return numbers.view(tensor.shape) >= round(share * 65536) - 32768
