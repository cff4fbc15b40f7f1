"""SPIDER's own evaluation script, rule for rule, whatever one may think of the rules.

The challenge (van der Graaf et al. 2024, grand-challenge.org) publishes figures made this way, so figures that are
to stand beside them have to be made this way too:

1. Each reference label is compared with the foreground label that overlaps it most (ties: the lowest), whatever
   its kind; a predicted label may serve several reference labels, and one that serves none costs nothing.
2. A structure is detected from a Dice of 0.1. Vertebra (1 to 99) and disc (above 200) Dice are means over the
   detected ones, the overall Dice over all; 101 to 200 enter the overall figures only.
3. Surface distance: the mean over both borders' voxels together. A border is the mask without its erosion by
   3 x 3 x 3. The spacing is given in x, y, z order to an array in z, y, x order.
4. Without any overlap the distance is NaN, and so is every mean of the case that it enters.
5. No canal in the reference: 999. No vertebra or no disc: the script dies of a division by zero.
6. Over cases: mean and standard deviation (n - 1); NaN is skipped, 999 is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from math import isnan, nan
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from autospine.core.errors import UserError
from autospine.labels.conversion import conversion, present_labels, scheme_of_mask
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.metrics.surface import bounding_box
from autospine.volumes import Volume
from autospine.volumes.reading import stored_as_float

SPIDER = SCHEMES["spider"]
CANAL, NO_CANAL = 100, 999.0
DETECTED_FROM = 0.1
SCRIPT_NAMES = {
    "dice_vertebrae": "DiceScoreVertebrae",
    "dice_discs": "DiceScoreDiscs",
    "dice_canal": "DiceScoreSpinalCanal",
    "dice_overall": "OveralDiceScore",
    "detection_vertebrae": "DetectionRateVertebrae",
    "detection_discs": "DetectionRateDiscs",
    "asd_vertebrae_mm": "ASDVertebrae",
    "asd_discs_mm": "ASDDiscs",
    "asd_canal_mm": "ASDSpinalCanal",
    "asd_overall_mm": "OveralASD",
}


@dataclass(frozen=True)
class ChallengeScore:
    """Figures of the script for one case; `SCRIPT_NAMES` has its own names for the fields.

    `dice_*` are means of 0 to 1, of vertebrae and discs over the detected ones, NaN if none is; `detection_*` shares of
    the reference's structures with a Dice of 0.1 or more; `asd_*_mm` mean surface distances, NaN if any structure has
    no overlap. Figures of the canal are 999 without one in the reference.
    """

    dice_vertebrae: float
    dice_discs: float
    dice_canal: float
    dice_overall: float
    detection_vertebrae: float
    detection_discs: float
    asd_vertebrae_mm: float
    asd_discs_mm: float
    asd_canal_mm: float
    asd_overall_mm: float


FIELDS = tuple(field.name for field in fields(ChallengeScore))


@dataclass(frozen=True)
class LabelMatch:
    """A reference label and the predicted label that the script takes for it."""

    reference: int  # the reference's integer
    prediction: int  # the prediction's, 0 where nothing overlaps
    dice: float  # of both, 0 to 1
    asd_mm: float  # mean distance with the script's order of the spacing; NaN without overlap
    asd_correct_order_mm: float  # the same with the spacing in the correct order

    @property
    def detected(self) -> bool:
        """Return whether the script counts it as detected."""
        return self.dice >= DETECTED_FROM


def match_labels(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> tuple[LabelMatch, ...]:
    """Match labels as the script does, by the reference's, ascending; (z, y, x) masks, spacing along x, y, z in mm."""
    script_order, correct_order = tuple(spacing), tuple(reversed(spacing))
    matches = []
    for label in np.unique(reference[reference != 0]):
        mask = reference == label
        inside = prediction[mask]
        values, overlaps = np.unique(inside[inside != 0], return_counts=True)  # ascending: ties go to the lowest
        if values.size == 0:
            matches.append(LabelMatch(int(label), 0, 0.0, nan, nan))
            continue
        best = int(overlaps.argmax())
        predicted = prediction == values[best]
        dice = float(2 * overlaps[best] / (mask.sum() + predicted.sum()))
        asd = surface_distance(predicted, mask, script_order)
        asd_correct = asd if script_order == correct_order else surface_distance(predicted, mask, correct_order)
        matches.append(LabelMatch(int(label), int(values[best]), dice, asd, asd_correct))
    return tuple(matches)


def surface_distance(one: np.ndarray, other: np.ndarray, spacing: Sequence[float]) -> float:
    """Compute the mean distance in mm over the border voxels of two boolean masks together, neither of them empty."""
    from scipy.ndimage import distance_transform_edt

    box = bounding_box(one | other)
    borders = [_border(mask[box]) for mask in (one, other)]
    distances = [distance_transform_edt(~border, sampling=spacing) for border in borders]
    return float(np.concatenate([distances[1][borders[0]], distances[0][borders[1]]]).mean())


def _border(mask: np.ndarray) -> np.ndarray:
    """Return the voxels with a neighbour, of 26, outside the mask or outside the array."""
    from scipy.ndimage import binary_erosion

    return np.asarray(mask ^ binary_erosion(mask, np.ones((3, 3, 3))))


