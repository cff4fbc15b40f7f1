from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.reconstruction.grid import measured_planes, plan_slices
from autospine.reconstruction.masks import RULES, Rule, interpolate_mask

SPACING = (4.0, 1.0, 1.0)


def ellipse(row: float, column: float, tall: float, wide: float) -> np.ndarray:
    rows, columns = np.indices((64, 64))
    return ((rows - row) / tall) ** 2 + ((columns - column) / wide) ** 2 <= 1


def stack(*planes: np.ndarray | None, value: int = 7) -> np.ndarray:
    mask = np.zeros((len(planes), 64, 64), np.uint8)
    for slot, plane in zip(mask, planes, strict=True):
        if plane is not None:
            slot[plane] = value
    return mask


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([1.0, 2.0, 4.4]), st.sampled_from(RULES),
    st.sampled_from([np.uint8, np.uint16, np.int32]),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_annotated_slices_come_back_voxel_for_voxel(seed: int, slices: int, gap: float, rule: Rule, kind: type) -> None:
    rng = np.random.default_rng(seed)
    mask = (rng.integers(0, 4, (slices, 6, 7)) * (rng.random((slices, 1, 1)) < 0.7)).astype(kind)
    grid = plan_slices(slices, gap, 1.0)
    interpolated = interpolate_mask(mask, grid, (gap, 1.0, 0.5), rule)
    assert interpolated.dtype == kind
    assert set(np.unique(interpolated)) <= {0, *np.unique(mask)}
    labelled = mask.any(axis=(1, 2))
    back = measured_planes(interpolated, grid, axis=0)
    np.testing.assert_array_equal(back[labelled], mask[labelled])
    if not labelled.any():
        assert not interpolated.any()


@given(st.integers(0, 2**32 - 1), st.sampled_from(RULES))
@settings(max_examples=15, deadline=None)
def test_left_and_right_do_not_matter(seed: int, rule: Rule) -> None:
    rng = np.random.default_rng(seed)
    places = rng.uniform(20, 44, (3, 2))
    mask = stack(*(ellipse(*place, 9, 13) for place in places))
    grid = plan_slices(3, 4.0, 1.0)
    there = interpolate_mask(mask, grid, SPACING, rule)
    back = interpolate_mask(mask[::-1], grid, SPACING, rule)[::-1]
    assert (there != back).sum() <= 0.01 * (there > 0).sum()


@pytest.mark.parametrize("rule", RULES)
def test_a_label_that_moves_lies_half_way_between(rule: Rule) -> None:
    mask = stack(ellipse(20, 30, 5, 12), ellipse(32, 30, 5, 12))  # no pixel overlaps
    middle = interpolate_mask(mask, plan_slices(2, 4.0, 2.0), SPACING, rule)[1] == 7
    assert dice(middle, ellipse(26, 30, 5, 12)) > 0.95


@pytest.mark.parametrize("rule", RULES)
def test_size_between_two_sizes(rule: Rule) -> None:
    mask = stack(ellipse(32, 32, 10, 10), ellipse(32, 32, 12, 12))
    middle = interpolate_mask(mask, plan_slices(2, 4.0, 2.0), SPACING, rule)[1] == 7
    rows, columns = np.nonzero(middle)
    assert abs(np.ptp(rows) + 1 - 22) <= 1
    assert abs(np.ptp(columns) + 1 - 22) <= 1


def test_an_outline_that_bulges_does_so_between_slices_too() -> None:
    """A ball: half-way between two slices it is larger than their mean, which only a cubic can know."""
    radii = [np.sqrt(30**2 - x**2) for x in (-24, -8, 8, 24)]
    mask = stack(*(ellipse(32, 32, radius, radius) for radius in radii))
    middle = interpolate_mask(mask, plan_slices(4, 16.0, 8.0), (16.0, 1.0, 1.0))[3] == 7
    assert middle.sum() > (mask[1] > 0).sum()
    assert dice(middle, ellipse(32, 32, 30, 30)) > 0.98


