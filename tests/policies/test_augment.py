"""Laws of augmentation: other light, a little elsewhere, never another kind of tensor."""

from __future__ import annotations

import pytest
import torch

from demoloop.policies.augment import AugmentConfig, augment, augment_proprioception

PIXELS = torch.rand(6, 3, 12, 20, generator=torch.Generator().manual_seed(0)) - 0.5


def drawn(config: AugmentConfig, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return augment(PIXELS, config)


@pytest.mark.parametrize(
    "config", [AugmentConfig(), AugmentConfig(0.3, 4), AugmentConfig(0.0, 30), AugmentConfig(0, 0)]
)
def test_shape_and_type_stay_and_the_original_is_not_touched(config: AugmentConfig) -> None:
    before = PIXELS.clone()
    varied = drawn(config)
    assert (varied.shape, varied.dtype) == (PIXELS.shape, PIXELS.dtype)
    assert torch.equal(PIXELS, before)


def test_all_zero_changes_nothing() -> None:
    assert torch.equal(drawn(AugmentConfig(0.0, 0)), PIXELS)


def test_same_seed_draws_the_same_and_another_does_not() -> None:
    config = AugmentConfig(0.1, 3)
    assert torch.equal(drawn(config, 5), drawn(config, 5))
    assert not torch.equal(drawn(config, 5), drawn(config, 6))


def test_colour_is_one_line_per_image_and_channel_within_its_bounds() -> None:
    varied = drawn(AugmentConfig(colour=0.2))
    x, y = PIXELS.flatten(2), varied.flatten(2)  # (6, 3, 240)
    contrast = (y[..., 1:] - y[..., :1]) / (x[..., 1:] - x[..., :1])
    slope = contrast.median(-1).values  # (6, 3)
    offset = y.mean(-1) - slope * x.mean(-1)
    torch.testing.assert_close(slope[..., None] * x + offset[..., None], y, atol=1e-4, rtol=0)
    assert ((slope - 1).abs() <= 0.2 + 1e-4).all()
    assert (offset.abs() <= 0.1 + 1e-4).all()
    assert slope.flatten().unique().numel() == 18  # each image and channel its own
    # Brightness is the image's, all channels alike.
    torch.testing.assert_close(offset, offset[:, :1].expand(-1, 3), atol=1e-4, rtol=0)


def test_shift_moves_the_whole_batch_alike_within_its_reach() -> None:
    reach = 3
    moves = set()
    inner = (slice(None), slice(None), slice(reach, -reach), slice(reach, -reach))
    for seed in range(40):
        varied = drawn(AugmentConfig(0.0, reach), seed)
        found = [
            (down, right)
            for down in range(-reach, reach + 1)
            for right in range(-reach, reach + 1)
            if torch.equal(varied[inner], PIXELS.roll((down, right), (2, 3))[inner])
        ]
        assert len(found) == 1
        moves.add(found[0])
    assert {down for down, _ in moves} == set(range(-reach, reach + 1))
    assert {right for _, right in moves} == set(range(-reach, reach + 1))


def test_noise_on_proprioception_has_the_size_asked_for_and_zero_changes_nothing() -> None:
    normal = torch.zeros(4000, 3)
    torch.manual_seed(0)
    noise = augment_proprioception(normal, AugmentConfig(proprioception=0.5))
    torch.testing.assert_close(noise.std(0), torch.full((3,), 0.5), atol=0.03, rtol=0)
    torch.testing.assert_close(noise.mean(0), torch.zeros(3), atol=0.03, rtol=0)
    assert augment_proprioception(normal, AugmentConfig()) is normal
