from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from autospine.augmentation import BatchgeneratorsSettings
from autospine.augmentation.batchgenerators import augment

SHAPES = {"2d": (3, 2, 40, 32), "3d": (3, 1, 5, 40, 32)}
IGNORE = 255
ALL = BatchgeneratorsSettings(
    rotation_probability=1.0,
    scale_probability=1.0,
    elastic_probability=1.0,
    translation=0.1,
    mirror_axes=(-3, -1),
    contrast_probability=1.0,
    brightness_probability=1.0,
)


def batch(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """An image that is bright where the label is 1."""
    labels = torch.zeros(shape[0], *shape[2:], dtype=torch.uint8)
    labels[..., 15:30, 8:18] = 1
    images = labels[:, None].float().expand(shape).clone() * 3 - 1
    return images, labels


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_defaults_change_nothing(shape: tuple[int, ...]) -> None:
    images, labels = batch(shape)
    same_images, same_labels = augment(images, labels, BatchgeneratorsSettings(), 1)
    assert torch.equal(same_images, images)
    assert torch.equal(same_labels, labels)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_same_seed_gives_the_same_batch_and_leaves_numpys_generator_alone(shape: tuple[int, ...]) -> None:
    images, labels = batch(shape)
    before = np.random.get_state()[1].tolist()
    first, again, other = (augment(images, labels, ALL, seed, IGNORE) for seed in (3, 3, 4))
    assert np.random.get_state()[1].tolist() == before
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert (first[0].dtype, first[1].dtype) == (images.dtype, labels.dtype)
    assert torch.equal(images, batch(shape)[0])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_labels_move_with_the_image_and_what_comes_from_outside_is_dark_and_ignored(shape: tuple[int, ...]) -> None:
    settings = BatchgeneratorsSettings(rotation_probability=1.0, rotation_degrees=30.0, mirror_axes=(-1,))
    images, labels = augment(*batch(shape), settings, 0, IGNORE)
    assert set(labels.unique().tolist()) == {0, 1, IGNORE}
    assert images.min() == pytest.approx(-1.0)
    bright = images[:, 0] > 0.5
    assert ((labels == 1) == bright).float().mean() > 0.97


def test_all_slices_turn_alike() -> None:
    images, labels = augment(*batch(SHAPES["3d"]), BatchgeneratorsSettings(rotation_probability=1.0), 2)
    assert torch.equal(images, images[:, :, :1].expand_as(images))
    assert torch.equal(labels, labels[:, :1].expand_as(labels))


def test_intensities_change_as_named() -> None:
    images, labels = batch(SHAPES["2d"])
    brighter, same = augment(images + 1, labels, BatchgeneratorsSettings(brightness_probability=1.0), 5)
    factors = brighter[:, 0, 20, 10] / 3
    assert factors.tolist() == pytest.approx((brighter[:, 1, 20, 10] / 3).tolist())
    assert ((factors >= 0.8) & (factors <= 1.2)).all()
    assert torch.equal(same, labels)
    flatter, _ = augment(images, labels, BatchgeneratorsSettings(contrast_probability=1.0, contrast=(0.5, 1.0)), 1)
    share = flatter.std((2, 3)) / images.std((2, 3))
    assert ((share >= 0.5) & (share <= 1)).all()
    assert share.min() < 0.99
    torch.testing.assert_close(flatter.mean((2, 3)), images.mean((2, 3)))
