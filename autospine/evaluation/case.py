"""Everything that is scored of one case, from its two masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from pathlib import Path
from statistics import mean

import numpy as np

from autospine.evaluation.instance_counts import InstanceScore
from autospine.evaluation.instances import score_instances
from autospine.evaluation.partial_annotation import leave_out_above
from autospine.evaluation.probabilities import Probabilities
from autospine.evaluation.structures import (
    PARTS,
    TOLERANCE_MM,
    LabelScore,
    common_labels,
    comparable_schemes,
    score_case,
)
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import Conversion, present_labels, scheme_of_mask
from autospine.labels.schemes import LabelScheme
from autospine.metrics.probability import log_loss

VERTEBRAE = (Kind.VERTEBRA, Kind.BODY)


@dataclass(frozen=True)
class CaseScore:
    """Scores of one case."""

    id: str
    scores: tuple[LabelScore, ...]  # one per structure that the evaluation scores; "absent in both" ones included
    missing: bool = False  # there was no prediction: everything in the reference scores 0
    # What each mask shows that the other's scheme cannot express, by "prediction" and "reference".
    unmatched_labels: Mapping[str, tuple[Anatomy, ...]] | None = None
    instances: tuple[InstanceScore, ...] = ()  # vertebrae, discs, ... counted and matched, one entry per kind
    log_loss: float = nan  # over all annotated voxels, in nats; NaN without probabilities
    above_annotation: tuple[Anatomy, ...] = ()  # predicted where annotation had stopped: left out of the scores
    counted: CaseScore | None = None  # the scores that count those as false positives; None where there are none
    resampled: bool = False  # the prediction was brought to the reference's grid
    ambiguous: str | None = None  # why the prediction was flagged; empty if it was not, None if no report tells

    @property
    def all_counted(self) -> CaseScore:
        """Return the scores that count everything predicted."""
        return self.counted or self

    @property
    def unanswered(self) -> bool:
        """Return whether the reference shows vertebrae, and the prediction none at all."""
        vertebrae = [score for score in self.instances if score.kind in VERTEBRAE]
        return any(score.references for score in vertebrae) and not any(
            match.prediction is not None for score in vertebrae for match in score.matches
        )

    @property
    def levels_wrong(self) -> bool | None:
        """Return whether a detected instance has a wrong level; None without levels or detected instances."""
        pairs = [
            (match.prediction.level, match.reference.level)
            for score in self.instances
            if score.levelled
            for match in score.matches
            if match.detected and match.prediction and match.reference
        ]
        return any(predicted != true for predicted, true in pairs) if pairs else None

    def mean(self, metric: str) -> float:
        """Return the mean over the structures that at least one mask shows, single levels only; NaN without any."""
        return mean_of_known(getattr(score, metric) for score in self.scores if not score.all_levels)


def mean_of_known(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN; NaN without any."""
    known = [value for value in values if not isnan(value)]
    return mean(known) if known else nan


def evaluate_case(
    id_: str,
    prediction: np.ndarray | None,
    reference: np.ndarray,
    spacing: Sequence[float],
    schemes: tuple[LabelScheme, LabelScheme],
    sources: tuple[str | Path, str | Path] = ("prediction", "reference"),
    tolerance_mm: float = TOLERANCE_MM,
    probabilities: Probabilities | None = None,
) -> CaseScore:
    """Score structures and instances of one case.

    Args:
        id_: The case.
        prediction: Labels, (slices, rows, columns); None if there is none: everything scores 0.
        reference: Labels on the same grid.
        spacing: mm along each axis.
        schemes: Labels of the prediction and of the reference.
        sources: The files that an error names.
        tolerance_mm: For NSD.
        probabilities: The prediction's, for the log loss.

    Raises:
        UserError: A mask holds a label outside its scheme.
    """
    predicted = np.zeros_like(reference) if prediction is None else prediction
    schemes = schemes_shown((predicted, reference), schemes, sources)

    def score(mask: np.ndarray) -> CaseScore:
        scores = score_case(mask, reference, spacing, *schemes, sources, tolerance_mm, probabilities)
        if prediction is None:  # background that nobody predicted is not right either
            scores = [replace(score, accuracy=0.0) for score in scores]
        common = common_labels(*schemes)
        losses = probabilities.negative_log_likelihood(reference, schemes[1]) if probabilities else {}
        return CaseScore(
            id=id_,
            scores=tuple(scores),
            missing=prediction is None,
            unmatched_labels={
                "prediction": _unmatched(mask, common.prediction),
                "reference": _unmatched(reference, common.reference),
            },
            instances=score_instances(mask, reference, spacing, *schemes, sources),
            log_loss=log_loss(losses.values()),
        )

    within = leave_out_above(predicted, reference, schemes)
    if not within.left_out:
        return score(predicted)
    return replace(score(within.prediction), above_annotation=within.left_out, counted=score(predicted))


def schemes_shown(
    masks: tuple[np.ndarray, np.ndarray],
    schemes: tuple[LabelScheme, LabelScheme],
    sources: tuple[str | Path, str | Path] = ("prediction", "reference"),
) -> tuple[LabelScheme, LabelScheme]:
    """Return the schemes of a prediction and a reference by what they show: extra vertebrae, and parts or wholes.

    Raises:
        UserError: A mask is of floats.
    """
    prediction, reference = (scheme_of_mask(*of_one) for of_one in zip(schemes, masks, sources, strict=True))
    if all(any(anatomy.kind in PARTS for anatomy in scheme.anatomies.values()) for scheme in schemes):
        shown = present_labels(masks[0], sources[0]), present_labels(masks[1], sources[1])
        return comparable_schemes(prediction, reference, shown)
    return comparable_schemes(prediction, reference)


def _unmatched(mask: np.ndarray, to_rows: Conversion) -> tuple[Anatomy, ...]:
    """Return the anatomies in a mask that the other side's scheme cannot express."""
    if not to_rows.lost:
        return ()
    shown = {to_rows.source.anatomies.get(label) for label in present_labels(mask)}
    return tuple(anatomy for anatomy in sorted(to_rows.lost) if anatomy in shown)
