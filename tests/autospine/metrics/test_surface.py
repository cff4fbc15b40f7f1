from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autospine.metrics.elements import element_sizes
from autospine.metrics.surface import (
    Surfaces,
    average_distance,
    bounding_box,
    diagonal,
    hausdorff_distance,
    surfaces,
)

MASKS = arrays(bool, (3, 4, 3))
MM = st.tuples(*[st.sampled_from([0.5, 1.0, 1.7, 4.0])] * 3)


def brute(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> tuple[float, float, float]:
    """ASD, HD, HD95 with loops over every cell and every pair of cells."""
    sizes = element_sizes(tuple(spacing))
    sides = []
    for mask in (prediction, reference):
        points, areas = [], []
        for corner in product(*(range(-1, n) for n in mask.shape)):
            code = 0
            for bit, step in enumerate(product((0, 1), repeat=mask.ndim)):
                place = tuple(c + s for c, s in zip(corner, step, strict=True))
                inside = all(0 <= p < n for p, n in zip(place, mask.shape, strict=True))
                code |= int(inside and bool(mask[place])) << bit
            if 0 < code < (1 << (1 << mask.ndim)) - 1:
                points.append(np.array(corner) * spacing)
                areas.append(sizes[code])
        sides.append((np.array(points), np.array(areas)))
    (p, p_area), (r, r_area) = sides
    apart = np.linalg.norm(p[:, None] - r[None], axis=-1)
    there, back = apart.min(axis=1), apart.min(axis=0)
    asd = ((there * p_area).sum() / p_area.sum() + (back * r_area).sum() / r_area.sum()) / 2
    tail = [
        min(d for d in distances if area[distances <= d].sum() >= 0.95 * area.sum() * (1 - 1e-9))
        for distances, area in ((there, p_area), (back, r_area))
    ]
    return asd, max(there.max(), back.max()), max(tail)


def measured(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> tuple[float, float, float]:
    between = surfaces(prediction, reference, spacing)
    assert between is not None
    return average_distance(between), hausdorff_distance(between), hausdorff_distance(between, 95)


@given(MASKS, MASKS, MM)
@settings(max_examples=50, deadline=None)
def test_matches_brute_force(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> None:
    assume(prediction.any() and reference.any())
    assert measured(prediction, reference, spacing) == pytest.approx(brute(prediction, reference, spacing))


@given(MASKS, MASKS, MM)
@settings(max_examples=30, deadline=None)
def test_symmetric_and_proportional_to_spacing(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> None:
    assume(prediction.any() and reference.any())
    once = measured(prediction, reference, spacing)
    assert measured(reference, prediction, spacing) == pytest.approx(once)
    tripled = tuple(3 * mm for mm in spacing)
    assert measured(prediction, reference, tripled) == pytest.approx(tuple(3 * value for value in once))


@given(MASKS, MASKS, MM, st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
@settings(max_examples=40, deadline=None)
def test_how_the_image_lies_in_its_file_does_not_matter(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: tuple[float, ...],
    order: list[int],
    flips: tuple[bool, ...],
) -> None:
    assume(prediction.any() and reference.any())
    axes = [axis for axis in range(3) if flips[axis]]
    moved = [np.flip(mask.transpose(order), axes) for mask in (prediction, reference)]
    turned = tuple(spacing[axis] for axis in order)
    assert measured(moved[0], moved[1], turned) == pytest.approx(measured(prediction, reference, spacing))


@given(MASKS, MM)
@settings(max_examples=20, deadline=None)
def test_a_mask_is_no_distance_from_itself_and_room_around_changes_nothing(
    mask: np.ndarray, spacing: tuple[float, ...]
) -> None:
    assume(mask.any())
    assert measured(mask, mask, spacing) == (0, 0, 0)
    other = np.roll(mask, 1, axis=1)
    wide = [np.pad(one, 2) for one in (mask, other)]
    assert measured(wide[0], wide[1], spacing) == pytest.approx(measured(mask, other, spacing))


def test_a_shifted_box_is_the_shift_away_in_millimetres() -> None:
    box = np.zeros((12, 20, 12), bool)
    box[3:9, 4:12, 3:9] = True
    assert hausdorff_distance(surfaces(np.roll(box, 3, 1), box, (4.0, 0.7, 1.0))) == pytest.approx(2.1)
    assert hausdorff_distance(surfaces(np.roll(box, 2, 0), box, (4.0, 0.7, 1.0))) == pytest.approx(8.0)


def ball(radius: float, spacing: tuple[float, float, float]) -> np.ndarray:
    grid = np.meshgrid(*(np.arange(-18, 18 + mm / 2, mm) for mm in spacing), indexing="ij")
    return sum(axis**2 for axis in grid) <= radius**2


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (4.0, 1.0, 1.0), (1.0, 0.5, 3.0)])
def test_concentric_balls(spacing: tuple[float, float, float]) -> None:
    """Cells scatter about the true surface, so the nearest is nearer: by less than half the coarsest step."""
    between = surfaces(ball(12, spacing), ball(15, spacing), spacing)
    assert 3 - max(spacing) / 2 <= average_distance(between) <= 3


def test_a_box_four_millimetres_inside_another() -> None:
    inner, outer = np.zeros((8, 30, 20), bool), np.zeros((8, 30, 20), bool)
    outer[1:7, 2:28, 2:18] = True
    inner[2:6, 6:24, 4:16] = True  # 1, 4 and 2 voxels further in
    between = surfaces(inner, outer, (4.0, 1.0, 2.0))
    assert between.to_reference == pytest.approx(np.full(between.to_reference.shape, 4.0))
    assert between.to_prediction.min() == pytest.approx(4.0)
    assert between.to_prediction.max() == pytest.approx(3**0.5 * 4)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (4.0, 1.0, 1.0), (1.0, 0.5, 3.0)])
def test_area_of_a_box(spacing: tuple[float, float, float]) -> None:
    """Against scikit-image's mesh of the whole mask, and 1 % short of the sharp-edged box."""
    measure = pytest.importorskip("skimage.measure")
    box = np.zeros((30, 40, 36), bool)
    box[5:25, 5:35, 5:31] = True
    points, triangles, _, _ = measure.marching_cubes(box.astype(float), 0.5, spacing=spacing)
    area = surfaces(box, box, spacing).prediction_area.sum()
    assert area == pytest.approx(measure.mesh_surface_area(points, triangles), rel=1e-5)
    a, b, c = (size * mm for size, mm in zip((20, 30, 26), spacing, strict=True))
    assert area == pytest.approx(2 * (a * b + b * c + a * c), rel=0.06)


def test_element_sizes_ignore_turns_and_inside_out() -> None:
    sizes = element_sizes((1.0, 2.0, 3.0))
    assert sizes == pytest.approx(sizes[::-1])
    assert sizes[0] == sizes[255] == 0 and (sizes[1:255] > 0).all()
    for order in permutations((1.0, 2.0, 3.0)):
        assert sorted(element_sizes(order)) == pytest.approx(sorted(sizes))
    assert sizes[0b00001111] == pytest.approx(6.0)  # a wall across the first axis: 2 mm x 3 mm


@given(arrays(bool, (1, 5, 4)), arrays(bool, (1, 5, 4)), MM)
@settings(max_examples=30, deadline=None)
def test_one_slice_has_contours(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> None:
    assume(prediction.any() and reference.any())
    flat = brute(prediction[0], reference[0], spacing[1:])
    assert measured(prediction, reference, spacing) == pytest.approx(flat)


def test_one_slice_contour_length() -> None:
    square = np.zeros((1, 60, 60), bool)
    square[0, 10:50, 20:50] = True
    assert surfaces(square, square, (4.0, 0.5, 2.0)).prediction_area.sum() == pytest.approx(
        2 * (20 + 60), rel=0.03
    )


def test_a_single_row_works() -> None:
    one, other = np.array([[[0, 1, 1, 0]]], bool), np.array([[[0, 1, 1, 1]]], bool)
    assert measured(one, other, (1.0, 1.0, 2.0)) == pytest.approx((1.0, 2.0, 2.0))


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=8),
    st.sampled_from([50, 90, 95]),
)
def test_percentile_by_area_is_that_of_repeated_values(pairs: list[tuple[int, int]], percentile: int) -> None:
    distances, areas = (np.array(column, float) for column in zip(*pairs, strict=True))
    repeated = np.repeat(distances, areas.astype(int))
    expected = np.percentile(repeated, percentile, method="inverted_cdf")
    between = Surfaces(distances, distances, areas, areas)
    assert hausdorff_distance(between, percentile) == expected


def test_empty_masks_and_boxes() -> None:
    empty, full = np.zeros((2, 3, 4), bool), np.ones((2, 3, 4), bool)
    assert surfaces(empty, full, (1, 1, 1)) is None
    assert surfaces(full, empty, (1, 1, 1)) is None
    assert bounding_box(empty) is None
    full[0] = False
    assert bounding_box(full) == (slice(1, 2), slice(0, 3), slice(0, 4))


def test_diagonal() -> None:
    assert diagonal((3, 4, 12), (1, 1, 1)) == 13
    assert diagonal((1, 2, 3), (4, 2, 1)) == pytest.approx((16 + 16 + 9) ** 0.5)
