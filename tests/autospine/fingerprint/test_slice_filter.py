from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autospine.fingerprint.slice_filter import (
    ClassWeights,
    class_counts,
    class_weight_ratio,
    class_weights,
    combined,
    describe,
    filter_slices,
    reasons,
    shown_classes,
)
from autospine.labels.conversion import conversion, missing_classes
from autospine.labels.schemes import SCHEMES

SPIDER, SEMANTIC4 = SCHEMES["spider"], SCHEMES["semantic4"]
COUNTS = np.array(
    [[900, 60, 30, 10], [900, 60, 30, 20], [900, 60, 0, 20], [1000, 0, 0, 0], [550, 60, 30, 10]], np.int64
)


@given(
    arrays(np.uint8, st.tuples(*[st.integers(1, 5)] * 3), elements=st.sampled_from([0, 2, 100, 103, 204, 255])),
    st.integers(0, 2),
)
def test_counts_are_those_of_the_converted_slices(mask: np.ndarray, axis: int) -> None:
    scheme = replace(SPIDER, ignore_label=255)
    classes = conversion(scheme, SEMANTIC4).apply(mask)
    slices = [classes.take(k, axis=axis).ravel() for k in range(mask.shape[axis])]
    expected = [np.bincount(each, minlength=256)[:4] for each in slices]
    np.testing.assert_array_equal(class_counts(mask, scheme, axis), expected)


def test_a_slice_is_kept_if_it_shows_all_classes_and_none_is_too_small() -> None:
    results = filter_slices(COUNTS)
    assert [each.kept for each in results] == [False, True, False, False, True]
    assert [each.ratio for each in results] == [90, 45, inf, inf, 55]  # 55 itself is allowed
    assert [each.reason for each in results] == [
        "its class weight ratio is above 55",
        "",
        "shows no spinal canal",
        "shows no vertebra or spinal canal or disc",
        "",
    ]


def test_another_ratio_and_fewer_classes() -> None:
    assert [each.kept for each in filter_slices(COUNTS, max_ratio=50)] == [False, True, False, False, False]
    assert [each.kept for each in filter_slices(COUNTS, classes=(1, 3))] == [False, True, True, False, True]


def test_a_slice_of_labels_alone_shows_no_background() -> None:
    assert filter_slices(np.array([[0, 5, 5, 5]]))[0].reason == "shows no background"


def test_weights_before_and_after() -> None:
    weights = class_weights(filter_slices(COUNTS))
    assert weights == ClassWeights(5, 2, tuple(COUNTS.sum(0)), tuple(COUNTS[[1, 4]].sum(0)))
    assert class_weight_ratio(weights.before) == 4250 / 60
    assert class_weight_ratio(weights.after) == 1450 / 30
    assert class_weight_ratio(weights.after) < class_weight_ratio(weights.before)
    both = combined([weights, weights])
    assert (both.slices, both.kept) == (10, 4)
    assert both.before == tuple(2 * n for n in weights.before)


@given(st.lists(st.tuples(*[st.integers(1, 500)] * 4), min_size=1, max_size=8))
def test_what_is_kept_is_below_the_limit_also_together(rows: list[tuple[int, ...]]) -> None:
    weights = class_weights(filter_slices(np.array(rows), max_ratio=20))
    if weights.kept:
        assert class_weight_ratio(weights.after) <= 20


def test_words() -> None:
    results = filter_slices(COUNTS)
    assert reasons(results) == "1 show no vertebra, 2 show no spinal canal, 1 show no disc, 1 have a ratio above 55"
    assert reasons(filter_slices(COUNTS[1:2])) == ""
    assert describe(class_weights(results)).startswith("2 of 5 slices kept, class weight ratio 70.8 before and 48.3")
    nothing = class_weights(filter_slices(COUNTS[2:4]))
    assert describe(nothing) == "0 of 2 slices kept: not one shows spinal canal"


def test_a_ratio_without_a_class_is_infinite() -> None:
    assert class_weight_ratio((9, 3, 0, 1)) == inf
    assert class_weight_ratio((9, 3, 0, 1), classes=(1, 3)) == 9


def test_classes_that_a_data_set_cannot_fill() -> None:
    assert missing_classes(SPIDER, SEMANTIC4) == ()
    assert [each.key for each in missing_classes(SPIDER, SEMANTIC4, (1, 2, 203))] == ["canal"]
    assert [each.key for each in missing_classes(SCHEMES["lumbar7"], SEMANTIC4)] == ["canal", "disc"]
    assert [each.key for each in missing_classes(SCHEMES["axial4"], SEMANTIC4)] == ["canal", "disc"]
    assert missing_classes(SPIDER, SCHEMES["spider20"], (*range(1, 10), 100, *range(201, 210))) == ()


@pytest.mark.parametrize(("labels", "classes"), [((3, 103), (1,)), ((100, 201), (2, 3)), ((), ()), ((0, 77), ())])
def test_classes_that_labels_become(labels: tuple[int, ...], classes: tuple[int, ...]) -> None:
    assert shown_classes(SPIDER, labels) == classes
