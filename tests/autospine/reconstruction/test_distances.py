from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicHermiteSpline

from autospine.reconstruction.annotated import annotated_slices
from autospine.reconstruction.distances import hermite_weights, signed_distance


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=6), st.floats(0.01, 0.99), st.integers(0, 5), st.integers(0, 99)
)  # fmt: skip
def test_weights_are_those_of_scipys_cubic_with_catmull_and_roms_slopes(
    gaps: list[int], share: float, low: int, seed: int
) -> None:
    positions = np.cumsum([0, *gaps])
    low = min(low, len(gaps) - 1)
    values = np.random.default_rng(seed).normal(size=len(positions))
    padded, places = np.pad(values, 1, "edge"), np.pad(positions, 1, "edge")
    slopes = (padded[2:] - padded[:-2]) / (places[2:] - places[:-2])
    spline = CubicHermiteSpline(positions, values, slopes)
    indices, weights = hermite_weights(positions, low, share)
    np.testing.assert_allclose(sum(weights), 1)
    ours = sum(values[index] * weight for index, weight in zip(indices, weights, strict=True))
    np.testing.assert_allclose(ours, spline(positions[low] + share * gaps[low]), atol=1e-9)


def test_signed_distance_is_by_brute_force() -> None:
    inside = np.random.default_rng(5).random((7, 9)) < 0.5
    points = np.argwhere(np.ones_like(inside)) * (0.5, 2.0)
    far = np.linalg.norm(points[:, None] - points[None], axis=2)  # (pixels, pixels)
    flat = inside.ravel()
    expected = [far[i][flat != flat[i]].min() * (1 if flat[i] else -1) for i in range(flat.size)]
    np.testing.assert_allclose(signed_distance(inside, (0.5, 2.0)).ravel(), expected, rtol=1e-6)


def test_signed_distance_without_an_outline() -> None:
    assert (signed_distance(np.zeros((2, 2), bool), (1, 1)) == -np.inf).all()
    assert (signed_distance(np.ones((2, 2), bool), (1, 1)) == np.inf).all()


def test_only_empty_slices_between_labelled_ones_were_left_out() -> None:
    mask = np.zeros((7, 2, 2), np.uint8)
    mask[[1, 3, 4]] = 1
    assert annotated_slices(mask).tolist() == [0, 1, 3, 4, 5, 6]
    assert annotated_slices(np.zeros((3, 2, 2), np.uint8)).tolist() == [0, 1, 2]
