"""Laws of every network in POLICIES, and of what travels inside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from demoloop.datasets import Batch
from demoloop.policies import (
    POLICIES,
    Policy,
    PolicyError,
    PolicyShape,
    TrainingRanges,
    make_policy,
)
from demoloop.policies.augment import AugmentConfig
from demoloop.policies.blocks import ResizeImage, SpatialSoftmax

Sizes = dict[str, dict[str, int | float]]


@pytest.fixture(params=list(POLICIES))
def policy(
    request: pytest.FixtureRequest, shape: PolicyShape, sizes: Sizes, ranges: TrainingRanges
) -> Policy:
    torch.manual_seed(0)
    policy = make_policy(request.param, shape, sizes.get(request.param))
    policy.set_ranges(ranges)
    return policy.eval()


def loss(policy: Policy, batch: Batch, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    pixels = {name: policy.resize(image) for name, image in batch.images.items()}
    value: torch.Tensor = policy(pixels, batch.proprioception, batch.actions, batch.is_pad)
    return value


def test_padding_never_changes_the_loss(policy: Policy, make_batch: Callable[..., Batch]) -> None:
    batch = make_batch()
    garbage = torch.where(batch.is_pad[..., None], 100.0, batch.actions)
    assert batch.is_pad.any()
    assert loss(policy, replace(batch, actions=garbage)) == loss(policy, batch)


def test_every_real_step_counts_in_the_loss(
    policy: Policy, make_batch: Callable[..., Batch]
) -> None:
    batch = make_batch()
    for row, step in (~batch.is_pad).nonzero().tolist():
        actions = batch.actions.clone()
        actions[row, step] += 100.0
        assert loss(policy, replace(batch, actions=actions)) > loss(policy, batch) + 1


def test_loss_of_a_batch_is_the_mean_of_its_parts(
    shape: PolicyShape, sizes: Sizes, make_batch: Callable[..., Batch]
) -> None:
    # Of `chunk` alone: `act` draws a latent per sample.
    policy = make_policy("chunk", shape, sizes["chunk"]).eval()
    batch = make_batch(4)
    halves = [
        Batch(
            batch.index[part],
            {name: image[part] for name, image in batch.images.items()},
            batch.proprioception[part],
            batch.actions[part],
            batch.is_pad[part],
        )
        for part in (slice(0, 2), slice(2, 4))
    ]
    mean = torch.stack([loss(policy, half) for half in halves]).mean()
    torch.testing.assert_close(mean, loss(policy, batch))


def test_every_weight_gets_a_gradient_as_several_processes_need(
    policy: Policy, make_batch: Callable[..., Batch]
) -> None:
    policy.train()
    loss(policy, make_batch()).backward()  # type: ignore[no-untyped-call]
    assert not [name for name, value in policy.named_parameters() if value.grad is None]


def test_every_camera_and_joint_is_looked_at(
    policy: Policy, make_batch: Callable[..., Batch]
) -> None:
    with torch.no_grad():
        for name, value in policy.named_parameters():
            if name.endswith("scale"):
                value.fill_(0.5)
        batch = make_batch(1)
        answer = policy.predict(batch.images, batch.proprioception)
        for name in batch.images:
            dark = {**batch.images, name: torch.zeros_like(batch.images[name])}
            assert (policy.predict(dark, batch.proprioception) != answer).any(), name
        for joint in range(6):
            moved = batch.proprioception.clone()
            moved[0, joint] += 0.3
            assert (policy.predict(batch.images, moved) != answer).any(), joint


def test_chunk_is_predicted_relative_to_the_present_joints(
    policy: Policy, ranges: TrainingRanges, make_batch: Callable[..., Batch]
) -> None:
    # A network that answers 0 predicts the mean motion of training, from here.
    policy.infer = lambda pixels, seen, goal=None: torch.zeros(len(seen), 4, 3)  # type: ignore[method-assign]
    batch = make_batch(2)
    answer = policy.predict(batch.images, batch.proprioception)
    expected = batch.proprioception[:, None, :3] + torch.from_numpy(ranges.action_mean)
    torch.testing.assert_close(answer, expected)


def test_perfect_prediction_has_no_loss(
    shape: PolicyShape, ranges: TrainingRanges, make_batch: Callable[..., Batch], sizes: Sizes
) -> None:
    batch = make_batch(2)
    policy = make_policy("chunk", shape, sizes["chunk"])
    policy.set_ranges(ranges)
    relative = batch.actions - batch.proprioception[:, None, :3]
    normal = (relative - torch.from_numpy(ranges.action_mean)) / torch.from_numpy(ranges.action_std)
    policy.infer = lambda pixels, seen, goal=None: normal  # type: ignore[method-assign]
    assert loss(policy, batch) == pytest.approx(0, abs=1e-6)  # rounding of float32


@pytest.mark.parametrize("size", [(16, 24), (32, 48), (13, 17), (33, 49), (96, 128)])
def test_resizing_is_opencvs_inter_area(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    resize = ResizeImage((13, 17))
    ours = (resize(torch.from_numpy(image)[None])[0] + 0.5) * 255
    theirs = cv2.resize(image, (17, 13), interpolation=cv2.INTER_AREA)
    # OpenCV rounds to whole numbers, by half a grey level, ties perhaps a hair more.
    np.testing.assert_allclose(ours.permute(1, 2, 0).numpy(), theirs, atol=0.501)


def test_image_of_the_right_size_passes_untouched() -> None:
    image = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    pixels = ResizeImage((16, 16))(image)
    assert torch.equal(((pixels + 0.5) * 255).round().to(torch.uint8), image.permute(0, 3, 1, 2))
    assert (pixels.min(), pixels.max()) == (-0.5, 0.5)


def test_spatial_softmax_says_where_the_bright_spot_is() -> None:
    softmax = SpatialSoftmax(1, 1)
    with torch.no_grad():
        softmax.heat.weight.fill_(100.0)
    features = torch.zeros(1, 1, 5, 9)
    features[0, 0, 3, 7] = 1.0
    x, y = softmax(features)[0].tolist()
    assert (x, y) == pytest.approx((0.75, 0.5), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("chunks", {}, "no policy 'chunks'; there are chunk, act"),
        ("chunk", {"widht": 8}, "no size 'widht'; it has width, num_keypoints"),
        ("chunk", {"width": 0}, "width is 0; it must be a whole number"),
        ("act", {"dim": 1.5}, "dim is 1.5; it must be a whole number"),
        ("act", {"dim": 30, "num_heads": 4}, "dim 30 cannot be shared by 4 heads"),
    ],
)
def test_impossible_policy_is_refused(
    shape: PolicyShape, name: str, sizes: dict[str, float], message: str
) -> None:
    with pytest.raises(PolicyError, match=message):
        make_policy(name, shape, sizes)


class _Listener(Policy):
    """Keeps what it was told and what was asked of it."""

    def infer(
        self, pixels: dict[str, Tensor], proprioception: Tensor, goal: Tensor | None = None
    ) -> Tensor:
        raise NotImplementedError

    def loss(
        self,
        pixels: dict[str, Tensor],
        proprioception: Tensor,
        chunk: Tensor,
        is_pad: Tensor,
        goal: Tensor | None = None,
    ) -> Tensor:
        self.told, self.asked = proprioception, chunk
        return chunk.sum()


def test_noise_changes_the_joints_a_network_is_told_and_never_the_answer_asked_of_it(
    shape: PolicyShape, ranges: TrainingRanges, make_batch: Callable[..., Batch]
) -> None:
    policy, batch = _Listener(shape), make_batch()
    policy.set_ranges(ranges)
    numbers = (batch.proprioception, batch.actions, batch.is_pad)
    policy({}, *numbers, None, AugmentConfig())
    told, asked = policy.told, policy.asked
    policy({}, *numbers, None, AugmentConfig(proprioception=0.3))
    assert not torch.equal(policy.told, told)
    assert torch.equal(policy.asked, asked)
