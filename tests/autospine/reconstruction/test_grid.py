from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.reconstruction.grid import SliceGrid, measured_planes, plan_slices

LENGTHS = st.floats(0.05, 20)


@pytest.mark.parametrize(
    ("gap", "target", "subdivisions"),
    [
        (4.0, 1.0, 4),
        (4.4, 1.0, 4),
        (3.8, 1.0, 4),
        (1.0, 1.0, 1),
        (0.9, 1.0, 1),
        (1.25, 1.0, 1),
        (4.0, 0.25, 16),
    ],
)
def test_a_gap_gets_the_nearest_number_of_subdivisions(gap: float, target: float, subdivisions: int) -> None:
    grid = plan_slices(12, gap, target)
    assert grid == SliceGrid(12, gap, subdivisions)
    assert grid.count == 11 * subdivisions + 1
    assert grid.interpolated == 11 * (subdivisions - 1)
    assert grid.spacing_mm == pytest.approx(gap / subdivisions)


@given(st.integers(2, 60), LENGTHS, LENGTHS)
def test_measured_slices_stay_on_the_grid(measured: int, gap: float, target: float) -> None:
    grid = plan_slices(measured, gap, target)
    positions = np.arange(grid.count) * grid.spacing_mm
    np.testing.assert_allclose(positions[list(grid.measured_indices)], np.arange(measured) * gap)
    assert len(grid.measured_indices) == measured
    if gap > 1.5 * target:
        assert 2 / 3 * target <= grid.spacing_mm <= 4 / 3 * target


def test_one_slice_stays_one_slice() -> None:
    grid = plan_slices(1, 4.0, 1.0)
    assert (grid.count, grid.interpolated, list(grid.measured_indices)) == (1, 0, [0])


@pytest.mark.parametrize("wrong", [(0, 4, 1), (3, 0, 1), (3, 4, 0), (3, 4, -1), (3, 4, float("nan")), (3, 4, 1e-320)])
def test_impossible_grids_are_refused(wrong: tuple[int, float, float]) -> None:
    with pytest.raises(ValueError, match=r"slices|cannot be divided"):
        plan_slices(*wrong)


def test_measured_planes_are_picked_back_along_any_axis() -> None:
    grid = plan_slices(3, 2.0, 1.0)
    values = np.arange(5 * 4).reshape(1, 5, 4)
    assert measured_planes(values, grid)[0, :, 0].tolist() == [0, 8, 16]
    assert measured_planes(values[0], grid, axis=0)[:, 0].tolist() == [0, 8, 16]
    with pytest.raises(ValueError, match="4 slices do not fit a grid of 5"):
        measured_planes(values, grid, axis=2)
