"""Ordered labels: labels that follow one another along the spine, recognised by where they lie.

Vertebrae look alike; what tells them apart is their order. Where labels are ordered, a plan numbers instances along the
spine instead of classifying them by appearance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from autospine.fingerprint.case import CaseFingerprint
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import LabelScheme

LEVELLED_KINDS = (Kind.VERTEBRA, Kind.BODY, Kind.POSTERIOR_ELEMENTS, Kind.DISC, Kind.LAMINA, Kind.FORAMEN)
RANK_OFFSET = {Kind.DISC: -1}  # ranks are twice the level, and a disc lies half a level below its vertebra
AGREEMENT = 0.9  # share of label pairs in the scheme's order below which the scheme is wrong
STEADY = 0.95  # share of cases in which two labels of a plain scheme keep their order
OVERLAP = 0.6  # row overlap, over the shorter extent, from which two labels lie side by side
LIKENESS = 2.2  # neighbours in a plain scheme differ in volume by this factor at most
MIN_LEVELLED, MIN_PLAIN = 2, 3  # labels of a sequence, with levels and found by position alone


@dataclass(frozen=True)
class OrderedLabels:
    """Labels one above another along the spine."""

    kind: Kind  # what they are (STRUCTURE in plain schemes)
    values: tuple[int, ...]  # labels from the lowest up
    levels: tuple[int, ...]  # their levels by the scheme; 1, 2, ... from the lowest in plain schemes
    intervertebral_distance_mm: float  # median distance of neighbouring centroids, in mm
    # Median distance along the rows from a case's highest annotated centroid to the image's top edge, in mm.
    room_above_mm: float
    room_below_mm: float  # the same from its lowest to the bottom edge


def find_ordered_labels(cases: Sequence[CaseFingerprint], scheme: LabelScheme) -> tuple[OrderedLabels, ...]:
    """Find the ordered labels of a data set.

    In schemes with levels: the labels of one kind, if the scans show them in the levels' order.
    In schemes without meaning ("plain"): the largest sets of labels that keep one order in all cases,
    lie one above another and are alike in size; vertebrae and discs come out as two sequences.

    Returns:
        Sequences of two (plain: three) labels or more.
    """
    present = {value for case in cases for value in case.centroids}
    plain = [value for value in present & set(scheme.anatomies) if scheme.anatomies[value].kind is Kind.STRUCTURE]
    sequences = []
    for kind in LEVELLED_KINDS:
        by_level = {
            anatomy.level: value
            for value, anatomy in sorted(scheme.anatomies.items(), reverse=True)
            if anatomy.kind is kind and anatomy.level is not None and value in present
        }
        levels = tuple(sorted(by_level))
        values = tuple(by_level[level] for level in levels)
        if len(values) >= MIN_LEVELLED and agreement(cases, dict(zip(values, levels, strict=True))) >= AGREEMENT:
            sequences.append(_measure(cases, kind, values, levels))
    for values in _plain_sequences(cases, plain):
        sequences.append(_measure(cases, Kind.STRUCTURE, values, tuple(range(1, len(values) + 1))))
    return tuple(sequences)


def height_order(scheme: LabelScheme) -> dict[int, int]:
    """Return the rank of each label that has a height along the spine, sacrum lowest; equal ranks lie level."""
    ranks = {value: _rank(anatomy) for value, anatomy in scheme.anatomies.items()}
    return {value: rank for value, rank in ranks.items() if rank is not None}


def _rank(anatomy: Anatomy) -> int | None:
    if anatomy.kind is Kind.SACRUM:
        return 0
    if anatomy.level is None or anatomy.kind not in (*LEVELLED_KINDS, Kind.PARTIAL_VERTEBRA):
        return None
    return 2 * anatomy.level + RANK_OFFSET.get(anatomy.kind, 0)


def agreement(cases: Sequence[CaseFingerprint], ranks: Mapping[int, int]) -> float:
    """Compute the share of label pairs, over all cases, whose centroids lie in the order of their ranks.

    Args:
        cases: Fingerprints.
        ranks: Rank by label, rising towards the head; labels without one do not count.

    Returns:
        0 (all upside down) to 1; 1 if there is no pair to compare.
    """
    right = total = 0
    for case in cases:
        ranked = [(ranks[value], -point[1]) for value, point in case.centroids.items() if value in ranks]
        for (low, low_height), (high, high_height) in combinations(sorted(ranked), 2):
            if low != high:
                total += 1
                right += high_height > low_height
    return right / total if total else 1.0


def _measure(
    cases: Sequence[CaseFingerprint], kind: Kind, values: tuple[int, ...], levels: tuple[int, ...]
) -> OrderedLabels:
    distances, above, below = [], [], []
    for case in cases:
        points = [np.array(case.centroids[v]) * case.spacing for v in values if v in case.centroids]
        if not points:
            continue
        distances += neighbour_distances(case, values, levels)
        rows = [float(point[1]) for point in points]  # mm from the first row's centre
        above.append(min(rows) + case.spacing[1] / 2)
        below.append((case.shape[1] - 0.5) * case.spacing[1] - max(rows))
    distance = float(np.median(distances)) if distances else 0.0
    return OrderedLabels(kind, values, levels, distance, float(np.median(above)), float(np.median(below)))


def neighbour_distances(case: CaseFingerprint, values: tuple[int, ...], levels: tuple[int, ...]) -> list[float]:
    """Return distances in mm between centroids of consecutive levels that the case shows."""
    neighbours = zip(values, values[1:], levels, levels[1:], strict=False)
    return [
        float(np.linalg.norm(np.subtract(case.centroids[low], case.centroids[high]) * case.spacing))
        for low, high, level, next_level in neighbours
        if next_level == level + 1 and low in case.centroids and high in case.centroids
    ]


def _plain_sequences(cases: Sequence[CaseFingerprint], values: Sequence[int]) -> list[tuple[int, ...]]:
    """Find sequences by position, the longest first, each label in one sequence at most."""
    order = sorted(values, key=lambda value: _height(cases, value))
    above = {(a, b): _follows(cases, a, b) for a, b in combinations(order, 2)}
    sequences: list[tuple[int, ...]] = []
    while True:
        longest = _longest_path(order, above)
        if len(longest) < MIN_PLAIN:
            return sequences
        sequences.append(longest)
        order = [value for value in order if value not in longest]


def _height(cases: Sequence[CaseFingerprint], value: int) -> float:
    """Compute the median height in mm above the mean of the labels that a case shows with it."""
    heights = []
    for case in cases:
        if value in case.centroids:
            mean = np.mean([point[1] for point in case.centroids.values()])
            heights.append((float(mean) - case.centroids[value][1]) * case.spacing[1])
    return float(np.median(heights))


def _follows(cases: Sequence[CaseFingerprint], low: int, high: int) -> bool:
    """Return whether `high` can follow `low`: steadily above it, not beside it, alike in size."""
    both = [case for case in cases if low in case.centroids and high in case.centroids]
    if not both:
        return False
    ordered = np.mean([case.centroids[high][1] < case.centroids[low][1] for case in both])
    beside = np.median([row_overlap(case.boxes[low], case.boxes[high]) for case in both])
    ratio = np.median([case.voxels[high] / case.voxels[low] for case in both])
    return bool(ordered >= STEADY and beside < OVERLAP and 1 / LIKENESS <= ratio <= LIKENESS)


def row_overlap(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Compute the rows that two boxes share, over the rows of the shorter (0 to 1)."""
    common = min(one[4], other[4]) - max(one[1], other[1]) + 1
    return max(common, 0) / (min(one[4] - one[1], other[4] - other[1]) + 1)


def _longest_path(order: Sequence[int], follows: Mapping[tuple[int, int], bool]) -> tuple[int, ...]:
    best: dict[int, tuple[int, ...]] = {}
    for index, value in enumerate(order):
        before = [best[low] for low in order[:index] if follows[low, value]]
        best[value] = (*max(before, key=len, default=()), value)
    return max(best.values(), key=len, default=())
