"""Distances between two surfaces in true millimetres, weighted by area.

A mask's surface consists of elements between voxel centres, each with its area at the image's spacing, so coarse
slices weigh as they should (see `surface_elements`). Distances are taken between the elements' centres. A volume of
one slice has a contour instead: lengths, not areas.

`surfaces` measures every distance once, both ways; the metrics below are sums over its answer. On empty input there
is no surface and `surfaces` gives None. What stands for a metric then is in the metric's docstring, and
`autospine.evaluation.structures` puts it in: the penalty distance is the image's `diagonal`.

Symbols: P and R are the elements of prediction and reference, a their areas, d(p, R) the distance from p to the
nearest element of R.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autospine.metrics.surface_elements import SurfaceElements

ROUNDING = 1e-9  # relative; a distance is a tolerance's equal in spite of rounding


@dataclass(frozen=True)
class Surfaces:
    """Distances from each surface element to the other surface, in mm, with the elements' areas."""

    to_reference: np.ndarray  # (n,) mm, from the prediction's elements
    to_prediction: np.ndarray  # (m,) mm, from the reference's elements
    prediction_area: np.ndarray  # (n,) mm2 (mm for a volume of one slice)
    reference_area: np.ndarray  # (m,) the same


def diagonal(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """Return the image's diagonal in mm: the distance that stands for a surface that is not there."""
    return float(sum((n * mm) ** 2 for n, mm in zip(shape, spacing, strict=True)) ** 0.5)


def surfaces(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> Surfaces | None:
    """Measure both ways between the surfaces of two boolean masks; what leaves the array counts as outside.

    Returns:
        The distances, or None if either mask is empty.
    """
    if not prediction.any() or not reference.any():
        return None
    box = bounding_box(prediction | reference)
    axes = [axis for axis, size in enumerate(prediction.shape) if size > 1] or [prediction.ndim - 1]
    squeezed = tuple(slice(None) if axis in axes else 0 for axis in range(prediction.ndim))
    steps = tuple(float(spacing[axis]) for axis in axes)
    predicted, annotated = (SurfaceElements.of(mask[box][squeezed], steps) for mask in (prediction, reference))
    to_reference, to_prediction = predicted.distances(annotated), annotated.distances(predicted)
    return Surfaces(to_reference, to_prediction, predicted.areas, annotated.areas)


def bounding_box(mask: np.ndarray) -> tuple[slice, ...] | None:
    """Return the smallest box that holds every True voxel, or None."""
    box: list[slice] = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        filled = np.flatnonzero(mask[tuple(box)].any(axis=others))
        if filled.size == 0:
            return None
        box.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return tuple(box)


def directed_distances(between: Surfaces) -> tuple[float, float]:
    """Return the average surface distances in mm, from prediction to reference and back; 0 is best.

    sum(a(p) d(p, R)) / sum(a(p)) over P, and the same with both exchanged. The first grows with
    false positives, the second with false negatives. Empty input: the penalty distance, both.

    Source: Nikolov et al. 2021 (`surface-distance-based-measures`).
    """
    to_reference = np.average(between.to_reference, weights=between.prediction_area)
    to_prediction = np.average(between.to_prediction, weights=between.reference_area)
    return float(to_reference), float(to_prediction)


def average_distance(between: Surfaces) -> float:
    """Return the average symmetric surface distance in mm; 0 is best. Empty input: the penalty distance.

    The mean of both `directed_distances`, so that each direction weighs the same. Pooling all elements instead, as
    Heimann et al. 2009 and MONAI do (there unweighted by area), lets the larger surface weigh more.
    """
    return sum(directed_distances(between)) / 2


def hausdorff_distance(between: Surfaces, percentile: float = 100) -> float:
    """Return the larger of both directed percentiles (100: maximum; 95: HD95) of the distances in mm; 0 is best.

    max(q(d(p, R) over P), q(d(r, P) over R)), q the smallest distance within which lies that share of the
    area. Empty input: the penalty distance. Source: Huttenlocher et al. 1993 (partial Hausdorff distance), by area as
    in Nikolov et al. 2021.
    """
    return max(
        _percentile(between.to_reference, between.prediction_area, percentile),
        _percentile(between.to_prediction, between.reference_area, percentile),
    )


def _percentile(distances: np.ndarray, areas: np.ndarray, percentile: float) -> float:
    """Return the smallest distance within which lies that share of the area."""
    if percentile >= 100:
        return float(distances.max())
    order = np.argsort(distances)
    covered = np.cumsum(areas[order])
    index = np.searchsorted(covered, covered[-1] * percentile / 100 * (1 - 1e-12))
    return float(distances[order][min(int(index), len(order) - 1)])


def surface_dice(between: Surfaces, tolerance_mm: float) -> float:
    """Return the normalised surface distance (NSD, surface Dice), 0 to 1: the share of both surfaces near the other.

    (sum a(p) where d(p, R) <= tolerance + sum a(r) where d(r, P) <= tolerance) / (sum a(p) + sum a(r)).
    Empty input: 0. Source: Nikolov et al. 2021.
    """
    limit = tolerance_mm * (1 + ROUNDING)
    near = between.prediction_area[between.to_reference <= limit].sum()
    near += between.reference_area[between.to_prediction <= limit].sum()
    return float(near / (between.prediction_area.sum() + between.reference_area.sum()))


def reference_surface_recall(between: Surfaces, tolerance_mm: float) -> float:
    """Return the one-sided NSD of Ahmed et al. 2024, 0 to 1: blind to false positives.

    sum a(r) where d(r, P) < tolerance, strictly, / sum a(r). Empty input: 0. The paper counts points, here each weighs
    by its area; the paper gives no tolerance.
    """
    near = between.reference_area[between.to_prediction < tolerance_mm * (1 - ROUNDING)].sum()
    return float(near / between.reference_area.sum())
