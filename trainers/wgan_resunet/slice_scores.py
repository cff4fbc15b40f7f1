"""Scores of axial slices as papers on them report: every slice an image of its own, distances within the slice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np

from autospine.metrics import overlap, surface

NAN = float("nan")
METRICS = ("dice", "hd_mm", "hd95_mm", "mean_iou", "ppv")


@dataclass(frozen=True)
class AxialScore:
    """One structure on one slice that at least one mask shows it on.

    Where only one mask shows it, Dice and PPV are 0 and distances the slice's diagonal.

    Attributes:
        slice: Its index.
        label: Of the structure.
        both: Whether both masks show it.
        dice: 0 to 1 (the paper's equation 15).
        hd_mm: Largest distance between the contours (equation 16); `hd95_mm` its 95th percentile by length.
        mean_iou: Mean IoU of the structure and of all that is not the structure (equation 17), 0 to 1.
        ppv: Share of the prediction that is right (equation 18), 0 to 1.
    """

    slice: int
    label: int
    both: bool
    dice: float
    hd_mm: float
    hd95_mm: float
    mean_iou: float
    ppv: float


def score_slices(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    labels: Sequence[int],
    axis: int = 1,
    ignore_label: int | None = None,
) -> list[AxialScore]:
    """Scores every slice of a case.

    Args:
        prediction: `(slices, rows, columns)` labels.
        reference: The same grid and labels. Where it is unlabelled nothing is scored.
        spacing: mm along each axis.
        labels: Structures to score.
        axis: Across the slices; 1 for axial ones.
        ignore_label: The reference's value of voxels that are not annotated.

    Returns:
        Slice by slice; nothing for slices on which neither mask shows a structure, and nothing at all where the
        reference could not be derived: it shows none, and what is not annotated.
    """
    if ignore_label is not None and set(np.unique(reference)) - {0} == {ignore_label}:
        return []
    open_ = np.zeros(reference.shape, bool) if ignore_label is None else reference == ignore_label
    in_plane = [mm for k, mm in enumerate(spacing) if k != axis]
    found = []
    for k in range(reference.shape[axis]):
        known = ~open_.take(k, axis)
        ours, theirs = (mask.take(k, axis) * known for mask in (prediction, reference))
        shown = [label for label in labels if (ours == label).any() or (theirs == label).any()]
        found += [_score(k, label, ours == label, theirs == label, known, in_plane) for label in shown]
    return found


def _score(
    k: int, label: int, ours: np.ndarray, theirs: np.ndarray, known: np.ndarray, spacing: Sequence[float]
) -> AxialScore:
    """Scores one structure of one slice from its boolean masks, both empty where nothing is `known`."""
    counts = overlap.count(ours[known], theirs[known])
    rest = overlap.Counts(counts.neither, counts.reference_only, counts.prediction_only, counts.both)
    between = surface.surfaces(ours, theirs, spacing)
    far = surface.diagonal(ours.shape, spacing)
    return AxialScore(
        slice=k,
        label=label,
        both=between is not None,
        dice=overlap.dice(counts),
        hd_mm=far if between is None else surface.hausdorff_distance(between),
        hd95_mm=far if between is None else surface.hausdorff_distance(between, 95),
        mean_iou=overlap.mean_iou((counts, rest)),
        ppv=overlap.precision(counts),
    )


@dataclass(frozen=True)
class AxialSummary:
    """One structure over many slices.

    Attributes:
        slices: That at least one mask shows it on.
        one_sided: Of these, those that only one mask shows it on.
        means: By metric; NaN without slices.
        deviations: Standard deviations (n - 1); NaN below two slices.
    """

    slices: int
    one_sided: int
    means: dict[str, float]
    deviations: dict[str, float]


def summarise(scores: Iterable[AxialScore], label: int) -> AxialSummary:
    """The mean over slices of one structure."""
    chosen = [score for score in scores if score.label == label]
    values = {metric: [getattr(score, metric) for score in chosen] for metric in METRICS}
    return AxialSummary(
        slices=len(chosen),
        one_sided=sum(not score.both for score in chosen),
        means={metric: mean(each) if each else NAN for metric, each in values.items()},
        deviations={metric: stdev(each) if len(each) > 1 else NAN for metric, each in values.items()},
    )
