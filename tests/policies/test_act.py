"""ACT leaves out what nobody reads, and that changes nothing."""

from __future__ import annotations

import torch

from demoloop.policies.act import ActConfig, Layer

CONFIG = ActConfig(dim=16, num_heads=2, feedforward_dim=24, dropout=0.0)


def test_asking_for_the_first_token_gives_what_asking_for_all_would() -> None:
    torch.manual_seed(0)
    layer, tokens, position = Layer(CONFIG), torch.randn(3, 7, 16), torch.randn(7, 16)
    mask = torch.tensor([True, True, True, True, True, False, False]).expand(3, 1, 1, 7)
    every = layer(tokens, position, mask=mask)
    one = layer(tokens, position, mask=mask, num_asked=1)
    torch.testing.assert_close(one, every[:, :1])


def test_attention_among_equal_tokens_has_one_answer() -> None:
    torch.manual_seed(0)
    layer, position = Layer(CONFIG, reads=True), torch.randn(7, 16)
    memory, memory_position = torch.randn(3, 5, 16), torch.randn(5, 16)
    blank = torch.randn(3, 1, 16).expand(3, 7, 16)
    full = layer(blank, position, memory=memory, memory_position=memory_position)
    short = layer(blank, position, memory=memory, memory_position=memory_position, is_blank=True)
    torch.testing.assert_close(short, full)


def test_padding_past_the_mask_is_never_looked_at() -> None:
    torch.manual_seed(0)
    layer, position = Layer(CONFIG), torch.randn(7, 16)
    tokens = torch.randn(1, 7, 16)
    mask = torch.tensor([True] * 5 + [False] * 2).view(1, 1, 1, 7)
    other = torch.cat([tokens[:, :5], torch.randn(1, 2, 16)], dim=1)
    first = layer(tokens, position, mask=mask, num_asked=1)
    torch.testing.assert_close(layer(other, position, mask=mask, num_asked=1), first)
