from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.preprocessing.grid import Grid, SliceInterpolation, case_grid
from autospine.preprocessing.resampling import resize_labels
from autospine.preprocessing.run import preprocess_image
from autospine.reconstruction.grid import SliceGrid
from autospine.reconstruction.masks import interpolate_mask
from autospine.volumes.resampling import resized_shape
from tests.tiny import SPACING, make_plan, ordered_encoding, spine_image, spine_mask

SIZES, MILLIMETRES = st.tuples(*[st.integers(1, 40)] * 3), st.tuples(*[st.floats(0.3, 9)] * 3)
INTERPOLATED = Grid((None, 1.0, 1.2), slice_interpolation=SliceInterpolation(1.0))
UNKNOWN = 255


@given(shape=SIZES, spacing=MILLIMETRES)
def test_without_a_rule_it_is_plain_resampling(shape, spacing) -> None:
    grid = Grid((4.0, 1.0, 1.2))
    found = case_grid(grid, shape, spacing)
    assert found.shape == resized_shape(shape, spacing, grid.spacing_for(spacing)) == found.resampled
    extent = np.multiply(shape, spacing)
    np.testing.assert_allclose(np.multiply(found.shape, found.spacing), extent)
    assert list(found.measured) == list(range(found.shape[0]))


@given(shape=SIZES, spacing=MILLIMETRES, target=st.floats(0.2, 5))
def test_measured_slices_stay_where_they_are_in_space(shape, spacing, target: float) -> None:
    """Their distance in mm is what it was, and the slices between are as far apart as whole parts allow."""
    found = case_grid(replace(INTERPOLATED, slice_interpolation=SliceInterpolation(target)), shape, spacing)
    assert len(found.measured) == shape[0]
    places = np.array(found.measured) * found.spacing[0]
    np.testing.assert_allclose(places, np.arange(shape[0]) * spacing[0])
    assert found.measured[-1] == found.shape[0] - 1
    if shape[0] > 1:
        assert found.spacing[0] == pytest.approx(spacing[0]) or 2 / 3 < found.spacing[0] / target <= 1.5 + 1e-6
    if spacing[0] <= 1.25 * target or shape[0] == 1:
        assert (found.shape[0], found.spacing[0]) == (shape[0], pytest.approx(spacing[0]))
    assert found.shape[1:] == case_grid(Grid(INTERPOLATED.spacing), shape, spacing).shape[1:]


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_measured_slices_are_those_of_the_plan_without_interpolating(method: str) -> None:
    """Bit for bit, normalisation included."""
    plain = make_plan(ordered_encoding(), grid=Grid(INTERPOLATED.spacing))
    interpolated = replace(plain, grid=Grid(INTERPOLATED.spacing, slice_interpolation=SliceInterpolation(1.0, method)))
    image = np.stack([spine_image(spine_mask(), seed) for seed in (0, 1)])
    found = preprocess_image(image, SPACING, interpolated)
    grid = case_grid(interpolated.grid, image.shape[1:], SPACING)
    assert found.shape == (2, *grid.shape) == (2, 21, 216, 90)
    np.testing.assert_array_equal(found[:, grid.measured], preprocess_image(image, SPACING, plain))
    between = found[:, 1 : grid.measured.step]
    assert not np.array_equal(between[:, 0], found[:, 0])
    assert np.abs(between).max() < 4


def test_linear_slices_lie_between_their_neighbours() -> None:
    plan = make_plan(ordered_encoding(), grid=INTERPOLATED)
    found = preprocess_image(spine_image(spine_mask())[None], SPACING, plan)[0]
    np.testing.assert_allclose(found[2], (found[0] + found[4]) / 2, atol=1e-5)
    np.testing.assert_allclose(found[7], 0.25 * found[4] + 0.75 * found[8], atol=1e-5)


def test_masks_and_images_come_onto_the_same_grid() -> None:
    mask = spine_mask()
    grid = case_grid(INTERPOLATED, mask.shape, SPACING)
    found = grid.resample_mask(mask, None)
    assert found.shape == grid.shape
    assert found.dtype == mask.dtype
    np.testing.assert_array_equal(found[grid.measured], resize_labels(mask, grid.resampled))
    assert set(np.unique(found)) == set(np.unique(mask))


