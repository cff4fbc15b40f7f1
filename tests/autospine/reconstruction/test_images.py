from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline, interp1d

from autospine.reconstruction.grid import measured_planes, plan_slices
from autospine.reconstruction.images import METHODS, Method, interpolate_image


def noise(channels: int, slices: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 30, (channels, slices, 20, 24)).astype(np.float32)


@given(st.integers(1, 2), st.integers(1, 6), st.floats(0.5, 6), st.sampled_from(METHODS))
@settings(max_examples=25, deadline=None)
def test_measured_slices_come_back_unchanged(channels: int, slices: int, gap: float, method: Method) -> None:
    image = noise(channels, slices)
    grid = plan_slices(slices, gap, 1.0)
    interpolated = interpolate_image(image, grid, method)
    assert interpolated.shape == (channels, grid.count, 20, 24)
    assert interpolated.dtype == np.float32
    np.testing.assert_array_equal(measured_planes(interpolated, grid), image)


def test_linear_is_that_of_scipy() -> None:
    image, grid = noise(2, 5), plan_slices(5, 3.0, 1.0)
    expected = interp1d(np.arange(5), image, axis=1)(np.arange(13) / 3)
    np.testing.assert_allclose(interpolate_image(image, grid), expected, rtol=1e-5)


def test_cubic_is_a_natural_spline_within_the_scans_range() -> None:
    image, grid = noise(1, 6), plan_slices(6, 2.0, 1.0)
    image[:, 2:4] += 500
    expected = CubicSpline(np.arange(6), image, axis=1, bc_type="natural")(np.arange(11) / 2)
    assert expected.max() > image.max()
    clipped = np.clip(expected, image.min(), image.max())
    np.testing.assert_allclose(interpolate_image(image, grid, "cubic"), clipped, rtol=1e-4, atol=1e-3)


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="5 slices do not fit a grid of 6 measured ones"):
        interpolate_image(noise(1, 5), plan_slices(6, 4.0, 1.0))


def test_a_copy_is_given_where_nothing_is_interpolated() -> None:
    image = noise(1, 4)
    interpolated = interpolate_image(image, plan_slices(4, 1.0, 1.0), "registration")
    assert not np.shares_memory(interpolated, image)
    np.testing.assert_array_equal(interpolated, image)
