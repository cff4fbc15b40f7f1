from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from autospine.augmentation.parameters import CLASSES, TISSUES, Parameters
from autospine.augmentation.synthesis import synthesise, tissue_curves

SHAPE = (2, 1, 40, 30)


def parameters(brightness: Tensor, noise: float = 0.0, texture: float = 0.0) -> Parameters:
    """Synthesise the second of two samples."""
    synthesised = torch.tensor([False, True])
    return replace(
        Parameters.identity(SHAPE),
        synthesised=synthesised,
        tissue_brightness=brightness.expand(2, -1, -1) * synthesised[:, None, None],
        tissue_noise=torch.full((2, CLASSES), noise),
        tissue_texture=torch.full((2, CLASSES), texture),
    )


def flat(*classes: float) -> Tensor:
    """Give each class one brightness."""
    return torch.tensor([*classes, *[0.0] * (CLASSES - len(classes))])[:, None].repeat(1, TISSUES)


def squares() -> Tensor:
    labels = torch.zeros(2, 40, 30, dtype=torch.uint8)
    labels[:, 5:15, 5:25], labels[:, 20:35, 5:25] = 3, 7
    return labels


def noise() -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


def test_each_class_has_its_own_brightness_and_the_image_its_mean_and_deviation() -> None:
    images, labels = noise(), squares()
    before, mask = images.clone(), labels.clone()
    classes = torch.tensor([0, 0, 0, 1, 0, 0, 0, 2])
    synthesise(images, labels, parameters(flat(0.0, 0.5, 1.0)), classes)
    assert torch.equal(images[0], before[0])
    assert torch.equal(labels, mask)
    torch.testing.assert_close(images[1].mean(), before[1].mean(), atol=1e-5, rtol=0)
    torch.testing.assert_close(images[1].std(), before[1].std(), atol=1e-5, rtol=0)
    background, first, second = images[1, 0, 1, 1], images[1, 0, 6:14, 6:24], images[1, 0, 21:34, 6:24]
    assert first.std() < 1e-5
    assert second.std() < 1e-5
    torch.testing.assert_close(first.mean() - background, second.mean() - first.mean())


def test_labels_of_one_class_look_alike_and_without_a_table_each_is_a_class() -> None:
    together, apart = noise(), noise()
    brightness = flat(*[0.1 * k for k in range(CLASSES)])
    synthesise(together, squares(), parameters(brightness), torch.tensor([0, 0, 0, 1, 0, 0, 0, 1]))
    synthesise(apart, squares(), parameters(brightness))
    torch.testing.assert_close(together[1, 0, 10, 10], together[1, 0, 25, 10])
    assert apart[1, 0, 25, 10] > apart[1, 0, 10, 10]


def test_more_classes_than_there_are_curves_share_them() -> None:
    images, labels = noise(), squares().long() * 40
    synthesise(images, labels, parameters(flat(*[0.1 * k for k in range(CLASSES)])))
    assert images.isfinite().all()


def test_a_straight_curve_with_all_texture_keeps_the_image() -> None:
    images = torch.linspace(-1, 2, 1200).view(1, 1, 40, 30).repeat(2, 1, 1, 1)
    before = images.clone()
    knots = torch.tensor([0.0, *[0.6 * 0.98 * s + 0.4 * (0.04 + 0.96 * s) for s in (0.125, 0.375, 0.625, 0.875)]])
    synthesise(images, torch.zeros(2, 40, 30), parameters(knots.repeat(CLASSES, 1), texture=1.0))
    correlation = torch.corrcoef(torch.stack([images[1].flatten(), before[1].flatten()]))[0, 1]
    assert correlation > 0.98


def test_curves_pass_through_their_knots() -> None:
    knots = torch.tensor([[0.0, 0.2, 0.4, 0.6, 0.8]])
    brightness = torch.rand(1, CLASSES, TISSUES, generator=torch.Generator().manual_seed(0))
    curves = tissue_curves(knots, brightness)
    assert curves.shape == (1, CLASSES, 256)
    torch.testing.assert_close(curves[0, :, [0, 51, 102, 153, 204]], brightness[0])
    torch.testing.assert_close(curves[0, :, 255], brightness[0, :, -1])


def test_noise_repeats_and_stays_within_its_class() -> None:
    first, second = noise(), noise()
    drawn = replace(parameters(flat(0.0, 0.5), noise=0.1), tissue_noise=torch.tensor([[0.0, 0.1] + [0.0] * 10] * 2))
    classes = torch.tensor([0, 0, 0, 1, 0, 0, 0, 0])
    synthesise(first, squares(), drawn, classes)
    synthesise(second, squares(), drawn, classes)
    assert torch.equal(first, second)
    assert first[1, 0, 6:14, 6:24].std() > 0.1
    assert first[1, 0, 21:34, 6:24].std() < 1e-5


def test_slices_of_volumes_share_curves() -> None:
    images = noise()[:, :, None].repeat(1, 1, 3, 1, 1)
    labels = squares()[:, None].repeat(1, 3, 1, 1)
    synthesise(images, labels, parameters(flat(0.0, 0.5, 1.0), texture=0.5))
    torch.testing.assert_close(images[1, :, 0], images[1, :, 2])
