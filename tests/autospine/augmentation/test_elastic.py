from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from batchgenerators.augmentations.utils import interpolate_img
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from torch import Tensor

from autospine.augmentation import AugmentationSettings, Parameters, apply, sample
from autospine.augmentation.elastic import (
    BORDER,
    LIMIT,
    displacement,
    displacement_at,
    intervals,
    invert,
    spline_weights,
)
from autospine.core.errors import UserError
from tests.autospine.augmentation.test_spatial import CENTRES, ONLY_SPACE, blobs, centroids

ELASTIC = replace(ONLY_SPACE, affine_probability=0.0, elastic_probability=1.0)
SIZE = (110, 90)


def nodes_of(generator: torch.Generator, share: float, counts: tuple[int, int] = (6, 5)) -> Tensor:
    """Nodes displaced to the utmost either way: `share` of their distance, in voxels."""
    signs = torch.randint(0, 2, (1, 2, *(n + BORDER for n in counts)), generator=generator) * 2.0 - 1
    between = torch.tensor([size / count for size, count in zip(SIZE, counts, strict=True)])
    return signs * share * between[:, None, None]


def determinants(nodes: Tensor) -> Tensor:
    """Of the map pixel + displacement, by central differences on a lattice finer than pixels."""
    rows, columns = (torch.linspace(0, size - 1, 3 * size, dtype=torch.float64) for size in SIZE)
    centres = torch.cartesian_prod(rows, columns)[None]  # (1, N, 2)
    step, nodes = 1e-3, nodes.double()
    slopes = []
    for axis in range(2):
        aside = torch.zeros(2, dtype=torch.float64)
        aside[axis] = step
        before, after = (displacement_at(nodes, SIZE, centres + sign * aside) for sign in (-1, 1))
        slopes.append((after - before) / (2 * step))
    jacobian = torch.eye(2, dtype=torch.float64) + torch.stack(slopes, -1)  # (1, N, 2, 2)
    return torch.linalg.det(jacobian)


def test_weights_are_those_of_a_cubic_b_spline() -> None:
    place = torch.linspace(0, 4, 81, dtype=torch.float64)[:-1]
    weights = spline_weights(place, 4 + BORDER)
    spline = BSpline(np.arange(-3, 8), np.eye(4 + BORDER), 3)
    np.testing.assert_allclose(weights, spline(place.numpy()), atol=1e-12)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_at_the_limit_nothing_folds(seed: int) -> None:
    nodes = nodes_of(torch.Generator().manual_seed(seed), LIMIT)
    assert determinants(nodes).min() > 0


def test_far_beyond_the_limit_something_folds() -> None:
    """So the test above can fail."""
    nodes = nodes_of(torch.Generator().manual_seed(0), 4 * LIMIT)
    assert determinants(nodes).min() < 0


def test_an_amplitude_that_could_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="more than a quarter of 12 mm"):
        AugmentationSettings(elastic_amplitude_mm=4.0, elastic_smoothness_mm=12.0)
    with pytest.raises((ValueError, UserError), match="more than a quarter"):
        AugmentationSettings.from_dict({"elastic_amplitude_mm": 30.0})


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 2.0)])
def test_displacement_stays_within_the_amplitude_in_mm(spacing: tuple[float, float]) -> None:
    asked = replace(ELASTIC, pixel_spacing=spacing)
    nodes = sample(torch.Generator().manual_seed(0), (60, 1, *SIZE), asked).elastic
    found = displacement(nodes, SIZE) * torch.tensor(spacing)[:, None, None]
    assert found.abs().max() <= asked.elastic_amplitude_mm
    assert found.abs().max() > 0.4 * asked.elastic_amplitude_mm


def test_a_small_image_is_bent_less() -> None:
    """Its nodes stand closer than the smoothness, so the amplitude alone would not keep it from folding."""
    nodes = sample(torch.Generator().manual_seed(0), (200, 1, 8, 8), ELASTIC).elastic
    assert intervals(8, 1.0, ELASTIC.elastic_smoothness_mm) == 1
    assert nodes.shape == (200, 2, 1 + BORDER, 1 + BORDER)
    assert nodes.abs().max() <= LIMIT * 8
    assert nodes.abs().max() > 0.8 * LIMIT * 8


