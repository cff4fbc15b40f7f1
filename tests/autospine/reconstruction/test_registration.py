from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from autospine.reconstruction.grid import plan_slices
from autospine.reconstruction.images import interpolate_image
from autospine.reconstruction.registration import displacement, warp

INNER = (slice(20, -20), slice(20, -20))


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """Blobs of several sizes, as anatomy has."""
    noise = np.random.default_rng(3).normal(0, 1, (120, 100))
    return sum(gaussian_filter(noise, size) * size for size in (3, 6, 12, 24)).astype(np.float32) * 100


@pytest.mark.parametrize("way", [(0.0, 0.0), (3.0, -2.0), (-4.5, 1.5)])
def test_a_translation_is_found(texture: np.ndarray, way: tuple[float, float]) -> None:
    field = displacement(texture, shift(texture, way, order=3, mode="nearest"))
    np.testing.assert_allclose(field[:, 20:-20, 20:-20].mean(axis=(1, 2)), way, atol=0.1)


def test_neither_neighbour_is_preferred(texture: np.ndarray) -> None:
    other = shift(texture, (2, 1), order=3, mode="nearest")
    np.testing.assert_allclose(displacement(texture, other), -displacement(other, texture), atol=1e-3)


def test_finer_pixels_give_the_same_displacement_in_their_own_unit(texture: np.ndarray) -> None:
    fine = np.kron(texture, np.ones((2, 1), np.float32))
    field = displacement(fine, shift(fine, (6, 2), order=1, mode="nearest"), (0.5, 1.0))
    np.testing.assert_allclose(field[:, 40:-40, 20:-20].mean(axis=(1, 2)), (6, 2), atol=0.3)


def test_a_slice_half_way_lies_half_way(texture: np.ndarray) -> None:
    other = shift(texture, (4, -4), order=3, mode="nearest")
    truth = shift(texture, (2, -2), order=3, mode="nearest")
    image, grid = np.stack([texture, other])[None], plan_slices(2, 2.0, 1.0)
    error = {
        method: float(np.abs(interpolate_image(image, grid, method)[0, 1] - truth)[INNER].mean())
        for method in ("linear", "registration")
    }
    assert error["registration"] < 0.3 * error["linear"]


def test_slices_that_differ_otherwise_are_blended_without_moving(texture: np.ndarray) -> None:
    other = texture[::-1, ::-1].copy()
    assert np.abs(displacement(texture, other)).mean() < 0.5


def test_small_and_flat_slices_do_not_move() -> None:
    flat = np.zeros((5, 3), np.float32)
    np.testing.assert_array_equal(displacement(flat, flat), np.zeros((2, 5, 3)))


def test_values_are_read_at_the_displacement() -> None:
    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    field = np.zeros((2, 3, 4), np.float32)
    field[0], field[1] = 1, -0.5
    np.testing.assert_allclose(warp(plane, field)[0], [4, 4.5, 5.5, 6.5])
