from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from autospine.augmentation.k_space import corrupt_k_space, frequency_response
from autospine.augmentation.parameters import Parameters

SHAPE = (2, 1, 64, 48)


def second(**changes: object) -> Parameters:
    return replace(Parameters.identity(SHAPE), **changes)


def test_ghosts_are_copies_at_their_distance() -> None:
    images = torch.zeros(SHAPE)
    images[:, :, 20, 10] = 1.0
    ghosting, distance = torch.tensor([0.0, 0.5]), torch.tensor([0.25, 0.25])
    corrupt_k_space(images, second(ghosting=ghosting, ghost_distance=distance))
    assert images[0, 0].count_nonzero() == 1
    expected = torch.zeros(64)
    expected[[4, 20, 36]] = torch.tensor([0.25, 1.0, 0.25]) / 1.5
    torch.testing.assert_close(images[1, 0, :, 10], expected, atol=1e-6, rtol=0)


def test_ringing_overshoots_edges_along_its_axis_alone() -> None:
    images = torch.zeros(SHAPE)
    images[..., 24:] = 1.0
    before = images.clone()
    gibbs = torch.tensor([0.4, 0.4])
    corrupt_k_space(images, second(gibbs=gibbs, phase_columns=torch.tensor([False, True])))
    torch.testing.assert_close(images[0], before[0], atol=1e-5, rtol=0)  # rows are even along columns' edges
    assert 0.05 < images[1].max() - 1 < 0.2
    torch.testing.assert_close(images[1].mean(), before[1].mean())


def test_motion_leaves_the_middle_of_k_space_where_it_is() -> None:
    motion = torch.tensor([[0.0, 0.0, 3.0, -2.0]] * 2)
    response = frequency_response(second(motion=motion), torch.tensor([0, 1]), 64)
    assert response.shape == (2, 33)
    torch.testing.assert_close(response[:, :16], torch.ones(2, 16, dtype=torch.complex64))
    torch.testing.assert_close(response.abs(), torch.ones(2, 33))


@pytest.mark.parametrize("size", [7, 8])
def test_odd_and_even_sizes_keep_their_shape_and_mean(size: int) -> None:
    images = torch.randn(1, 2, 3, size, 5, generator=torch.Generator().manual_seed(0))
    mean = images.mean()
    drawn = replace(Parameters.identity(images.shape), gibbs=torch.tensor([0.5]))
    corrupt_k_space(images, drawn)
    assert images.shape == (1, 2, 3, size, 5)
    torch.testing.assert_close(images.mean(), mean)
