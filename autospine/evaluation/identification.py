"""Whether each vertebra carries its own number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from autospine.labels.anatomy import Anatomy

if TYPE_CHECKING:
    import numpy as np

REACH_MM = 20.0


def identified(
    predictions: Sequence[Anatomy],
    prediction_centroids: np.ndarray,
    references: Sequence[Anatomy],
    reference_centroids: np.ndarray,
    reach_mm: float = REACH_MM,
) -> list[bool]:
    """Tells which reference instances are identified.

    As in VerSe (Sekuboyina et al. 2021, "VerSe: a vertebrae labelling and segmentation benchmark for
    multi-detector CT images"): of all predicted centroids the nearest one has the reference's level, and
    lies within 20 mm. Overlap is not asked for.

    Args:
        predictions: P anatomies of one kind.
        prediction_centroids: (P, 3) mm.
        references: R anatomies of the same kind.
        reference_centroids: (R, 3) mm.
        reach_mm: How far a centroid may be off.

    Returns:
        One answer per reference; one without level is never identified.
    """
    from scipy.spatial.distance import cdist

    if not predictions or not references:
        return [False] * len(references)
    distances = cdist(reference_centroids, prediction_centroids)  # (R, P)
    answers = []
    for reference, row in zip(references, distances, strict=True):
        nearest = int(row.argmin())
        named = reference.level is not None and predictions[nearest].level == reference.level
        answers.append(bool(named and row[nearest] <= reach_mm))
    return answers


def common_shift(levels: Iterable[tuple[int, int]]) -> int | None:
    """By how much every predicted level is off.

    Args:
        levels: Predicted and true level of each detected instance.

    Returns:
        The one offset that all share (0: all right, 1: all numbered one too high), or None if they differ or
        there are none.

    Example:
        >>> common_shift([(2, 1), (3, 2)]), common_shift([(1, 1), (3, 2)])
        (1, None)
    """
    offsets = {predicted - true for predicted, true in levels}
    return offsets.pop() if len(offsets) == 1 else None
