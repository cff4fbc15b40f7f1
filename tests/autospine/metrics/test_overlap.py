from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autospine.metrics import overlap
from autospine.metrics.overlap import Counts, count, count_labels

MASKS = arrays(bool, (3, 4, 5))
RATIOS = [overlap.dice, overlap.iou, overlap.precision, overlap.recall]


@given(MASKS, MASKS)
def test_values_match_scikit_learn(prediction: np.ndarray, reference: np.ndarray) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    assume(prediction.any() or reference.any())
    counts, y, x = count(prediction, reference), reference.ravel(), prediction.ravel()
    assert overlap.dice(counts) == pytest.approx(metrics.f1_score(y, x, zero_division=0))
    assert overlap.iou(counts) == pytest.approx(metrics.jaccard_score(y, x, zero_division=0))
    assert overlap.precision(counts) == pytest.approx(metrics.precision_score(y, x, zero_division=0))
    assert overlap.recall(counts) == pytest.approx(metrics.recall_score(y, x, zero_division=0))
    assert overlap.accuracy(counts) == pytest.approx(metrics.accuracy_score(y, x))


@given(MASKS, MASKS)
def test_exchanging_the_masks(prediction: np.ndarray, reference: np.ndarray) -> None:
    assume(prediction.any() or reference.any())
    there, back = count(prediction, reference), count(reference, prediction)
    assert overlap.dice(there) == overlap.dice(back)
    assert overlap.iou(there) == overlap.iou(back)
    assert overlap.precision(there) == overlap.recall(back)
    assert overlap.volume_error(there, 2.0) == -overlap.volume_error(back, 2.0)


@given(
    arrays(np.uint8, (2, 3, 4), elements=st.integers(0, 3)),
    arrays(np.uint8, (2, 3, 4), elements=st.integers(0, 3)),
)
def test_all_labels_at_once_match_one_by_one(prediction: np.ndarray, reference: np.ndarray) -> None:
    assert count_labels(prediction, reference, 3) == [
        count(prediction == label, reference == label) for label in (1, 2, 3)
    ]


def test_many_labels_do_not_overflow_small_types() -> None:
    prediction, reference = np.array([200, 0], np.uint8), np.array([200, 199], np.uint8)
    counts = count_labels(prediction, reference, 200)
    assert counts[199] == Counts(1, 0, 0, 1) and counts[198] == Counts(0, 0, 1, 1)


@pytest.mark.parametrize("metric", RATIOS)
def test_empty_masks(metric: object) -> None:
    assert math.isnan(metric(Counts(0, 0, 0, 9)))  # type: ignore[operator]
    assert metric(Counts(0, 4, 0, 9)) == 0  # type: ignore[operator]
    assert metric(Counts(0, 0, 4, 9)) == 0  # type: ignore[operator]
    assert metric(Counts(4, 0, 0, 9)) == 1  # type: ignore[operator]


def test_by_hand() -> None:
    counts = Counts(both=6, prediction_only=2, reference_only=4, neither=8)
    assert overlap.dice(counts) == pytest.approx(12 / 18)
    assert overlap.iou(counts) == pytest.approx(6 / 12)
    assert overlap.precision(counts) == pytest.approx(6 / 8)
    assert overlap.recall(counts) == pytest.approx(6 / 10)
    assert overlap.accuracy(counts) == pytest.approx(14 / 20)
    assert overlap.volume_error(counts, 500.0) == pytest.approx(-1.0)
    assert overlap.volume_error(Counts(0, 0, 0, 9), 500.0) == 0
