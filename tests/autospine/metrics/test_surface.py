from __future__ import annotations

import importlib
import warnings
from itertools import permutations, product
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autospine.metrics.surface import (
    Surfaces,
    average_distance,
    bounding_box,
    diagonal,
    directed_distances,
    hausdorff_distance,
    reference_surface_recall,
    surface_dice,
    surfaces,
)
from autospine.metrics.surface_elements import surfel_areas

MASKS = arrays(bool, (3, 4, 3))


class Figures(NamedTuple):
    """Every figure of a pair of surfaces."""

    to_reference: float
    to_prediction: float
    asd: float
    hd: float
    hd95: float
    nsd: float
    reference_surface_recall: float


MM = st.tuples(*[st.sampled_from([0.5, 1.0, 1.7, 4.0])] * 3)


def brute(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], tolerance: float = 1.0) -> Figures:
    """Every figure, with loops over every cell and every pair of cells."""
    sizes = surfel_areas(tuple(spacing))
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
    tail = [
        min(d for d in distances if area[distances <= d].sum() >= 0.95 * area.sum() * (1 - 1e-9))
        for distances, area in ((there, p_area), (back, r_area))
    ]
    near = [area[d <= tolerance * (1 + 1e-9)].sum() for d, area in ((there, p_area), (back, r_area))]
    return Figures(
        to_reference=(there * p_area).sum() / p_area.sum(),
        to_prediction=(back * r_area).sum() / r_area.sum(),
        asd=((there * p_area).sum() / p_area.sum() + (back * r_area).sum() / r_area.sum()) / 2,
        hd=max(there.max(), back.max()),
        hd95=max(tail),
        nsd=sum(near) / (p_area.sum() + r_area.sum()),
        reference_surface_recall=r_area[back < tolerance * (1 - 1e-9)].sum() / r_area.sum(),
    )


def measured(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], tolerance: float = 1.0
) -> Figures:
    between = surfaces(prediction, reference, spacing)
    assert between is not None
    return Figures(
        *directed_distances(between),
        average_distance(between),
        hausdorff_distance(between),
        hausdorff_distance(between, 95),
        surface_dice(between, tolerance),
        reference_surface_recall(between, tolerance),
    )


