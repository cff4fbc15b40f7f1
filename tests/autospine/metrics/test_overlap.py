from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis.extra.numpy import arrays

from autospine.metrics import overlap
from autospine.metrics.overlap import Counts, count

MASKS = arrays(bool, (3, 4, 5))
RATIOS = [overlap.dice, overlap.iou, overlap.f1, overlap.precision, overlap.recall]


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
    assert overlap.f1(counts) == pytest.approx(overlap.dice(counts))


@given(MASKS, MASKS)
@settings(deadline=None)
def test_values_match_monai(prediction: np.ndarray, reference: np.ndarray) -> None:
    """Where both show something; MONAI has other values for empty masks."""
    metrics, torch = pytest.importorskip("monai.metrics"), pytest.importorskip("torch")
    assume(prediction.any() and reference.any())
    counts = count(prediction, reference)
    pair = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    assert overlap.dice(counts) == pytest.approx(float(metrics.compute_dice(*pair)), rel=1e-6)
    assert overlap.iou(counts) == pytest.approx(float(metrics.compute_iou(*pair)), rel=1e-6)
    matrix = metrics.get_confusion_matrix(*(mask.float() for mask in pair))
    assert matrix[0, 0].tolist() == [
        counts.both,
        counts.prediction_only,
        counts.neither,
        counts.reference_only,
    ]
    for ours, name in (
        (overlap.precision, "precision"),
        (overlap.recall, "sensitivity"),
        (overlap.f1, "f1 score"),
        (overlap.accuracy, "accuracy"),
    ):
        theirs = metrics.compute_confusion_matrix_metric(name, matrix.clone())
        assert ours(counts) == pytest.approx(float(theirs), rel=1e-6)


@given(MASKS, MASKS)
def test_exchanging_the_masks(prediction: np.ndarray, reference: np.ndarray) -> None:
    assume(prediction.any() or reference.any())
    there, back = count(prediction, reference), count(reference, prediction)
    assert overlap.dice(there) == overlap.dice(back)
    assert overlap.iou(there) == overlap.iou(back)
    assert overlap.precision(there) == overlap.recall(back)
    assert overlap.volume_error(there, 2.0) == -overlap.volume_error(back, 2.0)


def test_mean_iou_leaves_out_what_neither_mask_shows() -> None:
    shown, missed, absent = Counts(1, 1, 2, 9), Counts(0, 0, 3, 9), Counts(0, 0, 0, 9)
    assert overlap.mean_iou([shown, missed, absent]) == pytest.approx((1 / 4 + 0) / 2)
    assert math.isnan(overlap.mean_iou([absent])) and math.isnan(overlap.mean_iou([]))


@pytest.mark.parametrize("metric", RATIOS)
def test_empty_masks(metric: object) -> None:
    assert math.isnan(metric(Counts(0, 0, 0, 9)))  # type: ignore[operator]
    assert metric(Counts(0, 4, 0, 9)) == 0  # type: ignore[operator]
    assert metric(Counts(0, 0, 4, 9)) == 0  # type: ignore[operator]
    assert metric(Counts(4, 0, 0, 9)) == 1  # type: ignore[operator]


def test_empty_masks_for_the_other_figures() -> None:
    both, missed, invented = Counts(0, 0, 0, 9), Counts(0, 0, 3, 9), Counts(0, 3, 0, 9)
    assert [overlap.accuracy(counts) for counts in (both, missed, invented)] == [1, 0.75, 0.75]
    assert math.isnan(overlap.accuracy(Counts(0, 0, 0, 0)))
    assert [overlap.volume_error(counts, 1000) for counts in (both, missed, invented)] == [0, -3, 3]
    assert math.isnan(overlap.volume_error_share(both))
    assert [overlap.volume_error_share(counts) for counts in (missed, invented)] == [-1, 1]


def test_by_hand() -> None:
    counts = Counts(both=6, prediction_only=2, reference_only=4, neither=8)
    assert overlap.dice(counts) == pytest.approx(12 / 18)
    assert overlap.iou(counts) == pytest.approx(6 / 12)
    assert overlap.precision(counts) == pytest.approx(6 / 8)
    assert overlap.recall(counts) == pytest.approx(6 / 10)
    assert overlap.accuracy(counts) == pytest.approx(14 / 20)
    assert overlap.volume_error(counts, 500.0) == pytest.approx(-1.0)
    assert overlap.volume_error_share(counts) == pytest.approx(-0.2)
    assert overlap.f1(counts) == pytest.approx(12 / 18)
