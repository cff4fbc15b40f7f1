"""Scores of slices, as papers on 2-D images report them: every slice an image of its own, all of them pooled.

A class is scored once over all slices: its pixels are counted together, and the distances of all its contours lie in
one pool. So a slice counts by what it shows of the class, and one that shows hardly any moves the score hardly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autospine.metrics import overlap
from autospine.metrics.overlap import Counts
from autospine.metrics.surface import Surfaces, diagonal, reference_surface_recall, surfaces

BACKGROUND = 0
NAN = float("nan")


@dataclass(frozen=True)
class ClassScore:
    """One class over all slices; NaN where no slice shows it.

    Attributes:
        slices: That show it, in prediction or reference.
        iou, dice, precision, recall, f1: From the pixels of all slices, 0 to 1.
        asd_mm: Mean distance of both contours to the other one, by length: the sum over both, divided by both lengths.
        nsd: Share of the reference's contour nearer to the predicted one than the tolerance.
    """

    slices: int
    iou: float
    dice: float
    asd_mm: float
    nsd: float
    precision: float
    recall: float
    f1: float


class SliceScorer:
    """Collects slices and scores their classes.

    The background's contours are those of all structures together, so that the border of the image, which everybody
    gets right, is none. Where only one of both masks shows a class, its contour is a slice's diagonal away.

    Args:
        classes: Labels to score, 0 for the background.
        tolerance_mm: Of the NSD.
    """

    def __init__(self, classes: Sequence[int], tolerance_mm: float = 1.0) -> None:
        self.classes, self.tolerance_mm = tuple(classes), tolerance_mm
        self.counts = {label: Counts(0, 0, 0) for label in self.classes}
        self.contours: dict[int, list[Surfaces]] = {label: [] for label in self.classes}

    def add(self, prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> None:
        """Takes one slice.

        Args:
            prediction: `(rows, columns)` labels.
            reference: The same, same shape.
            spacing: mm along both axes.
        """
        for label in self.classes:
            ours, theirs = prediction == label, reference == label
            self.counts[label] = _sum(self.counts[label], overlap.count(ours, theirs))
            if label == BACKGROUND:
                ours, theirs = ~ours, ~theirs
            if ours.any() or theirs.any():
                self.contours[label].append(_contours(ours, theirs, spacing))

    def score(self, label: int) -> ClassScore:
        """One class over all slices so far."""
        counts, contours = self.counts[label], self.contours[label]
        asd, nsd = NAN, NAN
        if contours:
            pooled = _pooled(contours)
            asd = _mean_distance(pooled)
            nsd = reference_surface_recall(pooled, self.tolerance_mm) if len(pooled.reference_area) else 0.0
        return ClassScore(
            slices=len(contours),
            iou=overlap.iou(counts),
            dice=overlap.dice(counts),
            asd_mm=asd,
            nsd=nsd,
            precision=overlap.precision(counts),
            recall=overlap.recall(counts),
            f1=overlap.f1(counts),
        )


def _sum(first: Counts, second: Counts) -> Counts:
    return Counts(
        first.both + second.both,
        first.prediction_only + second.prediction_only,
        first.reference_only + second.reference_only,
        first.neither + second.neither,
    )


def _contours(ours: np.ndarray, theirs: np.ndarray, spacing: Sequence[float]) -> Surfaces:
    """Both contours; to one that is not there it is the slice's diagonal."""
    between = surfaces(ours, theirs, spacing)
    if between is not None:
        return between
    alone = surfaces(ours | theirs, ours | theirs, spacing)
    lengths = np.empty(0) if alone is None else alone.reference_area
    far, none = np.full(len(lengths), diagonal(ours.shape, spacing)), np.empty(0)
    return Surfaces(far, none, lengths, none) if ours.any() else Surfaces(none, far, none, lengths)


def _pooled(contours: Sequence[Surfaces]) -> Surfaces:
    names = ("to_reference", "to_prediction", "prediction_area", "reference_area")
    return Surfaces(*(np.concatenate([getattr(each, name) for each in contours]) for name in names))


def _mean_distance(between: Surfaces) -> float:
    """The paper's ASD (Ahmed et al. 2024, section 3.3): over the elements of both contours together."""
    distances = np.concatenate([between.to_reference, between.to_prediction])
    lengths = np.concatenate([between.prediction_area, between.reference_area])
    return float(np.average(distances, weights=lengths))
