from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from autospine.augmentation import AugmentationSettings, Parameters, apply, sample

ONLY_SPACE = AugmentationSettings(
    affine_probability=1.0,
    mirror=False,
    fov_crop_probability=0.0,
    gamma_probability=0.0,
    histogram_shift_probability=0.0,
    inversion_probability=0.0,
    bias_field_probability=0.0,
    contrast_probability=0.0,
    brightness_probability=0.0,
    blur_probability=0.0,
    low_resolution_probability=0.0,
    noise_probability=0.0,
)
CENTRES = {
    2: [(40.0, 30.0), (60.3, 50.6), (75.0, 35.2)],
    3: [(1.0, 40.0, 30.0), (3.0, 60.3, 50.6), (4.0, 75.0, 35.2)],
}


def blobs(dimension: int, samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """Discs of radius 8 about the centres, labelled from 1; the image is bright where they are."""
    size = (110, 90) if dimension == 2 else (6, 110, 90)
    grid = torch.stack(torch.meshgrid(*(torch.arange(n).float() for n in size), indexing="ij"), -1)
    labels = torch.zeros(size, dtype=torch.uint8)
    for value, centre in enumerate(CENTRES[dimension], start=1):
        offset = grid - torch.tensor(centre)
        inside = offset[..., -2:].norm(dim=-1) < 8
        labels[inside & (offset[..., 0].abs() < 0.5) if dimension == 3 else inside] = value
    centres = torch.stack([(labels == value).nonzero().float().mean(0) for value in (1, 2, 3)])
    images = (labels > 0).float()[None]
    return (
        images.repeat(samples, *[1] * images.ndim),
        labels.repeat(samples, *[1] * labels.ndim),
        centres.repeat(samples, 1, 1),
    )


def centroids(labels: Tensor) -> Tensor:
    return torch.stack(
        [torch.stack([(one == value).nonzero().float().mean(0) for value in (1, 2, 3)]) for one in labels]
    )


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_points_follow_the_labels(dimension: int, seed: int) -> None:
    images, labels, centres = blobs(dimension, 3)
    settings = replace(ONLY_SPACE, mirror_axes=(-3, -2, -1), pixel_spacing=(1.0, 0.7))
    parameters = sample(torch.Generator().manual_seed(seed), images.shape, settings)
    moved, new_labels, new_centres = apply(images, labels, parameters, centres)
    assert new_centres is not None
    assert (centroids(new_labels) - new_centres).norm(dim=-1).max() < 0.6
    assert not torch.equal(new_labels, labels)
    outlines_only = ((moved[:, 0] > 0.5) != (new_labels > 0)).float().mean()
    assert outlines_only < 0.005


def test_mirroring_is_exact() -> None:
    images = torch.randn(1, 1, 4, 6, 5)
    labels = torch.randint(0, 9, (1, 4, 6, 5))
    identity = Parameters.identity(images.shape)
    mirrored = replace(
        identity, matrix=identity.matrix * torch.tensor([1.0, -1.0]), mirrored_slices=torch.tensor([True])
    )
    centres = torch.tensor([[[0.0, 2.0, 1.0]]])
    new_images, new_labels, new_centres = apply(images, labels, mirrored, centres)
    torch.testing.assert_close(new_images, images.flip(-1, -3), atol=1e-5, rtol=0)
    assert torch.equal(new_labels, labels.flip(-1, -3))
    torch.testing.assert_close(new_centres, torch.tensor([[[3.0, 2.0, 3.0]]]))


def test_a_whole_voxel_shift_moves_rows_and_darkens_what_comes_in() -> None:
    images, labels = torch.rand(1, 1, 8, 7) + 2, torch.ones(1, 8, 7, dtype=torch.long)
    parameters = replace(Parameters.identity(images.shape), shift=torch.tensor([[2.0, 0.0]]))
    moved, new_labels, _ = apply(images, labels, parameters, outside=255)
    torch.testing.assert_close(moved[:, :, 2:], images[:, :, :-2], atol=1e-4, rtol=0)
    torch.testing.assert_close(moved[:, :, :2], images.amin().expand(1, 1, 2, 7), atol=1e-4, rtol=0)
    assert (new_labels[:, :2] == 255).all()
    assert (new_labels[:, 2:] == 1).all()


def test_rotation_keeps_lengths_in_millimetres() -> None:
    spacing = torch.tensor([2.0, 0.5])
    settings = replace(ONLY_SPACE, scale=(1.0, 1.0), shear=0.0, pixel_spacing=(2.0, 0.5))
    matrix = sample(torch.Generator().manual_seed(0), (20, 1, 9, 9), settings).matrix
    step = torch.tensor([3.0, 5.0])
    lengths = ((matrix @ step) * spacing).norm(dim=1)
    torch.testing.assert_close(lengths, (step * spacing).norm().expand(20))


def test_default_ranges_hold_and_rows_never_turn_over() -> None:
    settings = replace(ONLY_SPACE, shear=0.0)
    matrix = sample(torch.Generator().manual_seed(0), (500, 1, 9, 9), settings).matrix
    scale = torch.linalg.det(matrix).sqrt()
    angle = torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]).abs()
    assert scale.min() >= 0.8 - 1e-5
    assert scale.max() <= 1.25 + 1e-5
    assert angle.max() <= math.radians(15) + 1e-5
    assert angle.max() > math.radians(13)


def test_cut_field_of_view_is_dark_ignored_and_recorded() -> None:
    shape = (40, 1, 50, 12)
    settings = replace(ONLY_SPACE, affine_probability=0.0, fov_crop_probability=0.5)
    parameters = sample(torch.Generator().manual_seed(0), shape, settings)
    images, labels = torch.randn(shape), torch.ones(40, 50, 12, dtype=torch.uint8)
    cut, cut_labels, _ = apply(images, labels, parameters, outside=255)
    cases = set()
    for index, (first, end) in enumerate(parameters.visible_rows.tolist()):
        cases.add((first > 0, end < 50))
        assert end - first >= 30
        assert torch.equal(cut[index, :, first:end], images[index, :, first:end])
        hidden = torch.cat([cut[index, 0, :first], cut[index, 0, end:]])
        assert (hidden == images[index].amin()).all()
        assert (cut_labels[index, first:end] == 1).all()
        assert int((cut_labels[index] == 255).sum()) == hidden.numel()
    assert cases == {(False, False), (True, False), (False, True)}
