"""Overlap of two masks, from voxel counts.

Where a value would be 0 / 0, one rule holds for all of them: nothing in both masks gives NaN (there is
nothing to score; callers report "absent in both"), something in only one of the masks gives 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Counts:
    """Voxels of one structure.

    Attributes:
        both: In prediction and reference (true positives).
        prediction_only: False positives.
        reference_only: False negatives.
        neither: True negatives.
    """

    both: int
    prediction_only: int
    reference_only: int
    neither: int = 0

    @property
    def prediction(self) -> int:
        """Voxels of the prediction."""
        return self.both + self.prediction_only

    @property
    def reference(self) -> int:
        """Voxels of the reference."""
        return self.both + self.reference_only


def count(prediction: np.ndarray, reference: np.ndarray) -> Counts:
    """Counts of two boolean masks of one shape.

    Example:
        >>> import numpy as np
        >>> count(np.array([True, True, False]), np.array([True, False, False]))
        Counts(both=1, prediction_only=1, reference_only=0, neither=1)
    """
    both, predicted = int((prediction & reference).sum()), int(prediction.sum())
    annotated = int(reference.sum())
    return Counts(both, predicted - both, annotated - both, prediction.size - predicted - annotated + both)


def count_labels(prediction: np.ndarray, reference: np.ndarray, labels: int) -> list[Counts]:
    """Counts of every label at once.

    Args:
        prediction: Integers 0..labels, any shape; 0 is background.
        reference: The same, same shape.
        labels: The largest label.

    Returns:
        Counts of label 1, 2, ..., `labels`.
    """
    import numpy as np

    side = labels + 1
    joint = prediction.ravel().astype(np.int32) * side + reference.ravel()
    table = np.bincount(joint, minlength=side * side).reshape(side, side)  # (prediction, reference)
    both, predicted, annotated = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    return [
        Counts(
            int(both[i]),
            int(predicted[i] - both[i]),
            int(annotated[i] - both[i]),
            int(joint.size - predicted[i] - annotated[i] + both[i]),
        )
        for i in range(1, side)
    ]


def _share(part: float, whole: float, counts: Counts) -> float:
    if counts.prediction == counts.reference == 0:
        return float("nan")
    return part / whole if whole else 0.0


def dice(counts: Counts) -> float:
    """Twice the common voxels over the sum of both (equal to F1 on the same counts), 0 to 1."""
    return _share(2 * counts.both, counts.prediction + counts.reference, counts)


def iou(counts: Counts) -> float:
    """Common voxels over the union (Jaccard), 0 to 1."""
    return _share(counts.both, counts.prediction + counts.reference_only, counts)


def precision(counts: Counts) -> float:
    """Share of the prediction that is right (positive predictive value); 0 if nothing is predicted."""
    return _share(counts.both, counts.prediction, counts)


def recall(counts: Counts) -> float:
    """Share of the reference that is found (sensitivity); 0 if the reference is empty."""
    return _share(counts.both, counts.reference, counts)


def accuracy(counts: Counts) -> float:
    """Share of all voxels that are right. Background rules it: 0.99 says little."""
    total = counts.both + counts.prediction_only + counts.reference_only + counts.neither
    return (counts.both + counts.neither) / total if total else float("nan")


def volume_error(counts: Counts, voxel_mm3: float) -> float:
    """Volume of the prediction minus that of the reference, in millilitres (0 if both are empty)."""
    return (counts.prediction - counts.reference) * voxel_mm3 / 1000
