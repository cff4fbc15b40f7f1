"""Vertebrae and discs as countable things: which are detected, which are false positives, which have the right level.

Instances of one kind are matched one to one by their overlap, whatever their levels; a pair with an IoU of
0.5 or more is a detection. (Kirillov et al. 2019, "Panoptic segmentation", ask for more than 0.5; the two
differ at exactly 0.5 only.) A pair below that is a false negative and a false positive.

Outside all counts stand

- partly visible vertebrae (SPIDER's 101 to 125) of the reference, detected or not, and every predicted vertebra
  of which the larger part lies on them, as Kirillov et al. do with void regions;
- predicted partly visible vertebrae; a whole vertebra predicted as a partly visible one is a false negative;
- what the other scheme cannot express (vertebra 10 against a scheme that ends at 9), unless it is detected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autospine.evaluation.instance_counts import InstanceMatch, InstanceScore
from autospine.evaluation.mask_pair import MaskPair
from autospine.evaluation.matching import (
    Overlaps,
    best_matching,
    common_kinds,
    common_shift,
    family,
    find_overlaps,
    identified,
)
from autospine.evaluation.structures import common_labels
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import LabelScheme

THRESHOLD = 0.5
MOSTLY = 0.5  # of a prediction: so much of it on partly visible vertebrae, and it is none of the others


def score_instances(pair: MaskPair, threshold: float = THRESHOLD) -> tuple[InstanceScore, ...]:
    """Count the instances of one case.

    Args:
        pair: Both masks. What either leaves unlabelled is in no instance.
        threshold: IoU from which a pair of instances is a detection.

    Returns:
        One score per kind of instance (vertebrae, discs, bodies, laminae, foramina) that both schemes have,
        whether or not the masks show any.

    Raises:
        UserError: A mask holds fractions or a label outside its scheme.
    """
    overlaps = find_overlaps(pair)
    common = common_labels(*pair.schemes)
    unmatched = {*common.prediction.lost, *common.reference.lost}
    scores = []
    for kind in common_kinds(*pair.schemes):
        levelled = all(_has_levels(scheme, kind) for scheme in pair.schemes)
        scores.append(_score(kind, levelled, _matches(_of_kind(overlaps, kind), kind, unmatched, threshold)))
    return tuple(scores)


def _has_levels(scheme: LabelScheme, kind: Kind) -> bool:
    return any(anatomy.kind is kind and anatomy.level is not None for anatomy in scheme.anatomies.values())


def _of_kind(overlaps: Overlaps, kind: Kind) -> Overlaps:
    predictions = [index for index, anatomy in enumerate(overlaps.predictions) if family(anatomy.kind) is kind]
    references = [index for index, anatomy in enumerate(overlaps.references) if family(anatomy.kind) is kind]
    return Overlaps(
        tuple(overlaps.predictions[index] for index in predictions),
        tuple(overlaps.references[index] for index in references),
        overlaps.shared[np.ix_(predictions, references)],
        overlaps.predicted[predictions],
        overlaps.annotated[references],
        overlaps.prediction_centroids[predictions],
        overlaps.reference_centroids[references],
    )


@dataclass(frozen=True)
class _Exclusions:
    """Which of the P predicted and R reference instances of one kind are outside the counts."""

    partial: tuple[np.ndarray, np.ndarray]  # partly visible in the prediction (P,) and in the reference (R,)
    excused: np.ndarray  # (P,) partly visible, or lying mostly on what is partly visible in the reference
    unmatched: tuple[np.ndarray, np.ndarray]  # the other scheme has no label for it, (P,) and (R,)


def _matches(overlaps: Overlaps, kind: Kind, unmatched: set[Anatomy], threshold: float) -> list[InstanceMatch]:
    sides = overlaps.predictions, overlaps.references
    partial = [np.array([anatomy.kind is Kind.PARTIAL_VERTEBRA for anatomy in side], bool) for side in sides]
    coverage = overlaps.shared / overlaps.predicted[:, None]  # (P, R) share of the prediction
    exclusions = _Exclusions(
        partial=(partial[0], partial[1]),
        excused=partial[0] | (coverage[:, partial[1]].sum(axis=1) >= MOSTLY),
        unmatched=(_among(sides[0], unmatched), _among(sides[1], unmatched)),
    )
    forbidden = partial[0][:, None] & ~partial[1]
    forbidden |= ~partial[0][:, None] & partial[1] & (coverage < MOSTLY)
    pairs = best_matching(np.where(forbidden, 0.0, overlaps.iou), threshold)
    return _all_matches(overlaps, kind, exclusions, pairs, threshold)


def _among(anatomies: Sequence[Anatomy], some: set[Anatomy]) -> np.ndarray:
    return np.array([anatomy in some for anatomy in anatomies], bool)


def _all_matches(
    overlaps: Overlaps, kind: Kind, exclusions: _Exclusions, pairs: Sequence[tuple[int, int]], threshold: float
) -> list[InstanceMatch]:
    """Put every instance in one match; a pair below the threshold falls apart if only one of the two counts."""
    iou, dice = overlaps.iou, overlaps.dice  # (P, R)
    level_right = _identified(overlaps, exclusions)
    matches, predictions_left, references_left = [], set(range(len(iou))), set(range(len(level_right)))
    for p, r in pairs:
        partial, detected = bool(exclusions.partial[1][r]), bool(iou[p, r] >= threshold)
        counts = not (exclusions.excused[p] or exclusions.unmatched[0][p] or exclusions.unmatched[1][r])
        if not (partial or detected or counts):
            continue
        distance = np.linalg.norm(overlaps.prediction_centroids[p] - overlaps.reference_centroids[r])
        matches.append(
            InstanceMatch(
                kind=kind,
                reference=overlaps.references[r],
                prediction=overlaps.predictions[p],
                iou=float(iou[p, r]),
                dice=float(dice[p, r]),
                distance_mm=float(distance),
                detected=detected and not partial,
                identified=level_right[r],
                partial=partial,
            )
        )
        predictions_left.remove(p)
        references_left.remove(r)
    for p in sorted(predictions_left):
        partial, unmatched = bool(exclusions.excused[p]), bool(exclusions.unmatched[0][p])
        alone = InstanceMatch(kind, None, overlaps.predictions[p], partial=partial)
        matches.append(replace(alone, unmatched_label=unmatched and not partial))
    for r in sorted(references_left):
        partial, unmatched = bool(exclusions.partial[1][r]), bool(exclusions.unmatched[1][r])
        alone = InstanceMatch(kind, overlaps.references[r], None, partial=partial, identified=level_right[r])
        matches.append(replace(alone, unmatched_label=unmatched and not partial))
    return sorted(matches, key=_order)


def _order(match: InstanceMatch) -> tuple[Anatomy, bool]:
    return match.reference or match.prediction or Anatomy(match.kind), match.reference is None


def _identified(overlaps: Overlaps, exclusions: _Exclusions) -> list[bool]:
    """Identify whole vertebrae among whole vertebrae; a partly visible one has no level to be right about."""
    whole = ~exclusions.partial[0]
    predictions = [anatomy for anatomy, kept in zip(overlaps.predictions, whole, strict=True) if kept]
    centroids = overlaps.prediction_centroids[whole]
    level_right = identified(predictions, centroids, overlaps.references, overlaps.reference_centroids)
    return [right and not partial for right, partial in zip(level_right, exclusions.partial[1], strict=True)]


def _score(kind: Kind, levelled: bool, matches: Sequence[InstanceMatch]) -> InstanceScore:
    detected = [match for match in matches if match.detected]
    partial = [match for match in matches if match.partial]
    levels = [
        (match.prediction.level, match.reference.level) for match in detected if match.prediction and match.reference
    ]
    return InstanceScore(
        kind=kind,
        levelled=levelled,
        detected=len(detected),
        false_positives=sum(match.false_positive for match in matches),
        false_negatives=sum(match.false_negative for match in matches),
        identified=sum(match.identified for match in matches),
        iou_sum=sum(match.iou for match in detected),
        partial_detected=sum(bool(match.reference and match.prediction) for match in partial),
        partial_false_negatives=sum(match.prediction is None for match in partial),
        partial_extra=sum(match.reference is None for match in partial),
        matches=tuple(matches),
        level_shift=common_shift([(p, r) for p, r in levels if p and r]) if levelled else None,
    )
