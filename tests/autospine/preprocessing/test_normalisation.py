from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.preprocessing.normalisation import Normalisation, normalise, visible_rows


def noise(shape: tuple[int, ...] = (6, 40, 30)) -> np.ndarray:
    return np.random.default_rng(0).gamma(2, 50, shape).astype(np.float32)


def test_mean_deviation_and_limits() -> None:
    image = noise()
    low, high = np.percentile(image, (0.5, 99.5))
    expected = np.clip(image, low, high)
    expected = (expected - expected.mean()) / expected.std()
    result = normalise(image, Normalisation())
    assert result is image
    assert result == pytest.approx(expected, abs=1e-3)


@settings(max_examples=30)
@given(st.floats(0.01, 1000), st.floats(-1e4, 1e4))
def test_scale_and_offset_of_the_intensities_do_not_matter(scale: float, offset: float) -> None:
    moved = (noise().astype(np.float64) * scale + offset).astype(np.float32)
    tolerance = max(0.01, abs(offset) / scale * 1e-5)
    assert normalise(moved, Normalisation()) == pytest.approx(normalise(noise(), Normalisation()), abs=tolerance)


def test_one_bright_vessel_does_not_matter() -> None:
    bright = noise()
    bright[0, 0, 0] = 1e7
    assert normalise(bright, Normalisation())[1:] == pytest.approx(normalise(noise(), Normalisation())[1:], abs=0.01)


@given(st.floats(-1e6, 1e6, width=32))
def test_a_constant_image_becomes_zeros(value: float) -> None:
    assert not normalise(np.full((3, 50, 40), value, np.float32), Normalisation()).any()


def test_an_image_that_is_constant_but_for_a_few_voxels_is_finite() -> None:
    image = np.full((3, 50, 40), 1000.1, np.float32)
    image[0, 0, :3] = 9
    assert np.abs(normalise(image, Normalisation())).max() < 100


def test_a_single_voxel() -> None:
    assert normalise(np.full((1, 1, 1), 7, np.float32), Normalisation()).tolist() == [[[0]]]


def test_a_sample_of_a_large_image_is_enough() -> None:
    image = noise((4, 700, 600))
    result = normalise(image.copy(), Normalisation())
    assert abs(float(result.mean())) < 0.01
    assert float(result.std()) == pytest.approx(1, abs=0.01)


def test_visible_rows_leave_constant_padding_out() -> None:
    image = np.zeros((5, 30, 20), np.float32)
    image[:, 4:22] = noise((5, 18, 20))
    assert visible_rows(image) == (4, 21)
    assert visible_rows(np.zeros((5, 30, 20), np.float32)) == (0, 29)
    assert visible_rows(noise((1, 8, 8))) == (0, 7)
