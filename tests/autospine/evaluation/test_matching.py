from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from autospine.evaluation.mask_pair import MaskPair
from autospine.evaluation.matching import best_matching, common_shift, find_overlaps, identified
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import SCHEMES

SPIDER, SEMANTIC = SCHEMES["spider"], SCHEMES["semantic4"]
IOU = st.floats(0, 1).map(lambda value: round(value, 2))


def every_matching(rows: int, columns: int) -> list[list[tuple[int, int]]]:
    found = []
    for size in range(min(rows, columns) + 1):
        for chosen in combinations(range(rows), size):
            found += [list(zip(chosen, other, strict=True)) for other in permutations(range(columns), size)]
    return found


@given(st.integers(0, 4).flatmap(lambda n: st.integers(0, 4).flatmap(lambda m: arrays(float, (n, m), elements=IOU))))
@settings(max_examples=100, deadline=None)
def test_no_matching_is_better(iou: np.ndarray) -> None:
    """By brute force: most pairs at the threshold, then the greatest sum."""

    def worth(pairs: list[tuple[int, int]]) -> tuple[int, float]:
        values = [iou[p, r] for p, r in pairs]
        return sum(value >= 0.5 for value in values), round(float(sum(values)), 9)

    found = best_matching(iou, 0.5)
    assert len({p for p, _ in found}) == len({r for _, r in found}) == len(found)
    assert all(iou[p, r] > 0 for p, r in found)
    assert worth(found) == max(worth(pairs) for pairs in every_matching(*iou.shape))


def test_one_good_pair_is_worth_more_than_two_poor_ones() -> None:
    assert best_matching(np.array([[0.51, 0.32], [0.32, 0.0]]), 0.5) == [(0, 0)]


@given(arrays(np.uint8, (3, 4, 5), elements=st.sampled_from([0, 0, 1, 2, 100, 103, 201])), st.data())
@settings(max_examples=40, deadline=None)
def test_overlaps_by_hand(prediction: np.ndarray, data: st.DataObject) -> None:
    reference = data.draw(arrays(np.uint8, (3, 4, 5), elements=st.sampled_from([0, 0, 1, 103, 201, 202])))
    spacing = (4.0, 0.5, 0.25)
    found = find_overlaps(MaskPair(prediction, reference, spacing, (SPIDER, SPIDER)))
    assert 100 not in [SPIDER.value_of(one) for one in found.predictions]
    sides = []
    for mask, names, sizes, centres in (
        (prediction, found.predictions, found.predicted, found.prediction_centroids),
        (reference, found.references, found.annotated, found.reference_centroids),
    ):
        values = [SPIDER.value_of(one) for one in names]
        assert set(values) == set(np.unique(mask)) - {0, 100}
        parts = [mask == value for value in values]
        assert sizes.tolist() == [part.sum() for part in parts]
        expected = [np.array(ndimage.center_of_mass(part)) * spacing for part in parts]
        assert centres == pytest.approx(np.array(expected).reshape(-1, 3))
        sides.append(parts)
    expected_shared = [[(p & r).sum() for r in sides[1]] for p in sides[0]]
    assert found.shared.tolist() == expected_shared or not (sides[0] and sides[1])


def test_centroids_are_those_in_the_image() -> None:
    mask = np.zeros((5, 9, 9), np.uint8)
    mask[3, 4:7, 2] = 1
    found = find_overlaps(MaskPair(mask, mask, (4.0, 1.0, 0.5), (SPIDER, SPIDER)))
    assert found.prediction_centroids.tolist() == found.reference_centroids.tolist() == [[12.0, 5.0, 1.0]]


@given(arrays(np.uint8, (3, 5, 5), elements=st.sampled_from([0, 0, 0, 1, 3])))
@settings(max_examples=40, deadline=None)
def test_pieces_as_scipy_finds_them(mask: np.ndarray) -> None:
    found = find_overlaps(MaskPair(mask, mask, (1, 1, 1), (SEMANTIC, SEMANTIC)))
    expected = 0
    for value in (1, 3):
        pieces, count = ndimage.label(mask == value, np.ones((3, 3, 3)))
        sizes = np.bincount(pieces.ravel())[1:]
        places = [k for k, one in enumerate(found.predictions) if SEMANTIC.value_of(one) == value]
        assert sorted(found.predicted[places]) == sorted(sizes)
        expected += count
    assert len(found.predictions) == expected == len(found.references)
    assert (np.diag(found.shared) == found.predicted).all() and found.shared.sum() == (mask > 0).sum()


LEVELS = st.lists(st.integers(1, 9), unique=True, max_size=5)


def vertebrae(levels: list[int]) -> list[Anatomy]:
    return [Anatomy(Kind.VERTEBRA, level) for level in levels]


@given(LEVELS, LEVELS, st.integers(0, 1000))
def test_the_nearest_has_the_level_and_is_within_reach(predicted: list[int], annotated: list[int], seed: int) -> None:
    draw = np.random.default_rng(seed)
    ours, theirs = draw.uniform(0, 60, (len(predicted), 3)), draw.uniform(0, 60, (len(annotated), 3))
    answers = identified(vertebrae(predicted), ours, vertebrae(annotated), theirs)
    for level, place, answer in zip(annotated, theirs, answers, strict=True):
        expected = False
        if level in predicted:
            apart = [float(sum((a - b) ** 2 for a, b in zip(place, one, strict=True)) ** 0.5) for one in ours]
            own = apart[predicted.index(level)]
            expected = own == min(apart) and own <= 20
        assert answer is expected


def test_what_has_no_level_is_not_identified() -> None:
    place = np.zeros((1, 3))
    assert identified([Anatomy(Kind.VERTEBRA)], place, [Anatomy(Kind.VERTEBRA)], place) == [False]


@given(st.lists(st.integers(1, 20), min_size=1), st.integers(-3, 3))
def test_a_shift_that_all_share(levels: list[int], offset: int) -> None:
    assert common_shift([(level + offset, level) for level in levels]) == offset
    assert common_shift([(level + offset, level) for level in levels] + [(9 + offset, 8)]) is None


def test_nothing_detected_has_no_shift() -> None:
    assert common_shift([]) is None
