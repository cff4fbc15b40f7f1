"""Scores of one case: two masks of one grid, structure by structure.

Values where a mask is empty ("far" is the reference image's diagonal in mm):

| prediction | reference | Dice, IoU, F1, precision, recall, NSD | ASD, HD, HD95 | volume error share |
|---|---|---|---|---|
| empty | empty | NaN: "absent in both", in no mean, but counted | NaN | NaN |
| empty | not empty | 0 | far, directed ones too | -1 |
| not empty | empty | 0 | far, directed ones too | 1 |

Accuracy and volumes are what their formulas give, NaN if the structure is absent in both. Log loss is NaN without
probabilities and where the reference does not show the structure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from autospine.core.errors import UserError
from autospine.evaluation.comparison import Comparison, compare
from autospine.evaluation.probabilities import Probabilities
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import Conversion
from autospine.labels.schemes import LabelScheme
from autospine.metrics import overlap, surface
from autospine.metrics.probability import NLLSum, log_loss

if TYPE_CHECKING:
    import numpy as np

METRICS = (  # every figure of a `LabelScore`
    *("dice", "iou", "f1", "precision", "recall", "accuracy", "nsd", "nsd_reference"),
    *("asd_mm", "asd_prediction_mm", "asd_reference_mm", "hd_mm", "hd95_mm"),
    *("volume_ml", "predicted_volume_ml", "volume_error_ml", "volume_error_share", "log_loss"),
)
TOLERANCE_MM = 1.0
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
        dice: And `iou`, `f1` (equal to Dice), `precision`, `recall`: 0 to 1.
        accuracy: Share of the image's annotated voxels that are right, 0 to 1; the background rules it.
        nsd: Share of both surfaces within the tolerance of the other, 0 to 1, by area.
        nsd_reference: Share of the reference's surface nearer than the tolerance, 0 to 1, by area.
        asd_mm: Average symmetric surface distance, the mean of the two directed ones.
        asd_prediction_mm: Average distance from the prediction's surface to the reference's.
        asd_reference_mm: Average distance from the reference's surface to the prediction's.
        hd_mm: Hausdorff distance; `hd95_mm` its 95th percentile by area.
        volume_ml: The reference's volume.
        predicted_volume_ml: The prediction's volume.
        volume_error_ml: The prediction's volume minus the reference's.
        volume_error_share: That as a share of the reference's volume.
        log_loss: Mean of -ln p(class) over the reference's voxels of the structure, in nats: a part of the
            case's log loss, see `autospine.evaluation.probabilities`.
    """

    anatomy: Anatomy
    presence: Presence
    union: bool = False
    dice: float = NAN
    iou: float = NAN
    f1: float = NAN
    precision: float = NAN
    recall: float = NAN
    accuracy: float = NAN
    nsd: float = NAN
    nsd_reference: float = NAN
    asd_mm: float = NAN
    asd_prediction_mm: float = NAN
    asd_reference_mm: float = NAN
    hd_mm: float = NAN
    hd95_mm: float = NAN
    volume_ml: float = NAN
    predicted_volume_ml: float = NAN
    volume_error_ml: float = NAN
    volume_error_share: float = NAN
    log_loss: float = NAN

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
    tolerance_mm: float = TOLERANCE_MM,
    probabilities: Probabilities | None = None,
) -> list[LabelScore]:
    """Scores one case.

    Args:
        prediction: Integers of `pred_scheme`, (slices, rows, columns).
        reference: Integers of `ref_scheme`, same grid. Where it is unlabelled nothing is scored.
        spacing: mm along each axis.
        pred_scheme: The prediction's labels.
        ref_scheme: The reference's labels.
        subjects: The files that an error names.
        tolerance_mm: Of both normalised surface distances.
        probabilities: The prediction's, for the log loss.

    Returns:
        One score per structure that both schemes can express and that at least one mask shows, in the
        order of anatomy; then "all vertebrae" and "all discs" if their levels were scored one by one.

    Raises:
        UserError: The shapes differ, a mask holds a label outside its scheme, or the tolerance is below 0.
    """
    if prediction.shape != reference.shape:
        raise UserError(
            subjects[0],
            f"has the shape {prediction.shape}, {subjects[1]} has {reference.shape}",
            "predict on the reference's grid",
        )
    comparison = compare(pred_scheme, ref_scheme)
    return score_masks(prediction, reference, spacing, comparison, subjects, tolerance_mm, probabilities)


def score_masks(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    comparison: Comparison,
    subjects: tuple[str | Path, str | Path] = ("prediction", "reference"),
    tolerance_mm: float = TOLERANCE_MM,
    probabilities: Probabilities | None = None,
) -> list[LabelScore]:
    """`score_case` with the comparison of the schemes made beforehand."""
    import numpy as np

    if not tolerance_mm >= 0:
        raise UserError("tolerance", f"is {tolerance_mm} mm", "give 0 or more")
    source = comparison.reference.source
    losses = probabilities.surprises(reference, source) if probabilities else {}
    box = surface.bounding_box(np.logical_or(prediction, reference))
    if box is None:
        return []
    open_voxels = 0 if source.ignore_label is None else np.count_nonzero(reference == source.ignore_label)
    far = surface.diagonal(reference.shape, spacing)
    image = _Image(tuple(spacing), far, reference.size - int(open_voxels), tolerance_mm, losses)
    box = _widened(box, reference.shape)  # keeps volumes of several slices from looking like one slice
    masks = _Masks(prediction[box], reference[box], subjects)
    rows = range(1, len(comparison.rows) + 1)
    scores = _score_rows(masks, comparison.prediction, comparison.reference, rows, image)
    if comparison.groups:
        there, back = comparison.prediction_groups, comparison.reference_groups
        unions = _score_rows(masks, there, back, comparison.groups, image)
        scores += [replace(score, union=True) for score in unions]
    return scores


