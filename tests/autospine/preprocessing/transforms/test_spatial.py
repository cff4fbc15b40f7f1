from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.preprocessing.transforms.base import CaseData, apply_transforms, invert_transforms
from autospine.preprocessing.transforms.spatial import CentreCrop, Fit, Pad, Resize
from tests.prepared import FILL, counts, prepared, shapes, shares, views

Shape = tuple[int, int, int]


def millimetres(shape: Shape, spacing: tuple[float, float, float]) -> np.ndarray:
    """Where each voxel's middle lies along each axis, as an image of three channels."""
    index = np.indices(shape).astype(np.float32)
    return (index + 0.5) * np.array(spacing, np.float32)[:, None, None, None]


@settings(deadline=None)
@given(shapes, shares, shares, shares)
def test_a_crop_undone_is_the_image_inside_and_the_fill_outside(
    shape: Shape, slices: float, rows: float, columns: float
) -> None:
    step, start = CentreCrop(slices, rows, columns), prepared(shape)
    window = (slice(None), *step.window(shape))
    back = step.undo(step.apply(start).image, shape, FILL)
    assert np.array_equal(back[window], start.image[window])
    outside = np.ones(start.image.shape, bool)
    outside[window] = False
    expected = np.broadcast_to(FILL[:, None, None, None], start.image.shape)
    assert np.array_equal(back[outside], expected[outside])


def test_a_crop_keeps_the_middle_and_the_spacing() -> None:
    start = prepared((6, 10, 8), slices=(0, 1, 2, 5))
    case = CentreCrop(slices=0.5, rows=0.6).apply(start)
    assert case.shape == (3, 6, 8)
    assert np.array_equal(case.image, start.image[:, 1:4, 2:8])
    assert np.array_equal(case.mask, start.mask[1:4, 2:8])
    assert case.spacing == start.spacing
    assert case.slices == (0, 1)  # what were slices 1 and 2


def test_resizing_keeps_the_extent() -> None:
    case = Resize(rows=20, columns=4).apply(prepared((6, 10, 8), slices=(1, 2)))
    assert case.shape == (6, 20, 4)
    assert case.spacing == pytest.approx((4.0, 0.3, 1.4))
    assert case.slices == (1, 2)
    assert Resize(slices=3).apply(prepared((6, 10, 8), slices=(1, 2))).slices == (0,)  # from slices 0 and 1


def test_a_smooth_image_survives_there_and_back() -> None:
    waves = np.sin(np.indices((4, 40, 40)).sum(axis=0) / 8).astype(np.float32)[None]
    step, case = Resize(rows=64, columns=80), CaseData(waves, None, (4.0, 1.0, 1.0))
    back = step.undo(step.apply(case).image, (4, 40, 40), FILL[:1])
    assert back[:, :, 2:-2, 2:-2] == pytest.approx(waves[:, :, 2:-2, 2:-2], abs=0.03)