def test_a_part_that_vanishes_does_not_pull_the_rest_away() -> None:
    """A vertebral body with its spinous process, and without: the body stays where it is."""
    body, process = ellipse(32, 16, 9, 12), ellipse(36, 52, 6, 8)
    mask = stack(body | process, body)
    interpolated = interpolate_mask(mask, plan_slices(2, 4.0, 1.0), SPACING) == 7
    for index in (1, 2, 3):
        assert dice(interpolated[index][:, :36], body[:, :36]) == 1
    assert dice(interpolated[1][:, 36:], process[:, 36:]) > 0.6
    assert not interpolated[3][:, 36:].any()


@pytest.mark.parametrize("rule", RULES)
def test_a_label_in_one_slice_only_fades_out_within_half_a_gap(rule: Rule) -> None:
    mask = stack(None, ellipse(32, 32, 10, 14), None)
    interpolated = interpolate_mask(mask, plan_slices(3, 8.0, 1.0), (8.0, 1.0, 1.0), rule) > 0
    sizes = interpolated.sum(axis=(1, 2))
    assert sizes[:4].tolist() == [0, 0, 0, 0]
    assert sizes[13:].tolist() == [0, 0, 0, 0]
    assert (np.diff(sizes[3:9]) >= 0).all()
    assert sizes[7] > 0.5 * sizes[8]
    np.testing.assert_array_equal(interpolated, interpolated[::-1])


def test_an_empty_slice_between_labelled_ones_was_not_annotated() -> None:
    plane = ellipse(32, 32, 10, 14)
    skipping = stack(None, plane, None, plane, None)
    interpolated = interpolate_mask(skipping, plan_slices(5, 4.0, 2.0), SPACING)
    np.testing.assert_array_equal(interpolated[2:7] == 7, np.stack([plane] * 5))
    assert not interpolated[0].any()
    assert not interpolated[8].any()
    same_grid = interpolate_mask(skipping, plan_slices(5, 1.0, 1.0), SPACING)
    np.testing.assert_array_equal(same_grid[2] == 7, plane)


def test_a_label_that_is_absent_beside_others_is_absent() -> None:
    facet, body = ellipse(32, 50, 6, 6), ellipse(32, 16, 9, 12)
    mask = stack(body, body, body)
    mask[0][facet] = mask[2][facet] = 8
    interpolated = interpolate_mask(mask, plan_slices(3, 4.0, 1.0), SPACING)
    assert not (interpolated[3:6] == 8).any()
    assert (interpolated[1] == 8).any()


def test_abutting_labels_leave_no_gap_and_never_overlap_measured_ones() -> None:
    mask = np.zeros((2, 40, 40), np.uint8)
    for index, edge in enumerate((18, 24)):
        mask[index, 5:edge, 5:35], mask[index, edge:35, 5:35] = 1, 201
    interpolated = interpolate_mask(mask, plan_slices(2, 4.0, 1.0), SPACING)
    assert (interpolated[:, 5:35, 5:35] > 0).all()
    edges = [(plane[:, 20] == 1).sum() for plane in interpolated]
    assert edges == sorted(edges)
    assert edges[2] in (15, 16, 17)


def test_a_label_that_fills_the_slice_stays() -> None:
    assert (interpolate_mask(np.ones((2, 8, 8), np.uint8), plan_slices(2, 4.0, 1.0), SPACING) == 1).all()


def test_the_published_box_is_cut_at_its_corners() -> None:
    """Half the size on one side: the box has the mean size, and only what a neighbour shows is kept."""
    mask = np.zeros((2, 40, 40), np.uint8)
    mask[0, 10:30, 10:30] = mask[1, 15:25, 15:25] = 3
    middle = interpolate_mask(mask, plan_slices(2, 4.0, 2.0), SPACING, "box")[1]
    rows, columns = np.nonzero(middle)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (12, 27, 12, 27)
    assert rows.size == 15 * 15 or rows.size == 16 * 16


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="2 slices do not fit a grid of 3 measured ones"):
        interpolate_mask(np.zeros((2, 4, 4), np.uint8), plan_slices(3, 4.0, 1.0), SPACING)
