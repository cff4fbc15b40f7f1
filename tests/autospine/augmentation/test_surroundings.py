from __future__ import annotations

from dataclasses import replace

import torch

from autospine.augmentation.parameters import Parameters
from autospine.augmentation.spatial import crop_field_of_view
from autospine.augmentation.surroundings import add_air, add_implants

SHAPE = (1, 1, 61, 41)


def image() -> torch.Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) + 1


def test_a_rod_is_dark_within_a_bright_rim_and_only_there() -> None:
    images = image()
    before = images.clone()
    rods = torch.zeros(1, 4, 8)
    rods[0, 0] = torch.tensor([30 / 61, 20 / 41, 0.5, 8.0, 0.0, 4.0, 1.5, 0.2])
    add_implants(images, replace(Parameters.identity(SHAPE), implants=rods))
    dark, bright = before.amin(), before.amin() + 0.9 * (before.amax() - before.amin())
    row = images[0, 0, 30]
    assert (row[9:32] == dark).all()  # half length 8 and radius 4 about column 20, ends excluded
    torch.testing.assert_close(images[0, 0, 35, 15:26], bright.expand(11))
    assert torch.equal(images[0, 0, 40:], before[0, 0, 40:])


def test_a_rod_crosses_some_slices_of_a_volume() -> None:
    images = image()[:, :, None].repeat(1, 1, 11, 1, 1)
    before = images.clone()
    rods = torch.zeros(1, 4, 8)
    rods[0, 0] = torch.tensor([0.5, 0.5, 0.5, 5.0, 0.3, 3.0, 1.2, 0.1])
    add_implants(images, replace(Parameters.identity(images.shape), implants=rods))
    changed = (images != before).flatten(3).any(3)[0, 0]
    assert changed.nonzero()[:, 0].tolist() == [4, 5, 6]


def test_air_is_dark_background_and_holds_an_arm() -> None:
    images, labels = image(), torch.full((1, 61, 41), 3)
    before = images.clone()
    arm = torch.tensor([[1.0, 1.0, 0.5, 0.4, 0.0, 0.6, 0.05, 0.4, 0.8]])
    add_air(images, labels, replace(Parameters.identity(SHAPE), air=torch.tensor([[5 / 41, 21 / 41]]), arm=arm))
    assert (labels[..., :5] == 0).all()
    assert (labels[..., 5:21] == 3).all()
    assert (labels[..., 21:] == 0).all()
    assert (images[..., :5] == before.amin()).all()
    assert torch.equal(images[..., 5:21], before[..., 5:21])
    assert images[0, 0, 30, 31] > before.amin() + 0.3
    assert images.amax() <= before.amax()


def test_padded_columns_are_dark_background_and_cropped_rows_are_not_annotated() -> None:
    images, labels = image(), torch.full((1, 61, 41), 3)
    dark = images.amin()
    drawn = replace(
        Parameters.identity(SHAPE), visible_rows=torch.tensor([[0, 50]]), visible_columns=torch.tensor([[4, 39]])
    )
    crop_field_of_view(images, labels, drawn, outside=9)
    assert (labels[0, 50:, 4:39] == 9).all()
    assert (labels[0, :, :4] == 0).all()
    assert (labels[0, :, 39:] == 0).all()
    assert (labels[0, :50, 4:39] == 3).all()
    assert (images[0, 0, :, :4] == dark).all()
