"""Scores of one case: two masks of one grid, structure by structure.

Values where a mask is empty:

| prediction | reference | Dice, IoU, precision, recall | ASD, HD, HD95 |
|---|---|---|---|
| empty | empty | NaN: "absent in both", in no mean, but counted | NaN |
| empty | not empty | 0 | the reference image's diagonal in mm |
| not empty | empty | 0 | the reference image's diagonal in mm |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from autospine.errors import UserError
from autospine.evaluation.comparison import GROUPS, Comparison, compare
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import LabelScheme
from autospine.metrics import overlap, surface

if TYPE_CHECKING:
    import numpy as np

METRICS = ("dice", "iou", "precision", "recall", "asd_mm", "hd_mm", "hd95_mm", "volume_error_ml")
PLURALS = {Kind.VERTEBRA: "all vertebrae", Kind.DISC: "all discs"}
NAN = float("nan")


class Presence(str, Enum):
    """Which masks show a structure."""

    BOTH = "both"
    PREDICTION = "prediction only"
    REFERENCE = "reference only"
    NEITHER = "absent in both"


@dataclass(frozen=True)
class LabelScore:
    """How well one structure of one case is segmented.

    Attributes:
        anatomy: The structure; a kind without level stands for all of that kind.
        presence: Which masks show it.
        union: True for "all vertebrae" and "all discs" beside rows of single levels; in no mean of a case.
        dice: And `iou`, `precision`, `recall`: 0 to 1.
        asd_mm: Average symmetric surface distance; `hd_mm`, `hd95_mm` the Hausdorff distances.
        volume_ml: The reference's volume.
        volume_error_ml: The prediction's volume minus the reference's.
    """

    anatomy: Anatomy
    presence: Presence
    union: bool = False
    dice: float = NAN
    iou: float = NAN
    precision: float = NAN
    recall: float = NAN
    asd_mm: float = NAN
    hd_mm: float = NAN
    hd95_mm: float = NAN
    volume_ml: float = 0.0
    volume_error_ml: float = NAN

    @property
    def name(self) -> str:
        """For people (assumes five lumbar vertebrae)."""
        plural = PLURALS.get(self.anatomy.kind) if self.anatomy.level is None else None
        return plural or self.anatomy.name


def score_case(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    pred_scheme: LabelScheme,
    ref_scheme: LabelScheme,
    subjects: tuple[str | Path, str | Path] = ("prediction", "reference"),
) -> list[LabelScore]:
    """Scores one case.

    Args:
        prediction: Integers of `pred_scheme`, (slices, rows, columns).
        reference: Integers of `ref_scheme`, same grid. Where it is unlabelled nothing is scored.
        spacing: mm along each axis.
        pred_scheme: The prediction's labels.
        ref_scheme: The reference's labels.
        subjects: The files that an error names.

    Returns:
        One score per structure that both schemes can express and that at least one mask shows, in the
        order of anatomy; then "all vertebrae" and "all discs" if their levels were scored one by one.

    Raises:
        UserError: The shapes differ, or a mask holds a label outside its scheme.
    """
    if prediction.shape != reference.shape:
        raise UserError(
            subjects[0],
            f"has the shape {prediction.shape}, {subjects[1]} has {reference.shape}",
            "predict on the reference's grid",
        )
    return score_masks(prediction, reference, spacing, compare(pred_scheme, ref_scheme), subjects)


def score_masks(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    comparison: Comparison,
    subjects: tuple[str | Path, str | Path] = ("prediction", "reference"),
) -> list[LabelScore]:
    """`score_case` with the comparison of the schemes made beforehand."""
    box = surface.bounding_box((prediction != 0) | (reference != 0))
    if box is None:
        return []
    far = surface.diagonal(reference.shape, spacing)
    box = _widened(box, reference.shape)  # keeps volumes of several slices from looking like one slice
    prediction, reference = prediction[box], reference[box]
    rows = _common(
        comparison.prediction.apply(prediction, subjects[0]),
        comparison.reference.apply(reference, subjects[1]),
        comparison.reference.target,
    )
    scores = _score_labels(*rows, spacing, far, comparison.rows, False)
    if comparison.groups:
        groups = _common(
            comparison.prediction_groups.apply(prediction, subjects[0]),
            comparison.reference_groups.apply(reference, subjects[1]),
            comparison.reference_groups.target,
        )
        unions = _score_labels(*groups, spacing, far, tuple(GROUPS.values()), True)
        kept = {GROUPS[group] for group in comparison.groups}
        scores += [score for score in unions if score.anatomy in kept]
    return scores


def _common(
    prediction: np.ndarray, reference: np.ndarray, rows: LabelScheme
) -> tuple[np.ndarray, np.ndarray]:
    """Takes out what is not annotated, and what the prediction itself leaves open."""
    prediction[(reference == rows.unlabelled) | (prediction == rows.unlabelled)] = 0
    reference[reference == rows.unlabelled] = 0
    return prediction, reference


def _widened(box: tuple[slice, ...], shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple(
        slice(max(side.start - 1, 0), min(side.stop + 1, size)) for side, size in zip(box, shape, strict=True)
    )


def _score_labels(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    far: float,
    anatomies: Sequence[Anatomy],
    union: bool,
) -> list[LabelScore]:
    """Scores rows 1, 2, ... of `anatomies` that either mask shows."""
    import numpy as np

    shown = np.flatnonzero(_sizes(prediction, len(anatomies)) + _sizes(reference, len(anatomies)))
    shown = shown[shown > 0]
    compact = np.zeros(len(anatomies) + 1, np.uint16)
    compact[shown] = np.arange(1, len(shown) + 1)
    prediction, reference = compact[prediction], compact[reference]
    counts = overlap.count_labels(prediction, reference, len(shown))
    boxes = _boxes(prediction, reference, len(shown))
    voxel = float(np.prod(spacing))
    scores = []
    for label, row in enumerate(shown, start=1):
        box = boxes[label - 1]
        between = surface.surfaces(prediction[box] == label, reference[box] == label, spacing)
        scores.append(_label_score(anatomies[int(row) - 1], counts[label - 1], between, voxel, far, union))
    return scores


def _sizes(rows: np.ndarray, largest: int) -> np.ndarray:
    import numpy as np

    return np.bincount(rows.ravel(), minlength=largest + 1)


def _boxes(prediction: np.ndarray, reference: np.ndarray, labels: int) -> list[tuple[slice, ...]]:
    """The box of each label in both masks together, one voxel wider where the image goes on."""
    from scipy.ndimage import find_objects

    boxes = []
    pairs = zip(find_objects(prediction, labels), find_objects(reference, labels), strict=True)
    for one, other in pairs:
        sides = zip(one or other, other or one, strict=True)
        joint = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in sides)
        boxes.append(_widened(joint, reference.shape))
    return boxes


def _label_score(
    anatomy: Anatomy,
    counts: overlap.Counts,
    between: surface.Surfaces | None,
    voxel_mm3: float,
    far: float,
    union: bool,
) -> LabelScore:
    return LabelScore(
        anatomy=anatomy,
        presence=_presence(counts),
        union=union,
        dice=overlap.dice(counts),
        iou=overlap.iou(counts),
        precision=overlap.precision(counts),
        recall=overlap.recall(counts),
        asd_mm=far if between is None else surface.average_distance(between),
        hd_mm=far if between is None else surface.hausdorff_distance(between),
        hd95_mm=far if between is None else surface.hausdorff_distance(between, 95),
        volume_ml=counts.reference * voxel_mm3 / 1000,
        volume_error_ml=overlap.volume_error(counts, voxel_mm3),
    )


def _presence(counts: overlap.Counts) -> Presence:
    if counts.prediction and counts.reference:
        return Presence.BOTH
    return Presence.PREDICTION if counts.prediction else Presence.REFERENCE