@pytest.mark.parametrize("shape", [(1, 72, 36), (6, 72, 36)], ids=["one slice", "fine slices"])
def test_what_needs_no_slices_gets_none(shape: tuple[int, int, int]) -> None:
    mask = spine_mask()[: shape[0]]
    grid = case_grid(Grid((None, None, None), slice_interpolation=SliceInterpolation(1.0)), shape, (1.2, 3.0, 3.0))
    assert grid.shape == shape
    np.testing.assert_array_equal(grid.resample_mask(mask, None), mask)
    image = spine_image(mask)[None]
    np.testing.assert_array_equal(grid.interpolate(image), image)


def test_a_grid_beyond_any_scan_takes_no_memory() -> None:
    grid = case_grid(Grid((None, 0.3, 0.3)), (40, 50, 50), (50.0, 50.0, 50.0))
    with pytest.raises(MemoryError, match="40 x 8333 x 8333 voxels on the plan's grid"):
        grid.resample(np.zeros((1, 40, 50, 50), np.float32))


def test_the_input_is_not_changed() -> None:
    mask = np.where(spine_mask() == 0, UNKNOWN, spine_mask()).astype(np.uint8)
    image = spine_image(mask)[None]
    kept = mask.copy(), image.copy()
    grid = case_grid(INTERPOLATED, mask.shape, SPACING)
    grid.resample_mask(mask, UNKNOWN)
    preprocess_image(image, SPACING, make_plan(ordered_encoding(), grid=INTERPOLATED))
    np.testing.assert_array_equal(mask, kept[0])
    np.testing.assert_array_equal(image, kept[1])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), subdivisions=st.integers(2, 5), share=st.floats(0, 0.7))
def test_what_nobody_annotated_stays_so_between_slices(seed: int, subdivisions: int, share: float) -> None:
    """Against a voxel by voxel reading of the rule."""
    random = np.random.default_rng(seed)
    mask = random.integers(0, 3, (4, 6, 5)).astype(np.uint8)
    mask[random.random(mask.shape) < share] = UNKNOWN
    slices = SliceGrid(4, 4.0, subdivisions)
    labels = interpolate_mask(np.where(mask == UNKNOWN, 0, mask).astype(np.uint8), slices, SPACING)
    found = interpolate_mask(mask, slices, SPACING, ignore_label=UNKNOWN)
    for k, r, c in np.ndindex(found.shape):
        beside = {k // subdivisions, (k + subdivisions - 1) // subdivisions}
        unknown = labels[k, r, c] == 0 and any(mask[m, r, c] == UNKNOWN for m in beside)
        assert found[k, r, c] == (UNKNOWN if unknown else labels[k, r, c])
    np.testing.assert_array_equal(found[::subdivisions], mask)


@pytest.mark.parametrize("gap", [4.0, 1.2], ids=["interpolated slices", "fine slices"])
@pytest.mark.parametrize("mark", [None, UNKNOWN])
def test_a_slice_that_nobody_annotated_is_filled_in(mark: int | None, gap: float) -> None:
    """Labels come from its neighbours; where it says that it is not annotated, the rest of it stays so."""
    mask = spine_mask()
    mask[2] = mark or 0
    grid = case_grid(
        Grid((None, None, None), slice_interpolation=SliceInterpolation(1.0)), mask.shape, (gap, *SPACING[1:])
    )
    assert grid.measured.step == round(gap)
    found = grid.resample_mask(mask, mark)[grid.measured]
    vertebra = spine_mask()[2] == 3
    assert (found[2][vertebra] == 3).all()
    rest = found[2][spine_mask()[2] == 0]
    assert (rest == (mark or 0)).mean() > 0.99
    np.testing.assert_array_equal(found[[0, 1, 3, 4, 5]], mask[[0, 1, 3, 4, 5]])