@dataclass(frozen=True)
class _Masks:
    """Both masks, cropped to what they show, and the files that an error names."""

    prediction: np.ndarray
    reference: np.ndarray
    subjects: tuple[str | Path, str | Path]


@dataclass(frozen=True)
class _Image:
    """What turns counts and distances into figures.

    Attributes:
        spacing: mm along each axis.
        far: The diagonal in mm.
        voxels: All that are annotated.
        tolerance_mm: Of the normalised surface distances.
        losses: By label of the reference.
    """

    spacing: tuple[float, ...]
    far: float
    voxels: int
    tolerance_mm: float
    losses: Mapping[int, NLLSum]


def _score_rows(
    masks: _Masks, there: Conversion, back: Conversion, rows: Iterable[int], image: _Image
) -> list[LabelScore]:
    """Scores those of `rows` that either mask shows.

    Args:
        masks: Both masks.
        there: From the prediction's integers to rows.
        back: From the reference's integers to the same rows.
        rows: Which.
        image: The scan.
    """
    prediction = there.apply(masks.prediction, masks.subjects[0])
    reference = back.apply(masks.reference, masks.subjects[1])
    _take_out(prediction, reference, back.target.ignore_label)
    boxes = _boxes(prediction, reference, len(back.target.anatomies))
    scores = []
    for row in rows:
        box = boxes[row - 1]
        if box is not None:
            ours, theirs = prediction[box] == row, reference[box] == row
            loss = log_loss(part for value, part in image.losses.items() if back.table[value] == row)
            scores.append(_label_score(back.target.anatomies[row], ours, theirs, loss, image))
    return scores


def _take_out(prediction: np.ndarray, reference: np.ndarray, ignore_label: int | None) -> None:
    """Makes background of what is not annotated, and of what the prediction itself leaves open."""
    prediction[(reference == ignore_label) | (prediction == ignore_label)] = 0
    reference[reference == ignore_label] = 0


def _widened(box: tuple[slice, ...], shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(max(side.start - 1, 0), min(side.stop + 1, size)) for side, size in zip(box, shape, strict=True))


def _boxes(prediction: np.ndarray, reference: np.ndarray, rows: int) -> list[tuple[slice, ...] | None]:
    """The box of each row in both masks together, one voxel wider where the image goes on; None if neither shows it."""
    from scipy.ndimage import find_objects

    boxes: list[tuple[slice, ...] | None] = []
    for one, other in zip(find_objects(prediction, rows), find_objects(reference, rows), strict=True):
        if one is None and other is None:
            boxes.append(None)
            continue
        sides = zip(one or other, other or one, strict=True)
        joint = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in sides)
        boxes.append(_widened(joint, reference.shape))
    return boxes


def _label_score(
    anatomy: Anatomy, prediction: np.ndarray, reference: np.ndarray, loss: float, image: _Image
) -> LabelScore:
    """Scores one structure from its two boolean masks in its box."""
    counts = overlap.count(prediction, reference)
    elsewhere = image.voxels - prediction.size
    return LabelScore(
        anatomy=anatomy,
        presence=_presence(counts),
        union=False,
        **_overlap(replace(counts, neither=counts.neither + elsewhere), math.prod(image.spacing)),
        **_distances(surface.surfaces(prediction, reference, image.spacing), image),
        log_loss=loss,
    )


def _overlap(counts: overlap.Counts, voxel_mm3: float) -> dict[str, float]:
    return {
        "dice": overlap.dice(counts),
        "iou": overlap.iou(counts),
        "f1": overlap.f1(counts),
        "precision": overlap.precision(counts),
        "recall": overlap.recall(counts),
        "accuracy": overlap.accuracy(counts),
        "volume_ml": counts.reference * voxel_mm3 / 1000,
        "predicted_volume_ml": counts.prediction * voxel_mm3 / 1000,
        "volume_error_ml": overlap.volume_error(counts, voxel_mm3),
        "volume_error_share": overlap.volume_error_share(counts),
    }


def _distances(between: surface.Surfaces | None, image: _Image) -> dict[str, float]:
    if between is None:
        distances = ("asd_mm", "asd_prediction_mm", "asd_reference_mm", "hd_mm", "hd95_mm")
        return {"nsd": 0.0, "nsd_reference": 0.0, **dict.fromkeys(distances, image.far)}
    there, back = surface.directed_distances(between)
    return {
        "nsd": surface.surface_dice(between, image.tolerance_mm),
        "nsd_reference": surface.reference_surface_recall(between, image.tolerance_mm),
        "asd_mm": surface.average_distance(between),
        "asd_prediction_mm": there,
        "asd_reference_mm": back,
        "hd_mm": surface.hausdorff_distance(between),
        "hd95_mm": surface.hausdorff_distance(between, 95),
    }


def _presence(counts: overlap.Counts) -> Presence:
    if counts.prediction and counts.reference:
        return Presence.BOTH
    return Presence.PREDICTION if counts.prediction else Presence.REFERENCE
