"""Everything that is scored of one case, from its two masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import isnan, nan
from statistics import mean

import numpy as np

from autospine.evaluation.instance_counts import InstanceScore
from autospine.evaluation.instances import score_instances
from autospine.evaluation.mask_pair import MaskPair
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
    confidences: Mapping[Anatomy, float] = field(default_factory=dict)  # of the predicted labels, where a report tells
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
    def level_pairs(self) -> list[tuple[int | None, int | None]]:
        """Return predicted and true level of each detected instance of the kinds that have levels in both schemes."""
        return [
            (match.prediction.level, match.reference.level)
            for score in self.instances
            if score.levelled
            for match in score.matches
            if match.detected and match.prediction and match.reference
        ]

    @property
    def levels_wrong(self) -> bool | None:
        """Return whether a detected instance has a wrong level; None without levels or detected instances."""
        return any(predicted != true for predicted, true in self.level_pairs) if self.level_pairs else None

    def mean(self, metric: str) -> float:
        """Return the mean over the structures that at least one mask shows, single levels only; NaN without any."""
        return mean_of_known(getattr(score, metric) for score in self.scores if not score.all_levels)


def mean_of_known(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN; NaN without any."""
    known = [value for value in values if not isnan(value)]
    return mean(known) if known else nan


def evaluate_case(
    id_: str,
    pair: MaskPair,
    tolerance_mm: float = TOLERANCE_MM,
    probabilities: Probabilities | None = None,
    missing: bool = False,
) -> CaseScore:
    """Score structures and instances of one case.

    Args:
        id_: The case.
        pair: Both masks.
        tolerance_mm: For NSD.
        probabilities: The prediction's, for the log loss.
        missing: There is no prediction, and the pair's is empty: everything scores 0.

    Raises:
        UserError: A mask holds a label outside its scheme.
    """
    pair = replace(pair, schemes=schemes_shown(pair))
    within = leave_out_above(pair.prediction, pair.reference, pair.schemes)
    score = _score(id_, pair, tolerance_mm, probabilities, missing)
    if not within.left_out:
        return score
    trimmed = replace(pair, prediction=within.prediction)
    trimmed_score = _score(id_, trimmed, tolerance_mm, probabilities, missing)
    return replace(trimmed_score, above_annotation=within.left_out, counted=score)


def schemes_shown(pair: MaskPair) -> tuple[LabelScheme, LabelScheme]:
    """Return the schemes of a prediction and a reference by what they show: extra vertebrae, and parts or wholes.

    Raises:
        UserError: A mask is of floats.
    """
    prediction = scheme_of_mask(pair.schemes[0], pair.prediction, pair.sources[0])
    reference = scheme_of_mask(pair.schemes[1], pair.reference, pair.sources[1])
    if all(any(anatomy.kind in PARTS for anatomy in scheme.anatomies.values()) for scheme in pair.schemes):
        shown = present_labels(pair.prediction, pair.sources[0]), present_labels(pair.reference, pair.sources[1])
        return comparable_schemes(prediction, reference, shown)
    return comparable_schemes(prediction, reference)


def _score(
    id_: str, pair: MaskPair, tolerance_mm: float, probabilities: Probabilities | None, missing: bool
) -> CaseScore:
    scores = score_case(pair, tolerance_mm, probabilities)
    if missing:  # background that nobody predicted is not right either
        scores = [replace(score, accuracy=0.0) for score in scores]
    common = common_labels(*pair.schemes)
    losses = probabilities.negative_log_likelihood(pair.reference, pair.schemes[1]) if probabilities else {}
    unmatched = {
        "prediction": _unmatched(pair.prediction, common.prediction),
        "reference": _unmatched(pair.reference, common.reference),
    }
    return CaseScore(
        id=id_,
        scores=tuple(scores),
        missing=missing,
        unmatched_labels=unmatched,
        instances=score_instances(pair),
        log_loss=log_loss(losses.values()),
    )


def _unmatched(mask: np.ndarray, to_rows: Conversion) -> tuple[Anatomy, ...]:
    """Return the anatomies in a mask that the other side's scheme cannot express."""
    if not to_rows.lost:
        return ()
    shown = {to_rows.source.anatomies.get(label) for label in present_labels(mask)}
    return tuple(anatomy for anatomy in sorted(to_rows.lost) if anatomy in shown)
