"""SPIDER's protocol on files: the official figures beside the corrected ones, and why they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from autospine.core.errors import UserError
from autospine.evaluation.spider import (
    NAN,
    ChallengeScore,
    Match,
    aggregate,
    match_labels,
    official_score,
)
from autospine.labels.anatomy import Kind
from autospine.labels.conversion import conversion, present_labels
from autospine.labels.schemes import SCHEMES, LabelScheme

if TYPE_CHECKING:
    import numpy as np

    from autospine.evaluation.cohort import CaseScore
    from autospine.volumes import Volume

SPIDER = SCHEMES["spider"]


@dataclass(frozen=True)
class ChallengeCase:
    """What SPIDER's script makes of one case.

    Attributes:
        id: The case.
        score: Its figures; None where the script dies.
        matches: What it compared with what.
        invented: Predicted labels that serve no reference label: they cost nothing.
        mixed_spacing: The order of the spacing matters.
        other_grid: Prediction and reference lie on different grids, at which it does not look.
        missing: There was no prediction; scored as an empty mask.
        problem: Why it dies, a line.
    """

    id: str
    score: ChallengeScore | None
    matches: tuple[Match, ...] = ()
    invented: int = 0
    mixed_spacing: bool = False
    other_grid: bool = False
    missing: bool = False
    problem: str = ""


def score_challenge(
    id_: str,
    prediction: Volume | None,
    reference: Volume,
    pred_scheme: LabelScheme = SPIDER,
    ref_scheme: LabelScheme = SPIDER,
) -> ChallengeCase:
    """Scores one case as the script does.

    Args:
        id_: The case.
        prediction: Predicted mask; None is scored as an empty one.
        reference: Its reference.
        pred_scheme: Scheme of the prediction; another than SPIDER's is converted to it first.
        ref_scheme: Scheme of the reference, the same.

    Returns:
        The figures, or the fault that the script would die of.
    """
    try:
        theirs = _as_the_script_sees(reference, ref_scheme)
        ours = theirs * 0 if prediction is None else _as_the_script_sees(prediction, pred_scheme)
        if ours.shape != theirs.shape:
            where = prediction.path if prediction is not None and prediction.path else id_
            sizes = [" x ".join(map(str, reversed(array.shape))) for array in (ours, theirs)]
            problem = f"has {sizes[0]} voxels, {reference.path} has {sizes[1]}"
            raise UserError(where, problem, "predict on the reference's grid")
        matches = match_labels(ours, theirs, reference.geometry.spacing)
        score = official_score(matches, reference.path or id_)
    except UserError as error:
        return ChallengeCase(id_, None, missing=prediction is None, problem=str(error))
    return ChallengeCase(
        id=id_,
        score=score,
        matches=matches,
        invented=len(_labels(ours) - {match.prediction for match in matches}),
        mixed_spacing=reference.geometry.spacing != reference.geometry.spacing[::-1],
        other_grid=prediction is not None and not reference.geometry.same_grid(prediction.geometry),
        missing=prediction is None,
    )


def _as_the_script_sees(volume: Volume, scheme: LabelScheme) -> np.ndarray:
    """Integers in the file's order, (z, y, x)."""
    array = volume.in_file_order().transpose()
    if volume.path is not None and _is_float(volume.path):
        raise UserError(volume.path, "holds floats, of which SPIDER's script dies", "store whole numbers")
    return array if scheme == SPIDER else conversion(scheme, SPIDER).apply(array, volume.path or "mask")


def _is_float(path: Path) -> bool:
    """Whether the file's voxels are stored as floats."""
    import SimpleITK

    if path.is_dir():
        return False
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader.GetPixelID() in (SimpleITK.sitkFloat32, SimpleITK.sitkFloat64)


def _labels(mask: np.ndarray) -> set[int]:
    return set(present_labels(mask)) - {0}


@dataclass(frozen=True)
class Quantity:
    """A row of the table: one figure, made both ways.

    Attributes:
        field: Of `ChallengeScore`.
        title: For people.
        kind: The structures that enter; None for all.
        metric: What the corrected figure averages; None for the detection rate.
    """

    field: str
    title: str
    kind: Kind | None
    metric: str | None


QUANTITIES = (
    Quantity("dice_vertebrae", "Dice, vertebrae", Kind.VERTEBRA, "dice"),
    Quantity("dice_discs", "Dice, discs", Kind.DISC, "dice"),
    Quantity("dice_canal", "Dice, spinal canal", Kind.CANAL, "dice"),
    Quantity("dice_overall", "Dice, overall", None, "dice"),
    Quantity("detection_vertebrae", "detection rate, vertebrae", Kind.VERTEBRA, None),
    Quantity("detection_discs", "detection rate, discs", Kind.DISC, None),
    Quantity("asd_vertebrae_mm", "ASD mm, vertebrae", Kind.VERTEBRA, "asd_mm"),
    Quantity("asd_discs_mm", "ASD mm, discs", Kind.DISC, "asd_mm"),
    Quantity("asd_canal_mm", "ASD mm, spinal canal", Kind.CANAL, "asd_mm"),
    Quantity("asd_overall_mm", "ASD mm, overall", None, "asd_mm"),
)


@dataclass(frozen=True)
class Spread:
    """Mean, standard deviation (n - 1) and number of cases of a figure; NaN where there are too few."""

    mean: float
    deviation: float
    cases: int


@dataclass(frozen=True)
class BothWays:
    """One quantity both ways."""

    quantity: Quantity
    official: Spread
    corrected: Spread


def side_by_side(official: Sequence[ChallengeCase], cases: Sequence[CaseScore]) -> tuple[BothWays, ...]:
    """Every figure of the script beside ours, over all cases that each could score."""
    scores = [case.score for case in official if case.score is not None]
    means, deviations = aggregate(scores)
    rows = []
    for quantity in QUANTITIES:
        known = sum(not isnan(getattr(score, quantity.field)) for score in scores)
        theirs = Spread(getattr(means, quantity.field), getattr(deviations, quantity.field), known)
        ours = [value for case in cases if not isnan(value := corrected(case, quantity))]
        rows.append(BothWays(quantity, theirs, _spread(ours)))
    return tuple(rows)


def _spread(values: Sequence[float]) -> Spread:
    deviation = stdev(values) if len(values) > 1 else NAN
    return Spread(mean(values) if values else NAN, deviation, len(values))


def corrected(case: CaseScore, quantity: Quantity) -> float:
    """Our figure of one case: the mean over the structures that either mask shows; NaN if there are none.

    A structure that only one mask shows enters with Dice 0 and the image's diagonal. The detection rate is the
    recall of instances.
    """
    if quantity.metric is None:
        found = next((score for score in case.instances if score.kind is quantity.kind), None)
        return NAN if found is None else found.recall
    if quantity.kind is None:
        return case.mean(quantity.metric)
    scores = [score for score in case.scores if score.anatomy.kind is quantity.kind and not score.union]
    values = [value for score in scores if not isnan(value := getattr(score, quantity.metric))]
    return mean(values) if values else NAN
