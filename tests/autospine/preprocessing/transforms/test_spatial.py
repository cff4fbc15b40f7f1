from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine import volumes
from autospine.phantom.case import make_case
from autospine.phantom.series import Size
from autospine.preprocessing.transforms.base import (
    CaseData,
    TransformSettings,
    apply_transforms,
    make_transforms,
)
from autospine.preprocessing.transforms.spatial import CentreCrop, Fit, OtsuCrop, Pad, Resize, body_window, shape_after
from tests.transforms import FILL, SPACING, any_transform, counts, invert_transforms, noise_case, shapes, shares, views

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
    step, start = CentreCrop(slices, rows, columns), noise_case(shape)
    window = (slice(None), *step.window(shape))
    back = step.inverse(step.apply(start).image, shape, FILL)
    assert np.array_equal(back[window], start.image[window])
    outside = np.ones(start.image.shape, bool)
    outside[window] = False
    expected = np.broadcast_to(FILL[:, None, None, None], start.image.shape)
    assert np.array_equal(back[outside], expected[outside])


def test_a_crop_keeps_the_middle_and_the_spacing() -> None:
    start = noise_case((6, 10, 8), slices=(0, 1, 2, 5))
    case = CentreCrop(slices=0.5, rows=0.6).apply(start)
    assert case.shape == (3, 6, 8)
    assert np.array_equal(case.image, start.image[:, 1:4, 2:8])
    assert np.array_equal(case.mask, start.mask[1:4, 2:8])
    assert case.spacing == start.spacing
    assert case.slices == (0, 1)  # what were slices 1 and 2


def test_resizing_keeps_the_extent() -> None:
    case = Resize(rows=20, columns=4).apply(noise_case((6, 10, 8), slices=(1, 2)))
    assert case.shape == (6, 20, 4)
    assert case.spacing == pytest.approx((4.0, 0.3, 1.4))
    assert case.slices == (1, 2)
    assert Resize(slices=3).apply(noise_case((6, 10, 8), slices=(1, 2))).slices == (0,)  # from slices 0 and 1


def test_a_smooth_image_survives_there_and_back() -> None:
    waves = np.sin(np.indices((4, 40, 40)).sum(axis=0) / 8).astype(np.float32)[None]
    step, case = Resize(rows=64, columns=80), CaseData(waves, None, (4.0, 1.0, 1.0))
    back = step.inverse(step.apply(case).image, (4, 40, 40), FILL[:1])
    assert back[:, :, 2:-2, 2:-2] == pytest.approx(waves[:, :, 2:-2, 2:-2], abs=0.03)


