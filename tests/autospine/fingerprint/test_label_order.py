from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from autospine.fingerprint.label_order import agreement, find_ordered_labels, height_order, row_overlap
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import get_scheme, infer_scheme
from autospine.labels.schemes import LabelScheme


@dataclass
class Fake:
    """The part of a case fingerprint that ordered labels are found by."""

    shape: tuple = (10, 200, 100)
    spacing: tuple = (4.0, 2.0, 2.0)
    centroids: dict = field(default_factory=dict)
    boxes: dict = field(default_factory=dict)
    voxels: dict = field(default_factory=dict)

    def add(self, label, row, half, voxels, column=50.0):
        self.centroids[label] = (5.0, float(row), column)
        self.boxes[label] = (2, row - half, 40, 8, row + half, 60)
        self.voxels[label] = voxels
        return self


def column_of(labels, seed=0, discs=(), canal=None):
    """Labels from the lowest up every 16 rows, discs under each, a canal along all."""
    case, start = Fake(), 180 - int(np.random.default_rng(seed).integers(0, 8))
    for place, label in enumerate(labels):
        case.add(label, start - 16 * place, 5, 9000)
    for place, label in enumerate(discs):
        case.add(label, start + 8 - 16 * place, 2, 2500)
    if canal is not None:
        case.add(canal, start - 16 * len(labels) // 2, 16 * len(labels) // 2 + 8, 20_000)
    return case


def plain(*labels):
    return LabelScheme("plain", {label: Anatomy(Kind.STRUCTURE, label) for label in labels})


def test_vertebrae_and_discs_make_two_sequences():
    cases = [column_of([1, 2, 3, 4, 5], seed, [201, 202, 203], 100) for seed in range(4)]
    vertebrae, discs = find_ordered_labels(cases, infer_scheme([1]))
    assert (vertebrae.kind, vertebrae.values, vertebrae.levels) == (
        Kind.VERTEBRA,
        (1, 2, 3, 4, 5),
        (1, 2, 3, 4, 5),
    )
    assert (discs.kind, discs.values, discs.levels) == (Kind.DISC, (201, 202, 203), (1, 2, 3))
    assert vertebrae.intervertebral_distance_mm == pytest.approx(32)


def test_room_is_measured_from_the_outermost_centroids():
    (labels,) = find_ordered_labels([Fake().add(1, 150, 4, 10).add(2, 130, 4, 10)], get_scheme("spider"))
    assert labels.room_above_mm == pytest.approx(130.5 * 2)
    assert labels.room_below_mm == pytest.approx((200 - 150.5) * 2)


def test_values_go_from_the_lowest_up_whatever_the_integers():
    cases = [column_of([5, 4, 3, 2, 1, 7, 6])]
    (labels,) = find_ordered_labels(cases, get_scheme("lumbar7"))
    assert labels.values == (5, 4, 3, 2, 1, 7, 6)
    assert labels.levels == (1, 2, 3, 4, 5, 6, 7)


def test_pitch_does_not_span_a_missing_level():
    cases = [column_of([1, 2, 3]), Fake().add(1, 180, 5, 10).add(3, 148, 5, 10)]
    assert find_ordered_labels(cases, get_scheme("spider"))[0].intervertebral_distance_mm == pytest.approx(32)


def test_labels_against_their_scheme_are_not_ordered():
    assert find_ordered_labels([column_of([5, 4, 3, 2, 1])], get_scheme("spider")) == ()


def test_semantic_labels_and_one_level_are_not_ordered():
    assert find_ordered_labels([column_of([1], 0, [3], 2)], get_scheme("semantic4")) == ()
    assert find_ordered_labels([column_of([1])], get_scheme("spider")) == ()


def test_a_plain_scheme_gets_its_ordered_labels_by_position_alone():
    labels, discs = [17, 40, 12, 33, 8], [3, 50, 2, 60]
    cases = [column_of(labels, seed, discs, canal=5) for seed in range(5)]
    first, second = find_ordered_labels(cases, plain(*labels, *discs, 5))
    assert first.values == tuple(labels)
    assert first.levels == (1, 2, 3, 4, 5)
    assert first.kind is Kind.STRUCTURE
    assert second.values == tuple(discs)


def test_plain_labels_that_change_places_are_not_ordered():
    cases = [column_of(order) for order in ([1, 2, 3], [3, 1, 2], [2, 3, 1])]
    assert find_ordered_labels(cases, plain(1, 2, 3)) == ()


def test_a_label_that_changes_places_is_left_out_of_the_order():
    cases = [column_of(order) for order in ([1, 2, 9, 3, 4], [1, 9, 2, 3, 4], [1, 2, 3, 9, 4])]
    assert [labels.values for labels in find_ordered_labels(cases, plain(1, 2, 3, 4, 9))] == [(1, 2, 3, 4)]


def test_discs_rank_below_their_vertebra_and_above_the_sacrum():
    ranks = height_order(get_scheme("mrspineseg"))
    order = sorted(ranks, key=ranks.__getitem__)
    assert order == [1, 11, 2, 12, 3, 13, 4, 14, 5, 15, 6, 16, 7, 17, 8, 18, 9, 19, 10]
    assert 100 not in height_order(get_scheme("spider"))


def test_agreement_counts_pairs():
    case = column_of([1, 2, 3])
    assert agreement([case], {1: 1, 2: 2, 3: 3}) == 1
    assert agreement([case], {1: 3, 2: 2, 3: 1}) == 0
    assert agreement([case], {1: 1, 2: 3, 3: 2}) == pytest.approx(2 / 3)
    assert agreement([], {}) == 1


def test_row_overlap():
    assert row_overlap((0, 0, 0, 9, 9, 9), (0, 5, 0, 9, 6, 9)) == 1
    assert row_overlap((0, 0, 0, 9, 9, 9), (0, 8, 0, 9, 11, 9)) == 0.5
    assert row_overlap((0, 0, 0, 9, 3, 9), (0, 8, 0, 9, 11, 9)) == 0