@settings(deadline=None)
@given(shapes, counts, counts, counts)
def test_a_margin_is_dark_and_unlabelled_and_comes_off_again(shape: Shape, s: int, r: int, c: int) -> None:
    step, start = Pad(s, r, c), prepared(shape)
    case = step.apply(start)
    assert case.shape == tuple(np.maximum(shape, (s, r, c)))
    assert case.spacing == start.spacing
    assert np.array_equal(step.undo(case.image, shape, FILL), start.image)
    first = [(new - old) // 2 for old, new in zip(shape, case.shape, strict=True)]
    widths = [(f, new - old - f) for f, old, new in zip(first, shape, case.shape, strict=True)]
    for before, after in zip(start.image, case.image, strict=True):
        assert np.array_equal(after, np.pad(before, widths, constant_values=before.min()))
    assert start.mask is not None
    assert np.array_equal(case.mask, np.pad(start.mask, widths))
    zero = Pad(s, r, c, zero=1).apply(start).image
    assert np.count_nonzero(zero == 0) == case.image.size - start.image.size


def test_slices_of_the_margin_take_no_part() -> None:
    assert Pad(slices=9).apply(prepared((6, 4, 4))).slices == tuple(range(1, 7))
    assert Pad(slices=9).apply(prepared((6, 4, 4), slices=(0, 5))).slices == (1, 6)
    assert Pad(rows=9).apply(prepared((6, 4, 4))).slices is None
    assert Pad(slices=9).apply(prepared((6, 4, 4), view=None)).slices is None


@settings(deadline=None)
@given(shapes, views, counts, counts, counts)
def test_what_is_fitted_has_the_size_asked_for_and_its_aspect(
    shape: Shape, view: int | None, s: int, r: int, c: int
) -> None:
    start = prepared(shape, view=view)
    way = Fit(s, r, c).for_case(start)
    case = way.apply(start)
    across = view or 0
    for axis, wanted in enumerate((s, r, c)):
        assert case.shape[axis] == wanted or not wanted
        assert abs(case.spacing[axis] * way.size[axis] - start.spacing[axis] * shape[axis]) < 1e-3
    plane = [axis for axis in range(3) if axis != across]
    if any((s, r, c)[axis] for axis in plane):
        pixel = max(shape[a] * start.spacing[a] / (s, r, c)[a] for a in plane if (s, r, c)[a])
        for axis in plane:  # within half a voxel
            exact = shape[axis] * start.spacing[axis] / pixel
            assert abs(way.size[axis] - max(exact, 1)) <= 0.5 + 1e-6
        assert any(way.size[axis] == case.shape[axis] for axis in plane)
    else:
        assert all(case.shape[axis] == shape[axis] for axis in plane)


def test_fitting_keeps_every_voxel_at_its_place() -> None:
    start = CaseData(millimetres((5, 30, 20), (4, 0.6, 0.8)), None, (4.0, 0.6, 0.8))
    step = Fit(rows=64, columns=80)
    case, way = apply_transforms([step], start)
    assert case.shape == (5, 64, 80)  # 18 x 16 mm: the rows limit, 57 columns
    assert case.spacing == pytest.approx((4.0, 18 / 64, 16 / 57))
    inside = case.image[:, :, :, 11:68]
    assert inside.shape[3] == 57
    expected = millimetres((5, 64, 57), case.spacing)
    assert inside[:, :, 2:-2, 2:-2] == pytest.approx(expected[:, :, 2:-2, 2:-2], abs=1e-3)
    back = invert_transforms(way, case.image, np.zeros(3, np.float32))
    assert back[:, :, 2:-2, 2:-2] == pytest.approx(start.image[:, :, 2:-2, 2:-2], abs=0.02)  # mm


def test_a_mask_fitted_and_brought_back_is_the_mask() -> None:
    mask = np.zeros((4, 40, 30), np.uint8)
    mask[1:3, 10:25, 8:20] = 2
    start = CaseData(mask[None].astype(np.float32), mask, (4.0, 0.6, 0.6))
    case, way = apply_transforms([Fit(rows=101, columns=97)], start)
    assert case.mask is not None
    share = invert_transforms(way, (case.mask == 2)[None].astype(np.float32), np.zeros(1, np.float32))
    assert np.array_equal(share[0] > 0.5, mask == 2)


@pytest.mark.parametrize(("slices", "spacing"), [(12, 4.0), (18, 4.0), (36, 2.0), (100, 0.72)])
def test_a_volume_fits_the_papers_size(slices: int, spacing: float) -> None:
    """Half the columns, then 18 x 256 x 128: fewer slices get a margin, more are interpolated."""
    image = np.zeros((1, slices, 88, 88), np.float32)
    start = CaseData(image, np.zeros(image.shape[1:], np.uint8), (spacing, 3.0, 3.0), view_axis=None)
    case, way = apply_transforms([CentreCrop(columns=0.5), Fit(18, 256, 128)], start)
    assert case.shape == (18, 256, 128)
    assert case.spacing[1:] == pytest.approx((3 * 88 / 256, 3 * 88 / 256))
    assert case.spacing[0] == pytest.approx(spacing * max(slices / 18, 1))
    assert invert_transforms(way, case.image, np.zeros(1, np.float32)).shape == image.shape


def test_an_axial_slice_is_fitted_along_its_own_axes() -> None:
    """16 slices of 4 mm from side to side are 64 mm, as high as 64 columns of 1 mm are wide."""
    case, _ = apply_transforms(
        [Fit(slices=128, columns=96)], replace(prepared((16, 9, 64), view=1), spacing=(4.0, 5.0, 1.0))
    )
    assert case.shape == (128, 9, 96)
    assert case.spacing == pytest.approx((64 / 96, 5.0, 64 / 96))
    assert case.slices is None


@pytest.mark.parametrize("kind", [Resize, Pad, Fit])
@settings(deadline=None)
@given(count=st.floats(-5, -0.1) | st.floats(0.1, 0.9))
def test_counts_are_whole_numbers(kind: type[Pad], count: float) -> None:
    with pytest.raises(ValueError, match="not a whole number from 0 on"):
        kind(rows=count)


@pytest.mark.parametrize("kind", [Pad, Fit])
def test_zero_is_yes_or_no(kind: type[Pad]) -> None:
    with pytest.raises(ValueError, match=r"zero is 0\.5, neither 0 nor 1"):
        kind(rows=4, zero=0.5)