@pytest.mark.parametrize(("share", "within"), [(1 / 6, 0.01), (LIMIT, 0.2)])
def test_the_inverse_is_one(share: float, within: float) -> None:
    generator = torch.Generator().manual_seed(0)
    nodes = nodes_of(generator, share)
    centres = torch.rand(1, 400, 2, generator=generator) * torch.tensor(SIZE)
    found = invert(nodes, SIZE, centres)
    assert (found + displacement_at(nodes, SIZE, found) - centres).abs().max() < within


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("affine", [0.0, 1.0])
def test_points_follow_the_labels(dimension: int, affine: float) -> None:
    """So the offsets that a chain learns still end in the middle of each instance."""
    images, labels, centres = blobs(dimension, 4)
    asked = replace(ELASTIC, affine_probability=affine, mirror_axes=(-3, -2, -1), pixel_spacing=(1.0, 0.7))
    parameters = sample(torch.Generator().manual_seed(1), images.shape, asked)
    _, new_labels, new_centres = apply(images, labels, parameters, centres)
    assert new_centres is not None
    assert (centroids(new_labels) - new_centres).norm(dim=-1).max() < 0.7
    straight = replace(parameters, elastic=torch.zeros_like(parameters.elastic))
    _, unbent, unbent_centres = apply(images, labels, straight, centres)
    assert unbent_centres is not None
    assert (new_centres - unbent_centres).norm(dim=-1).max() > 1
    assert not torch.equal(unbent, new_labels)


def test_absent_points_stay_absent() -> None:
    images, labels, centres = blobs(2, 2)
    centres[:, 1] = torch.nan
    _, _, moved = apply(images, labels, sample(torch.Generator().manual_seed(0), images.shape, ELASTIC), centres)
    assert moved is not None
    assert moved[:, 1].isnan().all()
    assert moved[:, [0, 2]].isfinite().all()


def test_pixels_come_from_where_batchgenerators_finds_them() -> None:
    """The same coordinates through its interpolation, SciPy's."""
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.rand(1, 1, *SIZE, generator=generator), torch.zeros(1, *SIZE, dtype=torch.uint8)
    parameters = sample(generator, images.shape, replace(ELASTIC, affine_probability=1.0))
    moved, _, _ = apply(images, labels, parameters)
    middle = (torch.tensor(SIZE) - 1) / 2
    pixels = torch.stack(torch.meshgrid(*(torch.arange(n).float() for n in SIZE), indexing="ij"))
    source = pixels + displacement(parameters.elastic, SIZE)[0] - (middle + parameters.shift[0])[:, None, None]
    source = torch.einsum("ij,jhw->ihw", torch.linalg.inv(parameters.matrix[0]), source) + middle[:, None, None]
    expected = interpolate_img(images[0, 0].numpy(), source.numpy(), order=1, mode="nearest")
    inside = ((source > 0) & (source < (torch.tensor(SIZE) - 1)[:, None, None])).all(0)
    assert inside.float().mean() > 0.5
    np.testing.assert_allclose(moved[0, 0][inside], expected[inside.numpy()], atol=1e-3)


def test_all_slices_bend_alike() -> None:
    images = torch.rand(1, 1, 1, 40, 30).repeat(1, 1, 3, 1, 1)
    labels = torch.zeros(1, 3, 40, 30, dtype=torch.uint8)
    moved, _, _ = apply(images, labels, sample(torch.Generator().manual_seed(0), images.shape, ELASTIC))
    assert torch.equal(moved[:, :, 0], moved[:, :, 2])
    assert not torch.allclose(moved, images)


def test_without_it_the_same_is_drawn_as_ever() -> None:
    drawn = [
        sample(
            torch.Generator().manual_seed(0),
            (3, 1, *SIZE),
            replace(AugmentationSettings(), elastic_probability=p),
        )
        for p in (0.0, 0.9)
    ]
    assert torch.equal(drawn[0].matrix, drawn[1].matrix)
    assert torch.equal(drawn[0].noise, drawn[1].noise)
    assert torch.equal(drawn[0].elastic, Parameters.identity((3, 1, *SIZE)).elastic)
    assert drawn[1].elastic.any()


def test_centres_lie_where_the_blobs_are() -> None:
    """What the test of points relies on."""
    _, labels, centres = blobs(2, 1)
    assert torch.allclose(centres[0], torch.tensor(CENTRES[2]), atol=0.5)
    assert len(labels.unique()) == 4
