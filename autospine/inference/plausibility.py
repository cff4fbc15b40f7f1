"""Plausibility of a prediction: whether its labels are like those of the training data in volume, distance and order.

A network segments everything. What it makes of a scan that it cannot read looks like a mask, and its confidence is
no help; the sizes and places of its labels are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from autospine.labels.anatomy import Kind
from autospine.labels.schemes import LabelScheme
from autospine.planning.training_domain import LabelRanges, Range
from autospine.preprocessing.storage import LabelRecord

VOLUME_TOLERANCE, DISTANCE_TOLERANCE = 2.0, 1.5  # as factors: patients differ more than a small data set shows
VERTEBRAE = {Kind.VERTEBRA, Kind.PARTIAL_VERTEBRA, Kind.BODY}
# How much of these a scan shows depends on how far its slices reach to the sides, and down.
BESIDE = {Kind.POSTERIOR_ELEMENTS, Kind.LAMINA, Kind.FORAMEN, Kind.SACRUM}
Spacing = tuple[float, float, float]


def implausible(
    records: Iterable[LabelRecord],
    rows: int,
    spacing: Spacing,
    scheme: LabelScheme,
    learnt: Iterable[int],
    ranges: Sequence[LabelRanges],
) -> tuple[str, ...]:
    """Return one sentence for each way in which a prediction is unlike the training data's masks.

    Args:
        records: The labels that were predicted.
        rows: Of the mask; a label that reaches the first or last one is cut, and its volume is no whole one's.
        spacing: mm along (slices, rows, columns).
        scheme: Meaning of the labels.
        learnt: Labels that the model knows.
        ranges: Of the training data's labels, in the same scheme.
    """
    labels = {record.value: record for record in records}
    if not labels:
        return ("the mask is empty",)
    sentences = []
    vertebrae = {value for value in learnt if scheme.anatomies[value].kind in VERTEBRAE}
    if vertebrae and not vertebrae & set(labels):
        sentences.append("no vertebra was found")
    one_slice = len({index for record in labels.values() for index in (record.low[0], record.high[0])}) == 1
    for group in ranges:
        shown = [labels[value] for value in group.values if value in labels]
        sentences += [] if one_slice else _volumes(shown, rows, spacing, scheme, group)
        sentences += _distances(shown, spacing, scheme, group)
    return tuple(sentences)


def _volumes(
    shown: Sequence[LabelRecord], rows: int, spacing: Spacing, scheme: LabelScheme, group: LabelRanges
) -> Iterator[str]:
    measured = [record for record in shown if scheme.anatomies[record.value].kind not in BESIDE]
    whole = [record for record in measured if record.low[1] > 0 and record.high[1] < rows - 1]
    ml = {scheme.anatomies[record.value].name: record.voxels * float(np.prod(spacing)) / 1000 for record in whole}
    yield from _outside("volume of", ml, "ml", group.volume_ml, VOLUME_TOLERANCE)


def _distances(
    shown: Sequence[LabelRecord], spacing: Spacing, scheme: LabelScheme, group: LabelRanges
) -> Iterator[str]:
    """Compare the distances of neighbours in order, and find those whose order is reversed."""
    distances = {}
    for low, high in pairwise(shown):
        name, above = (scheme.anatomies[record.value].name for record in (low, high))
        if group.values.index(high.value) == group.values.index(low.value) + 1:
            step = np.subtract(high.centroid, low.centroid) * spacing
            distances[f"{name} to {above}"] = float(np.linalg.norm(step))
        if high.centroid[1] >= low.centroid[1]:
            yield f"{above} does not lie above {name}"
    yield from _outside("distance from", distances, "mm", group.distance_mm, DISTANCE_TOLERANCE)


def _outside(
    what: str, figures: Mapping[str, float], unit: str, known: Range | None, tolerance: float
) -> Iterator[str]:
    """Name the figures that lie outside a range by more than a factor."""
    if known is None:
        return
    low, high = known
    outside = [
        f"{name} {value:.3g}" for name, value in figures.items() if not low / tolerance <= value <= high * tolerance
    ]
    if outside:
        yield f"{what} {', '.join(outside)} {unit}; training had {low:.3g} to {high:.3g}"
