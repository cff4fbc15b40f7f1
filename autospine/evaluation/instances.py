"""Vertebrae and discs as countable things: which are found, which are invented, which carry the right level.

Instances of one kind are matched one to one by their overlap, whatever their levels; a pair with an IoU of
0.5 or more is a detection. (Kirillov et al. 2019, "Panoptic segmentation", ask for more than 0.5; the two
differ at exactly 0.5 only.) A pair below that is a miss and a false positive.

Outside all counts stand

- partly visible vertebrae (SPIDER's 101 to 125) of the reference, found or not, and every predicted vertebra
  of which the larger part lies on them, as Kirillov et al. do with void regions;
- predicted partly visible vertebrae; a whole vertebra predicted as a partly visible one is missed;
- what the other scheme cannot express (vertebra 10 against a scheme that ends at 9), unless it is detected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from autospine.evaluation.comparison import compare
from autospine.evaluation.identification import common_shift, identified
from autospine.evaluation.instance_counts import INSTANCE_METRICS, InstanceCounts, InstanceScore, Match
from autospine.evaluation.instance_summary import InstanceSummary, summarise_instances
from autospine.evaluation.matching import Overlaps, common_kinds, family, find_overlaps, pair
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import LabelScheme

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "INSTANCE_METRICS",
    "InstanceCounts",
    "InstanceScore",
    "InstanceSummary",
    "Match",
    "score_instances",
    "summarise_instances",
]
THRESHOLD = 0.5
MOSTLY = 0.5  # of a prediction: so much of it on partly visible vertebrae, and it is none of the others


def score_instances(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    pred_scheme: LabelScheme,
    ref_scheme: LabelScheme,
    subjects: tuple[str | Path, str | Path] = ("prediction", "reference"),
    threshold: float = THRESHOLD,
) -> tuple[InstanceScore, ...]:
    """Counts the instances of one case.

    Args:
        prediction: Integers of `pred_scheme`, (slices, rows, columns); all 0 for a missing prediction.
        reference: Integers of `ref_scheme`, same grid. What either leaves unlabelled is in no instance.
        spacing: mm along each axis.
        pred_scheme: The prediction's labels.
        ref_scheme: The reference's labels.
        subjects: The files that an error names.
        threshold: IoU from which a pair is a detection.

    Returns:
        One score per kind of instance (vertebrae, discs, bodies, laminae, foramina) that both schemes have,
        whether or not the masks show any.

    Raises:
        UserError: A mask holds fractions or a label outside its scheme.
    """
    schemes = pred_scheme, ref_scheme
    overlaps = find_overlaps(prediction, reference, spacing, schemes, subjects)
    comparison = compare(*schemes)
    beyond = {*comparison.prediction.lost, *comparison.reference.lost}
    scores = []
    for kind in common_kinds(*schemes):
        levelled = all(_has_levels(scheme, kind) for scheme in schemes)
        scores.append(_score(kind, levelled, _matches(_of_kind(overlaps, kind), kind, beyond, threshold)))
    return tuple(scores)


def _has_levels(scheme: LabelScheme, kind: Kind) -> bool:
    return any(one.kind is kind and one.level is not None for one in scheme.anatomies.values())


def _of_kind(overlaps: Overlaps, kind: Kind) -> Overlaps:
    import numpy as np

    ours = [place for place, one in enumerate(overlaps.predictions) if family(one.kind) is kind]
    theirs = [place for place, one in enumerate(overlaps.references) if family(one.kind) is kind]
    return Overlaps(
        tuple(overlaps.predictions[place] for place in ours),
        tuple(overlaps.references[place] for place in theirs),
        overlaps.shared[np.ix_(ours, theirs)],
        overlaps.predicted[ours],
        overlaps.annotated[theirs],
        overlaps.prediction_centroids[ours],
        overlaps.reference_centroids[theirs],
    )


@dataclass(frozen=True)
class _Standing:
    """How the instances of one kind stand to the counts.

    Attributes:
        partial: Partly visible in the prediction (P,) and in the reference (R,).
        excused: (P,) partly visible, or lying mostly on what is partly visible in the reference.
        beyond: The other scheme has no place for it, (P,) and (R,).
    """

    partial: tuple[np.ndarray, np.ndarray]
    excused: np.ndarray
    beyond: tuple[np.ndarray, np.ndarray]


def _matches(overlaps: Overlaps, kind: Kind, beyond: set[Anatomy], threshold: float) -> list[Match]:
    import numpy as np

    sides = overlaps.predictions, overlaps.references
    partial = tuple(np.array([one.kind is Kind.PARTIAL_VERTEBRA for one in side], bool) for side in sides)
    lying = overlaps.shared / overlaps.predicted[:, None]  # (P, R) share of the prediction
    standing = _Standing(
        partial=(partial[0], partial[1]),
        excused=partial[0] | (lying[:, partial[1]].sum(axis=1) >= MOSTLY),
        beyond=(_among(sides[0], beyond), _among(sides[1], beyond)),
    )
    forbidden = partial[0][:, None] & ~partial[1]
    forbidden |= ~partial[0][:, None] & partial[1] & (lying < MOSTLY)
    pairs = pair(np.where(forbidden, 0.0, overlaps.iou), threshold)
    return _stand_in(overlaps, kind, standing, pairs, threshold)


def _among(anatomies: Sequence[Anatomy], some: set[Anatomy]) -> np.ndarray:
    import numpy as np

    return np.array([one in some for one in anatomies], bool)


def _stand_in(
    overlaps: Overlaps, kind: Kind, standing: _Standing, pairs: Sequence[tuple[int, int]], threshold: float
) -> list[Match]:
    """Every instance in one match; a pair below the threshold falls apart if only one of the two counts."""
    import numpy as np

    iou, dice = overlaps.iou, overlaps.dice  # (P, R)
    named = _identified(overlaps, standing)
    matches, ours, theirs = [], set(range(len(iou))), set(range(len(named)))
    for p, r in pairs:
        partial, detected = bool(standing.partial[1][r]), bool(iou[p, r] >= threshold)
        counts = not (standing.excused[p] or standing.beyond[0][p] or standing.beyond[1][r])
        if not (partial or detected or counts):
            continue
        apart = np.linalg.norm(overlaps.prediction_centroids[p] - overlaps.reference_centroids[r])
        matches.append(
            Match(
                kind=kind,
                reference=overlaps.references[r],
                prediction=overlaps.predictions[p],
                iou=float(iou[p, r]),
                dice=float(dice[p, r]),
                distance_mm=float(apart),
                detected=detected and not partial,
                identified=named[r],
                partial=partial,
            )
        )
        ours.remove(p)
        theirs.remove(r)
    for p in sorted(ours):
        partial, beyond = bool(standing.excused[p]), bool(standing.beyond[0][p])
        alone = Match(kind, None, overlaps.predictions[p], partial=partial, beyond=beyond and not partial)
        matches.append(alone)
    for r in sorted(theirs):
        partial, beyond = bool(standing.partial[1][r]), bool(standing.beyond[1][r])
        alone = Match(kind, overlaps.references[r], None, partial=partial, beyond=beyond and not partial)
        matches.append(replace(alone, identified=named[r]))
    return sorted(matches, key=_order)


def _order(match: Match) -> tuple[Anatomy, bool]:
    return match.reference or match.prediction or Anatomy(match.kind), match.reference is None


def _identified(overlaps: Overlaps, standing: _Standing) -> list[bool]:
    """Whole vertebrae against whole vertebrae; a partly visible one has no level to be right about."""
    whole = ~standing.partial[0]
    predictions = [one for one, kept in zip(overlaps.predictions, whole, strict=True) if kept]
    places = overlaps.prediction_centroids[whole]
    named = identified(predictions, places, overlaps.references, overlaps.reference_centroids)
    return [yes and not partial for yes, partial in zip(named, standing.partial[1], strict=True)]


def _score(kind: Kind, levelled: bool, matches: Sequence[Match]) -> InstanceScore:
    detected = [match for match in matches if match.detected]
    partial = [match for match in matches if match.partial]
    levels = [(one.prediction.level, one.reference.level) for one in detected if one.prediction and one.reference]
    return InstanceScore(
        kind=kind,
        levelled=levelled,
        detected=len(detected),
        false_positives=sum(match.false_positive for match in matches),
        missed=sum(match.missed for match in matches),
        identified=sum(match.identified for match in matches),
        iou_sum=sum(match.iou for match in detected),
        partial_detected=sum(bool(match.reference and match.prediction) for match in partial),
        partial_missed=sum(match.prediction is None for match in partial),
        partial_extra=sum(match.reference is None for match in partial),
        matches=tuple(matches),
        level_shift=common_shift([(p, r) for p, r in levels if p and r]) if levelled else None,
    )
