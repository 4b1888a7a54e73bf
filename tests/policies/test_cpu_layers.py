"""The quick layers compute what torch's own do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from demoloop.policies.cpu_layers import Linear, ReluDropout


@pytest.mark.parametrize("shape", [(3, 50, 24), (800, 24), (2, 24)])
def test_linear_gives_the_values_and_gradients_of_torch_s_own(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    ours, theirs = Linear(24, 40), nn.Linear(24, 40)
    theirs.load_state_dict(ours.state_dict())
    tokens = torch.randn(*shape)
    found = []
    for layer in (ours, theirs):
        seen = tokens.clone().requires_grad_()
        answer = layer(seen)
        answer.square().sum().backward()
        assert layer.weight.grad is not None and layer.bias.grad is not None
        found.append((answer.detach(), seen.grad, layer.weight.grad, layer.bias.grad))
    for mine, other in zip(*found, strict=True):
        assert mine is not None and other is not None
        # 800 sums of float32 in another order
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-3)


def test_linear_takes_tokens_that_do_not_lie_in_a_row() -> None:
    torch.manual_seed(0)
    layer, tokens = Linear(24, 40), torch.randn(24, 80).T
    one = torch.randn(1, 24).expand(80, -1)
    for seen in (tokens, one):
        expected = seen @ layer.weight.T + layer.bias
        torch.testing.assert_close(layer(seen), expected, rtol=1e-5, atol=1e-5)


def test_linear_trains_on_tokens_that_need_no_gradient_themselves() -> None:
    layer = Linear(24, 40)
    layer(torch.randn(80, 24)).sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.is_contiguous()


def test_dropped_elements_are_zero_and_the_rest_grow_so_that_the_mean_stays() -> None:
    torch.manual_seed(0)
    answer = ReluDropout(0.1)(torch.ones(1000, 1001))
    values, counts = answer.unique(return_counts=True)
    torch.testing.assert_close(values, torch.tensor([0.0, 1 / 0.9]))
    # 1e6 draws: 4 standard deviations are 0.0012
    assert counts[0].item() / answer.numel() == pytest.approx(0.1, abs=0.0012)


def test_only_what_passed_both_gets_a_gradient() -> None:
    torch.manual_seed(0)
    seen = torch.randn(40, 50, requires_grad=True)
    answer = ReluDropout(0.25)(seen)
    answer.backward(torch.full_like(answer, 3.0))
    assert seen.grad is not None
    torch.testing.assert_close(seen.grad, (answer > 0) * (3.0 / 0.75))
    assert not (answer > 0)[seen < 0].any() and 0 < (answer > 0).float().mean() < 0.5


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    dropped = ReluDropout(0.5)(torch.ones(400_000)) == 0
    for lag in (1, 2, 3, 4):
        both = (dropped[lag:] & dropped[:-lag]).float().mean().item()
        assert both == pytest.approx(0.25, abs=0.005)  # 4e5 draws: 7 standard deviations


def test_without_training_it_only_rectifies() -> None:
    seen = torch.randn(30)
    torch.testing.assert_close(ReluDropout(0.9).eval()(seen), seen.clamp_min(0))


def test_the_same_seed_drops_the_same() -> None:
    layer, seen = ReluDropout(0.5), torch.ones(101)
    answers = []
    for _ in range(2):
        torch.manual_seed(3)
        answers.append(layer(seen))
    assert torch.equal(*answers)