@settings(deadline=None)
@given(shapes, counts, counts, counts)
def test_a_margin_is_dark_and_unlabelled_and_comes_off_again(shape: Shape, s: int, r: int, c: int) -> None:
    step, start = Pad(s, r, c), noise_case(shape)
    case = step.apply(start)
    assert case.shape == tuple(np.maximum(shape, (s, r, c)))
    assert case.spacing == start.spacing
    assert np.array_equal(step.inverse(case.image, shape, FILL), start.image)
    first = [(new - old) // 2 for old, new in zip(shape, case.shape, strict=True)]
    widths = [(f, new - old - f) for f, old, new in zip(first, shape, case.shape, strict=True)]
    for before, after in zip(start.image, case.image, strict=True):
        assert np.array_equal(after, np.pad(before, widths, constant_values=before.min()))
    assert start.mask is not None
    assert np.array_equal(case.mask, np.pad(start.mask, widths))
    zero = Pad(s, r, c, zero=1).apply(start).image
    assert np.count_nonzero(zero == 0) == case.image.size - start.image.size


def test_slices_of_the_margin_take_no_part() -> None:
    assert Pad(slices=9).apply(noise_case((6, 4, 4))).slices == tuple(range(1, 7))
    assert Pad(slices=9).apply(noise_case((6, 4, 4), slices=(0, 5))).slices == (1, 6)
    assert Pad(rows=9).apply(noise_case((6, 4, 4))).slices is None
    assert Pad(slices=9).apply(noise_case((6, 4, 4), view=None)).slices is None


@settings(deadline=None)
@given(shapes, views, counts, counts, counts)
def test_what_is_fitted_has_the_size_asked_for_and_its_aspect(
    shape: Shape, view: int | None, s: int, r: int, c: int
) -> None:
    start = noise_case(shape, view=view)
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
        [Fit(slices=128, columns=96)], replace(noise_case((16, 9, 64), view=1), spacing=(4.0, 5.0, 1.0))
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


BODY_SPACING = (4.0, 1.0, 2.0)


def body() -> np.ndarray:
    """Muscle with a bright strip of fat in noisy air, and a bright marker away from it."""
    random = np.random.default_rng(0)
    image = np.abs(random.normal(0, 2, (6, 60, 50))).astype(np.float32)
    image[:, 10:50, 12:40] += 40
    image[:, 10:50, 36:40] += 160
    image[:, 3:6, 3:6] += 250
    return image


def test_the_body_is_muscle_and_fat_without_air_and_marker() -> None:
    assert body_window(body()) == (slice(0, 6), slice(10, 50), slice(12, 40))


@pytest.mark.parametrize(
    ("view", "expected"), [(0, (6, 50, 34)), (1, (6, 60, 34)), (2, (6, 50, 50)), (None, (6, 50, 34))]
)
def test_the_margin_is_in_mm_and_slices_of_the_view_stay(view: int | None, expected: tuple[int, ...]) -> None:
    image = body()
    mask = np.zeros(image.shape, np.uint8)
    mask[2:4, 20:30, 20:30] = 7
    case, way = apply_transforms([OtsuCrop(margin=5)], CaseData(image[None], mask, BODY_SPACING, (1, 2), view))
    assert case.shape == expected
    assert case.slices == (None if view is None else (1, 2))
    assert case.mask is not None
    assert np.count_nonzero(case.mask) == np.count_nonzero(mask)
    back = invert_transforms(way, (case.mask == 7)[None].astype(np.float32), np.array([-1.0], np.float32))
    assert np.array_equal(back[0] == 1, mask == 7)
    assert np.count_nonzero(back == -1) == image.size - case.image.size


def test_thin_images() -> None:
    for shape in ((1, 8, 8), (1, 1, 1), (1, 1, 2)):
        image = np.zeros(shape, np.float32)
        assert body_window(image) == tuple(slice(0, n) for n in shape)
        image[0, 0, -1] = 1
        assert body_window(image)[2] == slice(shape[2] - 1 if image.min() == 0 else 0, shape[2])


def test_nothing_labelled_is_lost_on_phantoms() -> None:
    for index in range(3):
        case = make_case(0, index, Size.SMALL)
        start = CaseData(case.image[None].astype(np.float32), case.labels, (4.0, 1.6, 1.6))
        cropped, _ = apply_transforms([OtsuCrop()], start)
        assert cropped.mask is not None
        assert np.count_nonzero(cropped.mask) == np.count_nonzero(case.labels)


def test_nothing_labelled_is_lost_on_real_scans(real_data: Path) -> None:
    share = []
    for path in sorted(real_data.glob("*/images/*.mha")):
        image, mask = volumes.read_image(path), volumes.read_mask(path.parents[1] / "masks" / path.name)
        case, _ = apply_transforms([OtsuCrop()], CaseData(image.array[None], mask.array, image.spacing))
        assert np.count_nonzero(case.mask) == np.count_nonzero(mask.array), path
        share.append(case.image.size / image.array.size)
    assert np.mean(share) < 0.9


def test_a_negative_margin_is_refused() -> None:
    with pytest.raises(ValueError, match="margin is -1"):
        OtsuCrop(margin=-1)


LARGE = (15, 880, 880)


@settings(deadline=None)
@given(shapes, st.lists(any_transform, max_size=3), views)
def test_it_is_what_the_steps_make_of_a_case(shape: tuple[int, int, int], steps: list, view: int | None) -> None:
    constant = CaseData(np.zeros((1, *shape), np.float32), None, SPACING, view_axis=view)
    made, _ = apply_transforms(steps, constant)
    assert shape_after(steps, shape, SPACING, view) == made.shape


def test_a_paper_s_steps_on_a_large_case() -> None:
    names = ("wavelet_denoise", "otsu_crop", "z_score")
    steps = make_transforms(
        (
            *map(TransformSettings, names),
            TransformSettings("fit", {"slices": 18, "rows": 256, "columns": 128}),
        )
    )
    assert shape_after(steps, LARGE, (4.0, 0.35, 0.35), None) == (18, 256, 128)


@pytest.mark.parametrize("view", [0, None])
def test_what_an_image_decides_is_taken_to_keep_all_of_it(view: int | None) -> None:
    assert shape_after([OtsuCrop()], LARGE, SPACING, view) == LARGE
    assert shape_after([], LARGE, SPACING, view) == LARGE
    assert shape_after([OtsuCrop(), Fit(rows=40, columns=20)], LARGE, SPACING, view) == (15, 40, 20)
