"""The training domain: ranges of the training data that prediction compares a scan and its mask with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autospine.fingerprint.label_order import neighbour_distances

if TYPE_CHECKING:
    from autospine.fingerprint.case import CaseFingerprint
    from autospine.fingerprint.fingerprint import Fingerprint

Triple = tuple[float, float, float]
Range = tuple[float, float]


@dataclass(frozen=True)
class LabelRanges:
    """Ranges of labels that are alike."""

    values: tuple[int, ...]  # ordered labels from the lowest up, or one label
    # Of one label in one case; those that the image cuts above or below are left out. None where all are.
    volume_ml: Range | None
    distance_mm: Range | None  # between the centroids of neighbours in order; None where there are none


@dataclass(frozen=True)
class TrainingDomain:
    """Ranges of the training data."""

    # spacing_low, spacing_high: mm along (slices, rows, columns).
    spacing_low: Triple
    spacing_high: Triple
    # extent_low, extent_high: field of view in mm along the same axes.
    extent_low: Triple
    extent_high: Triple
    sequences: tuple[str, ...]  # names of the sequences
    # Lowest and highest mean of the labelled tissue, in deviations of its image from the image's mean; None where no
    # case shows any.
    contrast: Range | None = None
    labels: tuple[LabelRanges, ...] = ()  # ranges of every label


def measure_domain(fingerprint: Fingerprint) -> TrainingDomain:
    """Compute the ranges of a data set's training cases."""
    cases = fingerprint.training
    spacing = np.array([case.spacing for case in cases])  # (cases, 3)
    extent = spacing * np.array([case.shape for case in cases])  # (cases, 3)
    contrasts = [
        round((case.foreground.mean - case.intensity.mean) / case.intensity.deviation, 3)
        for case in cases
        if case.foreground is not None and case.intensity.deviation > 0
    ]
    return TrainingDomain(
        spacing_low=_triple(spacing.min(axis=0)),
        spacing_high=_triple(spacing.max(axis=0)),
        extent_low=_triple(extent.min(axis=0)),
        extent_high=_triple(extent.max(axis=0)),
        sequences=tuple(sorted({case.sequence for case in cases})),
        contrast=_range(contrasts),
        labels=_label_ranges(fingerprint),
    )


def _label_ranges(fingerprint: Fingerprint) -> tuple[LabelRanges, ...]:
    cases = fingerprint.training
    ordered = {order.values: order.levels for order in fingerprint.ordered_labels}
    alone = {value for case in cases for value in case.centroids} - {value for values in ordered for value in values}
    ranges = []
    for values in (*ordered, *((value,) for value in sorted(alone))):
        volumes = [ml for case in cases for ml in _whole_volumes(case, values)]
        distances = [mm for case in cases for mm in neighbour_distances(case, values, ordered.get(values, (1,)))]
        ranges.append(LabelRanges(values, _range(volumes), _range(distances)))
    return tuple(ranges)


def _whole_volumes(case: CaseFingerprint, values: tuple[int, ...]) -> list[float]:
    """Return the ml of each of some labels that a case shows and its image does not cut above or below."""
    whole = [v for v in values if v in case.boxes and case.boxes[v][1] > 0 and case.boxes[v][4] < case.shape[1] - 1]
    return [case.voxels[value] * float(np.prod(case.spacing)) / 1000 for value in whole]


def _range(values: list[float]) -> Range | None:
    return (round(min(values), 3), round(max(values), 3)) if values else None


def _triple(values: np.ndarray) -> Triple:
    a, b, c = (round(float(v), 4) for v in values)
    return (a, b, c)
