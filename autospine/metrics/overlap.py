"""Overlap of two masks, from voxel counts.

TP, FP, FN, TN are `Counts.both`, `prediction_only`, `reference_only`, `neither`. Where a share would be 0 / 0, one rule
holds for all of them: nothing in both masks gives NaN (there is nothing to score; callers report "absent in
both"), something in only one of the masks gives 0. Formulas: Taha and Hanbury 2015, "Metrics for evaluating 3D medical
image segmentation".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan, nan

import numpy as np


@dataclass(frozen=True)
class Counts:
    """Voxels of one structure."""

    both: int  # in prediction and reference (true positives)
    prediction_only: int  # false positives
    reference_only: int  # false negatives
    neither: int = 0  # true negatives

    @property
    def prediction(self) -> int:
        """Return the voxels of the prediction."""
        return self.both + self.prediction_only

    @property
    def reference(self) -> int:
        """Return the voxels of the reference."""
        return self.both + self.reference_only


def count(prediction: np.ndarray, reference: np.ndarray) -> Counts:
    """Count the voxels of two boolean masks of one shape.

    Example:
        >>> import numpy as np
        >>> count(np.array([True, True, False]), np.array([True, False, False]))
        Counts(both=1, prediction_only=1, reference_only=0, neither=1)
    """
    both = int(np.count_nonzero(prediction & reference))
    predicted, annotated = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    return Counts(both, predicted - both, annotated - both, prediction.size - predicted - annotated + both)


def _share(part: float, whole: float, counts: Counts) -> float:
    if counts.prediction == counts.reference == 0:
        return nan
    return part / whole if whole else 0.0


def dice(counts: Counts) -> float:
    """Return 2 TP / (2 TP + FP + FN), 0 to 1: equal to F1 on the same counts. Both empty: NaN; one: 0."""
    return _share(2 * counts.both, counts.prediction + counts.reference, counts)


def f1(counts: Counts) -> float:
    """Return the harmonic mean of precision and recall, 0 to 1. Both empty: NaN; one: 0.

    On the counts of one structure this is `dice`, the same number under another name; papers that print
    two different ones average over other things.
    """
    both, total = precision(counts) * recall(counts), precision(counts) + recall(counts)
    return 2 * both / total if total else 0.0


def iou(counts: Counts) -> float:
    """Return TP / (TP + FP + FN) (Jaccard), 0 to 1. Both empty: NaN; one: 0."""
    return _share(counts.both, counts.prediction + counts.reference_only, counts)


def mean_iou(counts: Iterable[Counts]) -> float:
    """Return the mean of the structures' `iou`, 0 to 1, without those that neither mask shows; NaN without any.

    Whether the background is one of the structures is the caller's choice: it raises the mean.
    """
    known = [value for value in map(iou, counts) if not isnan(value)]
    return sum(known) / len(known) if known else nan


def precision(counts: Counts) -> float:
    """Return TP / (TP + FP), the share of the prediction that is right (PPV). Both empty: NaN; one: 0."""
    return _share(counts.both, counts.prediction, counts)


def recall(counts: Counts) -> float:
    """Return TP / (TP + FN), the share of the reference that is segmented (sensitivity). Both empty: NaN; one: 0."""
    return _share(counts.both, counts.reference, counts)


def accuracy(counts: Counts) -> float:
    """Return (TP + TN) / all voxels, 0 to 1. Background rules it: 0.99 says little.

    It knows no empty input: both empty gives 1, one empty the share of the background. NaN without voxels.
    """
    total = counts.both + counts.prediction_only + counts.reference_only + counts.neither
    return (counts.both + counts.neither) / total if total else nan


def volume_error(counts: Counts, voxel_mm3: float) -> float:
    """Return the prediction's volume minus the reference's, in millilitres; below 0 is too small. Both empty: 0."""
    return (counts.prediction - counts.reference) * voxel_mm3 / 1000


def volume_error_share(counts: Counts) -> float:
    """Return (prediction - reference) / reference, in volumes (RVD): -1 to infinity, 0 is best, 0.1 is 10 % too large.

    Both empty: NaN. Prediction empty: -1. Reference empty: 1, since the quotient would be infinite and leave no mean.
    Source: Heimann et al. 2009, "Comparison and evaluation of methods for liver segmentation".
    """
    if counts.prediction == counts.reference == 0:
        return nan
    if counts.reference == 0:
        return 1.0
    return (counts.prediction - counts.reference) / counts.reference
