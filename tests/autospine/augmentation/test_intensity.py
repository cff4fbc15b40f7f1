from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from autospine.augmentation import AugmentationSettings, Parameters, apply, sample
from autospine.augmentation.intensity import clip_intensities, tone_curves
from autospine.augmentation.resolution import gaussian, larger_voxels

SHAPE = (2, 1, 40, 30)


def changed(images: Tensor, **changes: Tensor) -> Tensor:
    labels = torch.zeros(images.shape[0], *images.shape[2:], dtype=torch.uint8)
    return apply(images, labels, replace(Parameters.identity(images.shape), **changes))[0]


def images() -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "changes",
    [
        {"gamma": torch.tensor([0.5, 2.0])},
        {"histogram_shift": torch.tensor([[0.0, 0.1, 0.2, 0.7, 0.8, 1.0]] * 2)},
        {"inverted": torch.tensor([True, True])},
    ],
    ids=["gamma", "histogram_shift", "inversion"],
)
def test_tone_changes_keep_mean_deviation_and_order(changes: dict[str, Tensor]) -> None:
    before, after = images(), changed(images(), **changes)
    torch.testing.assert_close(after.mean((1, 2, 3)), before.mean((1, 2, 3)), atol=1e-4, rtol=0)
    torch.testing.assert_close(after.std((1, 2, 3)), before.std((1, 2, 3)), atol=1e-4, rtol=0)
    order = before.flatten(1).argsort(1)
    steps = after.flatten(1).gather(1, order).diff(dim=1)
    assert ((steps <= 1e-6) if "inverted" in changes else (steps >= -1e-6)).all()
    assert not torch.allclose(before, after, atol=0.1) or "inverted" in changes


def test_gamma_is_its_formula() -> None:
    before = images()
    after = changed(before, gamma=torch.tensor([1.6, 1.0]))
    low, high = before[0].min(), before[0].max()
    expected = ((before[0] - low) / (high - low)) ** 1.6
    expected = (expected - expected.mean()) / expected.std() * before[0].std() + before[0].mean()
    torch.testing.assert_close(after[0], expected, atol=1e-3, rtol=0)
    assert torch.equal(after[1], before[1])


def test_inversion_turns_the_image_over() -> None:
    before = images()
    mean = before.mean((1, 2, 3), keepdim=True)
    after = changed(before, inverted=torch.tensor([True, True]))
    torch.testing.assert_close(after, 2 * mean - before, atol=1e-4, rtol=0)


def test_drawn_tone_curves_are_monotone() -> None:
    settings = AugmentationSettings(gamma_probability=1.0, histogram_shift_probability=1.0, inversion_probability=0.0)
    curves = tone_curves(sample(torch.Generator().manual_seed(0), (50, 1, 9, 9), settings))
    assert (curves.diff(dim=1) >= -1e-6).all()
    assert curves.min() >= 0
    assert curves.max() <= 1 + 1e-6


def test_bias_field_is_smooth_and_multiplies() -> None:
    generator = torch.Generator().manual_seed(1)
    before = 1 + torch.rand(SHAPE, generator=generator)
    before[..., 0, 0] = 0  # the darkest value, from which the field counts
    after = changed(before, bias_field=0.4 * torch.randn(2, 4, 4, generator=generator))
    ratio = (after - after[..., :1, :1]) / before  # up to one factor per sample
    ratio = (ratio / ratio[..., 1:, 1:].mean((1, 2, 3), keepdim=True))[..., 1:, 1:]
    assert ratio.std() > 0.05
    assert ratio.diff(dim=-1).abs().max() < 0.15
    assert ratio.diff(dim=-2).abs().max() < 0.15


def test_contrast_and_brightness_are_affine() -> None:
    before = images()
    after = changed(before, contrast=torch.tensor([2.0, 1.0]), brightness=torch.tensor([0.0, 0.5]))
    mean = before[0].mean()
    torch.testing.assert_close(after[0], mean + 2 * (before[0] - mean))
    torch.testing.assert_close(after[1], before[1] + 0.5)


def test_noise_has_its_deviation() -> None:
    after = changed(torch.zeros(2, 1, 100, 100), noise=torch.tensor([0.0, 0.2]))
    assert not after[0].any()
    assert float(after[1].std()) == pytest.approx(0.2, rel=0.05)


def test_neutral_matrices_are_the_identity() -> None:
    assert torch.equal(gaussian(torch.zeros(1), 9)[0], torch.eye(9))
    assert torch.equal(larger_voxels(torch.ones(1), 9)[0], torch.eye(9))


@pytest.mark.parametrize("size", [1, 7, 40])
def test_rows_of_the_matrices_add_up_to_one(size: int) -> None:
    values = torch.tensor([1.0, 1.37, 2.0, 3.3])
    for matrix in (gaussian(values, size), larger_voxels(values, size)):
        assert (matrix >= 0).all()
        torch.testing.assert_close(matrix.sum(-1), torch.ones(4, size))


def test_voxels_twice_as_large_are_means_interpolated_linearly() -> None:
    line = torch.tensor([0.0, 2.0, 4.0, 8.0])
    result = larger_voxels(torch.tensor([2.0]), 4)[0] @ line  # coarse values 1 and 6
    torch.testing.assert_close(result, torch.tensor([1.0, 2.25, 4.75, 6.0]))


def test_blur_has_its_width() -> None:
    point = torch.zeros(1, 1, 41, 41)
    point[..., 20, 20] = 1
    blurred = changed(point, blur=torch.tensor([1.5]))[0, 0]
    place = torch.arange(41.0) - 20
    assert float(blurred.sum()) == pytest.approx(1, abs=1e-4)
    assert float((blurred.sum(1) * place**2).sum()) == pytest.approx(1.5**2, rel=0.01)


def test_clipping_moves_the_extremes_to_quantiles_and_keeps_mean_and_deviation() -> None:
    images = torch.randn(2, 1, 80, 80, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    clipping = torch.tensor([[0.0, 1.0], [0.1, 0.8]])
    clip_intensities(images, replace(Parameters.identity(images.shape), clipping=clipping))
    assert torch.equal(images[0], before[0])
    assert (images[1] == images[1].amin()).float().mean() == pytest.approx(0.1, abs=0.03)
    assert (images[1] == images[1].amax()).float().mean() == pytest.approx(0.2, abs=0.04)
    torch.testing.assert_close(images[1].mean(), before[1].mean(), atol=1e-5, rtol=0)
    torch.testing.assert_close(images[1].std(), before[1].std(), atol=1e-5, rtol=0)