def challenge_score(matches: Sequence[LabelMatch], where: str | Path = "reference") -> ChallengeScore:
    """Compute the script's figures of one case.

    Raises:
        UserError: The reference has no vertebra or no disc: the script dies there.
    """
    vertebrae = [match for match in matches if match.reference < CANAL]
    discs = [match for match in matches if match.reference > 200]
    for kept, what in ((vertebrae, "vertebra (1 to 99)"), (discs, "disc (above 200)")):
        if not kept:
            problem = f"has no {what}, and SPIDER's script divides by their number"
            raise UserError(where, problem, "leave the case out, or score without --protocol spider")
    canal = next((match for match in matches if match.reference == CANAL), None)
    return ChallengeScore(
        dice_vertebrae=_mean(match.dice for match in vertebrae if match.detected),
        dice_discs=_mean(match.dice for match in discs if match.detected),
        dice_canal=NO_CANAL if canal is None else canal.dice,
        dice_overall=_mean(match.dice for match in matches),
        detection_vertebrae=_detected(vertebrae),
        detection_discs=_detected(discs),
        asd_vertebrae_mm=_mean(match.asd_mm for match in vertebrae),
        asd_discs_mm=_mean(match.asd_mm for match in discs),
        asd_canal_mm=NO_CANAL if canal is None else canal.asd_mm,
        asd_overall_mm=_mean(match.asd_mm for match in matches),
    )


def _mean(values: Iterable[float]) -> float:
    """Return the mean: NaN of nothing, and of anything with a NaN."""
    values = list(values)
    return sum(values) / len(values) if values else nan


def _detected(matches: Sequence[LabelMatch]) -> float:
    return sum(match.detected for match in matches) / len(matches)


def aggregate(scores: Sequence[ChallengeScore]) -> tuple[ChallengeScore, ChallengeScore]:
    """Return mean and standard deviation (n - 1) over cases; NaN is skipped, 999 enters."""
    return _over(scores, mean, 1), _over(scores, stdev, 2)


def _over(scores: Sequence[ChallengeScore], figure: Callable[[list[float]], float], fewest: int) -> ChallengeScore:
    columns = {name: [getattr(score, name) for score in scores] for name in FIELDS}
    known = {name: [value for value in column if not isnan(value)] for name, column in columns.items()}
    return ChallengeScore(**{name: figure(values) if len(values) >= fewest else nan for name, values in known.items()})


@dataclass(frozen=True)
class ChallengeCase:
    """What the script makes of one case's files."""

    id: str
    score: ChallengeScore | None  # its figures; None where the script dies
    matches: tuple[LabelMatch, ...] = ()  # what it compared with what
    false_positives: int = 0  # predicted labels that serve no reference label: they cost nothing
    mixed_spacing: bool = False  # the order of the spacing matters
    other_grid: bool = False  # prediction and reference lie on different grids, at which it does not look
    missing: bool = False  # there was no prediction; scored as an empty mask
    problem: str = ""  # why it dies, a line


def score_challenge(
    id_: str,
    prediction: Volume | None,
    reference: Volume,
    pred_scheme: LabelScheme = SPIDER,
    ref_scheme: LabelScheme = SPIDER,
) -> ChallengeCase:
    """Score one case as the script does: no prediction as an empty one, other schemes converted to SPIDER's first."""
    try:
        annotated = _as_the_script_sees(reference, ref_scheme)
        predicted = annotated * 0 if prediction is None else _as_the_script_sees(prediction, pred_scheme)
        if predicted.shape != annotated.shape:
            where = prediction.path if prediction is not None and prediction.path else id_
            sizes = [" x ".join(map(str, reversed(array.shape))) for array in (predicted, annotated)]
            problem = f"has {sizes[0]} voxels, {reference.path} has {sizes[1]}"
            raise UserError(where, problem, "predict on the reference's grid")
        matches = match_labels(predicted, annotated, reference.geometry.spacing)
        score = challenge_score(matches, reference.path or id_)
    except UserError as error:
        return ChallengeCase(id_, None, missing=prediction is None, problem=str(error))
    unmatched = {*present_labels(predicted)} - {0, *(match.prediction for match in matches)}
    return ChallengeCase(
        id=id_,
        score=score,
        matches=matches,
        false_positives=len(unmatched),
        mixed_spacing=reference.geometry.spacing != reference.geometry.spacing[::-1],
        other_grid=prediction is not None and not reference.geometry.same_grid(prediction.geometry),
        missing=prediction is None,
    )


def _as_the_script_sees(volume: Volume, scheme: LabelScheme) -> np.ndarray:
    """Return labels in the file's order, (z, y, x)."""
    array = volume.in_file_order().transpose()
    if volume.path is not None and stored_as_float(volume.path):
        raise UserError(volume.path, "holds floats, of which SPIDER's script dies", "store whole numbers")
    where = volume.path or "mask"
    return array if scheme == SPIDER else conversion(scheme_of_mask(scheme, array, where), SPIDER).apply(array, where)