@given(MASKS, MASKS, MM)
@settings(max_examples=50, deadline=None)
def test_matches_brute_force(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> None:
    assume(prediction.any() and reference.any())
    assert measured(prediction, reference, spacing) == pytest.approx(brute(prediction, reference, spacing))


@given(MASKS, MASKS, MM)
@settings(max_examples=30, deadline=None)
def test_symmetric_and_proportional_to_spacing(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> None:
    assume(prediction.any() and reference.any())
    once = measured(prediction, reference, spacing)
    back = measured(reference, prediction, spacing)
    assert (back.asd, back.hd, back.hd95, back.nsd) == pytest.approx((once.asd, once.hd, once.hd95, once.nsd))
    assert (back.to_reference, back.to_prediction) == pytest.approx((once.to_prediction, once.to_reference))
    tripled = measured(prediction, reference, tuple(3 * mm for mm in spacing), tolerance=3.0)
    assert tripled[:5] == pytest.approx(tuple(3 * value for value in once[:5]))
    assert tripled[5:] == pytest.approx(once[5:])


@given(MASKS, MASKS, MM, st.sampled_from([0.0, 0.5, 1.0, 1.7, 2.0]))
@settings(max_examples=40, deadline=None)
def test_more_tolerance_is_no_worse_and_the_maximum_is_enough(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], tolerance: float
) -> None:
    assume(prediction.any() and reference.any())
    less, more = (measured(prediction, reference, spacing, mm) for mm in (tolerance, tolerance + 0.5))
    assert 0 <= less.nsd <= more.nsd <= 1
    assert 0 <= less.reference_surface_recall <= more.reference_surface_recall <= 1
    assert measured(prediction, reference, spacing, less.hd).nsd == 1
    assert less.hd95 <= less.hd and less.asd <= less.hd


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
    assert measured(mask, mask, spacing) == (0, 0, 0, 0, 0, 1, 1)
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
    sizes = surfel_areas((1.0, 2.0, 3.0))
    assert sizes == pytest.approx(sizes[::-1])
    assert sizes[0] == sizes[255] == 0 and (sizes[1:255] > 0).all()
    for order in permutations((1.0, 2.0, 3.0)):
        assert sorted(surfel_areas(order)) == pytest.approx(sorted(sizes))
    assert sizes[0b00001111] == pytest.approx(6.0)  # a wall across the first axis: 2 mm x 3 mm


@given(arrays(bool, (1, 5, 4)), arrays(bool, (1, 5, 4)), MM)
@settings(max_examples=30, deadline=None)
def test_one_slice_has_contours(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> None:
    assume(prediction.any() and reference.any())
    flat = brute(prediction[0], reference[0], spacing[1:])
    assert measured(prediction, reference, spacing) == pytest.approx(flat)


def test_one_slice_contour_length() -> None:
    square = np.zeros((1, 60, 60), bool)
    square[0, 10:50, 20:50] = True
    assert surfaces(square, square, (4.0, 0.5, 2.0)).prediction_area.sum() == pytest.approx(2 * (20 + 60), rel=0.03)


def test_a_single_row_works() -> None:
    one, other = np.array([[[0, 1, 1, 0]]], bool), np.array([[[0, 1, 1, 1]]], bool)
    # Two ends each; the prediction's right end and the reference's are 2 mm apart.
    assert measured(one, other, (1.0, 1.0, 2.0)) == pytest.approx((1.0, 1.0, 1.0, 2.0, 2.0, 0.5, 0.5))
    single = np.ones((1, 1, 1), bool)
    assert measured(single, single, (1.0, 1.0, 2.0)) == (0, 0, 0, 0, 0, 1, 1)


def test_tolerance_by_hand() -> None:
    """A prediction 2 mm too long: its far wall is 2 mm away, near only where equal counts."""
    reference = np.zeros((11, 9, 11), bool)
    reference[1:10, 2:5, 1:10] = True
    prediction = reference.copy()
    prediction[1:10, 5, 1:10] = True
    below, at, above = (measured(prediction, reference, (1.0, 2.0, 1.0), mm) for mm in (1.9, 2.0, 2.1))
    assert below.nsd < at.nsd == above.nsd == 1
    assert below.reference_surface_recall == at.reference_surface_recall < above.reference_surface_recall == 1


def test_the_reference_only_form_does_not_see_what_is_invented() -> None:
    reference = np.zeros((5, 9, 20), bool)
    reference[1:4, 1:4, 1:4] = True
    prediction = reference.copy()
    prediction[1:4, 5:8, 15:18] = True
    found, back = measured(prediction, reference, (1, 1, 1)), measured(reference, prediction, (1, 1, 1))
    assert found.reference_surface_recall == 1 and found.nsd == pytest.approx(2 / 3)
    assert found.to_prediction == 0 < found.to_reference
    assert back.reference_surface_recall == pytest.approx(1 / 2) and back.nsd == pytest.approx(2 / 3)


def test_tolerance_in_spite_of_rounding() -> None:
    one, other = np.zeros((4, 9, 4), bool), np.zeros((4, 9, 4), bool)
    one[1:3, 2:4, 1:3], other[1:3, 5:7, 1:3] = True, True
    found = measured(one, other, (0.1, 0.1, 0.1), 0.3)  # 3 * 0.1 is a little more than 0.3
    assert found.hd == pytest.approx(0.3) and found.nsd == 1
    assert found.reference_surface_recall < 0.999
    assert found.reference_surface_recall == pytest.approx(
        measured(one, other, (1.0, 1.0, 1.0), 3.0).reference_surface_recall
    )


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


def bodies(seed: int) -> np.ndarray:
    """A smooth blob, about as round as a vertebra."""
    from scipy.ndimage import gaussian_filter

    shape = (16, 30, 26)
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    grid = np.meshgrid(*(np.linspace(-1.4, 1.4, n) for n in shape), indexing="ij")
    return sum(axis**2 for axis in grid) + 0.15 * noise / noise.std() < 1


@pytest.fixture
def oracle() -> ModuleType:
    """surface-distance-based-measures; it uses scipy's old names."""
    pytest.importorskip("surface_distance", reason="surface-distance-based-measures is the oracle")
    return importlib.import_module("surface_distance")


def by_oracle(oracle: ModuleType, prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> Figures:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = oracle.compute_surface_distances(reference, prediction, spacing)
    back, there = oracle.compute_average_surface_distance(found)
    hd, hd95 = (oracle.compute_robust_hausdorff(found, percent) for percent in (100, 95))
    near = (found["surfel_areas_gt"] * (found["distances_gt_to_pred"] < 1 - 1e-9)).sum()
    nsd = oracle.compute_surface_dice_at_tolerance(found, 1.0 + 1e-9)
    return Figures(there, back, (there + back) / 2, hd, hd95, nsd, near / found["surfel_areas_gt"].sum())


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (4.0, 1.0, 0.5), (2.0, 0.7, 0.7)])
def test_matches_surface_distance_on_smooth_bodies(oracle: ModuleType, spacing: tuple[float, ...]) -> None:
    """To rounding: their cells have the same areas, since no pattern on them has several triangulations."""
    for seed in range(3):
        prediction, reference = bodies(seed), bodies(seed + 10)
        expected = by_oracle(oracle, prediction, reference, spacing)
        assert measured(prediction, reference, spacing) == pytest.approx(expected, rel=1e-9)


@given(MASKS, MASKS, MM)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_matches_surface_distance_on_noise(
    oracle: ModuleType, prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> None:
    """Distances are the same; areas differ where voxels touch at edges only, since ours are means over mirrorings."""
    assume(prediction.any() and reference.any())
    found, expected = (
        measured(prediction, reference, spacing),
        by_oracle(oracle, prediction, reference, spacing),
    )
    assert found.hd == pytest.approx(expected.hd)
    assert (found.nsd == 1) == (expected.nsd == pytest.approx(1))


def test_matches_surface_distance_on_a_real_spine(oracle: ModuleType, real_data: Path) -> None:
    """Within half a percent: single cells of ragged outlines have several triangulations."""
    from autospine.volumes import find_volumes, read_mask

    mask = read_mask(find_volumes(real_data / "t2" / "masks")[0])
    labels = np.unique(mask.array)[1:]
    assert len(labels) > 4
    for label in labels:
        box = bounding_box(mask.array == label)
        reference = np.pad(mask.array[box] == label, 2)
        prediction = np.roll(reference, (1, -1), (1, 2))
        prediction[:, ::3] |= reference[:, ::3]
        expected = by_oracle(oracle, prediction, reference, mask.spacing)
        assert measured(prediction, reference, mask.spacing) == pytest.approx(expected, rel=5e-3)


@given(arrays(bool, (4, 5, 6)), arrays(bool, (4, 5, 6)), MM)
@settings(max_examples=30, deadline=None)
def test_hausdorff_distance_is_within_a_voxel_of_monai(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> None:
    """MONAI measures between the centres of border voxels, ours between cells.

    Each border voxel has a cell of the surface at a corner and each cell a border voxel: half a diagonal at both ends.
    """
    metrics, torch = pytest.importorskip("monai.metrics"), pytest.importorskip("torch")
    assume(prediction.any() and reference.any())
    tensors = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs = metrics.compute_hausdorff_distance(*tensors, include_background=True, spacing=spacing)
    ours = hausdorff_distance(surfaces(prediction, reference, spacing))
    assert abs(ours - float(theirs)) <= np.linalg.norm(spacing) * (1 + 1e-6)


@pytest.mark.parametrize("shift", [(0, 0, 3), (0, 2, 0), (1, 0, 0), (1, 2, 3)])
def test_hausdorff_distance_of_a_shifted_box_is_monais(shift: tuple[int, ...]) -> None:
    metrics, torch = pytest.importorskip("monai.metrics"), pytest.importorskip("torch")
    reference = np.zeros((9, 14, 16), bool)
    reference[2:6, 3:9, 3:9] = True
    prediction, spacing = np.roll(reference, shift, (0, 1, 2)), (4.0, 0.7, 1.0)
    tensors = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs = metrics.compute_hausdorff_distance(*tensors, include_background=True, spacing=spacing)
    assert hausdorff_distance(surfaces(prediction, reference, spacing)) == pytest.approx(float(theirs))
