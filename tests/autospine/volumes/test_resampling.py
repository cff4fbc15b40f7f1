from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from autospine.volumes.resampling import resample_axis, resize, resized_shape

sizes = st.integers(1, 12)
shapes = st.tuples(sizes, sizes, sizes)
images = hnp.arrays(np.float32, shapes, elements=st.floats(-1000, 1000, width=32))


def test_resized_shape_keeps_the_extent() -> None:
    assert resized_shape((17, 448, 448), (4.0, 0.6, 0.6), (4.0, 0.3, 1.2)) == (17, 896, 224)
    assert resized_shape((3,), (1.0,), (10.0,)) == (1,)


@given(images)
def test_the_same_size_changes_nothing(image: np.ndarray) -> None:
    assert np.array_equal(resize(image, image.shape), image)


@settings(max_examples=40, deadline=None)
@given(images, st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)), shapes)
def test_enlarging_is_what_scipy_does(
    image: np.ndarray, factors: tuple[int, int, int], extra: tuple[int, int, int]
) -> None:
    shape = tuple(n * f + e - 1 for n, f, e in zip(image.shape, factors, extra, strict=True))
    zoom = [new / old for old, new in zip(image.shape, shape, strict=True)]
    expected = ndimage.zoom(image.astype(float), zoom, order=1, grid_mode=True, mode="nearest")
    assert resize(image, shape) == pytest.approx(expected, abs=0.01)


@given(images, shapes)
def test_values_stay_within_the_images_range(image: np.ndarray, shape: tuple[int, int, int]) -> None:
    result = resize(image, shape)
    assert result.shape == shape
    assert result.dtype == np.float32
    assert result.min() >= image.min() - 0.01
    assert result.max() <= image.max() + 0.01


@given(st.integers(8, 40), st.integers(2, 60), st.integers(0, 2))
def test_a_ramp_stays_a_ramp_inside(old: int, new: int, axis: int) -> None:
    shape, target = [3, 3, 3], [3, 3, 3]
    shape[axis], target[axis] = old, new
    ramp = np.moveaxis(np.broadcast_to(np.arange(old, dtype=np.float32), (3, 3, old)), 2, axis)
    expected = (np.arange(new) + 0.5) * old / new - 0.5  # where each new voxel's middle lies
    result = np.moveaxis(resize(ramp, tuple(target)), axis, 2)
    reach = max(old / new, 1)
    inside = (expected >= reach) & (expected <= old - 1 - reach)
    assert result[1, 1, inside] == pytest.approx(expected[inside], abs=1e-3 if new >= old else 0.15)


@given(st.integers(1, 5), st.integers(2, 6))
def test_shrinking_by_a_whole_factor_keeps_the_mean_of_a_smooth_image(factor: int, size: int) -> None:
    wave = np.cos(np.pi * (np.arange(size * factor * 4) + 0.5) / (size * factor * 4)).astype(np.float32)
    assert resize(wave, (size,)).mean() == pytest.approx(wave.mean(), abs=0.01)


def test_shrinking_averages_instead_of_skipping() -> None:
    stripes = np.tile(np.array([0, 1], np.float32), 50)
    assert np.ptp(resize(stripes, (10,))[1:-1]) < 0.05


def test_only_the_last_axes_are_resized_and_the_input_is_left() -> None:
    image = np.random.default_rng(0).normal(size=(2, 4, 6, 5)).astype(np.float32)
    kept = image.copy()
    result = resize(image, (4, 9, 3))
    assert result.shape == (2, 4, 9, 3)
    assert np.array_equal(result[1], resize(image[1], (4, 9, 3)))
    assert np.array_equal(image, kept)


def test_integers_come_out_as_float() -> None:
    assert resize(np.arange(4, dtype=np.int16), (8,)).dtype == np.float32


def test_positions_outside_repeat_the_edge() -> None:
    row = np.array([1, 2, 3], np.float32)
    assert resample_axis(row, 0, np.array([-5.0, 0.5, 9.0]), 1.0).tolist() == [1, 1.5, 3]


@given(st.integers(2, 60), st.integers(1, 59))
def test_shrinking_weighs_by_a_triangle(old: int, new: int) -> None:
    new = min(new, old - 1)
    positions, step = (np.arange(new) + 0.5) * old / new - 0.5, old / new
    weights = np.clip(1 - np.abs(np.arange(old)[None] - positions[:, None]) / step, 0, None)
    row = np.random.default_rng(old).normal(size=old).astype(np.float32)
    expected = (weights / weights.sum(axis=1, keepdims=True)) @ row
    assert resample_axis(row, 0, positions, step) == pytest.approx(expected, abs=1e-5)
