"""What is counted of the instances of one kind, in one case or in many, and the rates that follow.

With nothing to count in either mask every rate is NaN ("absent"), with instances in only one of them 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from statistics import mean

from autospine.labels.anatomy import Anatomy, Kind

INSTANCE_METRICS = ("precision", "recall", "f1", "sq", "rq", "pq", "identification_rate")
SUMS = (
    *("detected", "false_positives", "false_negatives", "identified", "iou_sum"),
    *("partial_detected", "partial_false_negatives", "partial_extra"),
)


@dataclass(frozen=True)
class InstanceMatch:
    """A reference instance and the predicted one that stands for it, or either of them alone."""

    kind: Kind  # what they are
    reference: Anatomy | None  # anatomy in the reference, None if only the prediction shows something here
    prediction: Anatomy | None  # anatomy in the prediction, None if nothing stands for the reference instance
    iou: float = 0.0  # and `dice`: their overlap, 0 to 1; 0 if alone
    dice: float = 0.0
    distance_mm: float = nan  # between their centroids; NaN if alone
    detected: bool = False  # IoU at or above the threshold, of whole instances
    identified: bool = False  # the prediction nearest to the reference has its level, see `matching.identified`
    partial: bool = False  # a partly visible vertebra is involved: in no count but its own
    unmatched_label: bool = False  # alone, and the other scheme has no label for it: in no count

    @property
    def false_negative(self) -> bool:
        """Return whether it counts as a reference instance that is not detected."""
        return self.reference is not None and not (self.detected or self.partial or self.unmatched_label)

    @property
    def false_positive(self) -> bool:
        """Return whether it counts as a predicted instance without a counterpart."""
        return self.prediction is not None and not (self.detected or self.partial or self.unmatched_label)


@dataclass(frozen=True)
class InstanceCounts:
    """Instances of one kind, of one case or of many, and the rates that follow."""

    kind: Kind  # what is counted
    levelled: bool = True  # both schemes number their instances; without, nothing can be identified
    detected: int = 0  # pairs at or above the threshold (TP)
    false_positives: int = 0  # predicted instances without such a counterpart (FP)
    false_negatives: int = 0  # reference instances without one (FN)
    identified: int = 0  # reference instances whose level is right, see `matching.identified`
    iou_sum: float = 0.0  # over the detected pairs
    partial_detected: int = 0  # partly visible vertebrae of the reference that the prediction shows, whole or partial
    partial_false_negatives: int = 0  # those that it does not show
    partial_extra: int = 0  # further predictions on them, and predicted partly visible vertebrae that are none

    @property
    def references(self) -> int:
        """Return the number of reference instances that count: TP + FN."""
        return self.detected + self.false_negatives

    @property
    def predictions(self) -> int:
        """Return the number of predicted instances that count: TP + FP."""
        return self.detected + self.false_positives

    @property
    def absent(self) -> bool:
        """Return whether neither mask shows anything that counts; all rates are NaN then."""
        return self.references == self.predictions == 0

    @property
    def precision(self) -> float:
        """Return TP / (TP + FP), 0 to 1."""
        return self._share(self.detected, self.predictions)

    @property
    def recall(self) -> float:
        """Return TP / (TP + FN), 0 to 1."""
        return self._share(self.detected, self.references)

    @property
    def f1(self) -> float:
        """Return 2 TP / (2 TP + FP + FN), 0 to 1."""
        return self._share(2 * self.detected, self.references + self.predictions)

    @property
    def sq(self) -> float:
        """Return the segmentation quality, 0 to 1: mean IoU of the detected pairs (Kirillov et al. 2019, eq. 2)."""
        return self._share(self.iou_sum, self.detected)

    @property
    def rq(self) -> float:
        """Return the recognition quality, 0 to 1: TP / (TP + FP / 2 + FN / 2), which is F1 (Kirillov et al., eq. 2)."""
        return self.f1

    @property
    def pq(self) -> float:
        """Return the panoptic quality SQ x RQ, 0 to 1 (Kirillov et al. 2019, eq. 1)."""
        return self.sq * self.rq

    @property
    def identification_rate(self) -> float:
        """Return identified over all reference instances, 0 to 1; NaN without levels or reference instances."""
        return self.identified / self.references if self.levelled and self.references else nan

    def _share(self, part: float, whole: float) -> float:
        if self.absent:
            return nan
        return part / whole if whole else 0.0


@dataclass(frozen=True)
class InstanceScore(InstanceCounts):
    """One kind of one case."""

    # Every instance of either mask stands in exactly one; in the order of anatomy.
    matches: tuple[InstanceMatch, ...] = ()
    # Predicted minus true level if that is the same for all detected instances (0: all right); None if it is not, if
    # nothing is detected, or without levels.
    level_shift: int | None = None


@dataclass(frozen=True)
class InstanceSummary(InstanceCounts):
    """One kind over all cases: counts are sums, and the rates that follow are those of all instances pooled."""

    cases: int = 0  # cases that show anything that counts
    absent_cases: int = 0  # cases in which neither mask does
    unshifted: int = 0  # cases in which every detected instance has its true level
    shifted: int = 0  # cases in which all are off by the same, other than 0
    mixed: int = 0  # cases in which they differ: some levels right, or off by different numbers
    undetected: int = 0  # cases in which nothing is detected, so that no shift can be told
    # Mean over `cases` of each of `INSTANCE_METRICS`; a case where it is NaN does not enter.
    means: Mapping[str, float] = field(default_factory=dict)

    @property
    def level_shift_rate(self) -> float:
        """Return the share of cases that are shifted as a whole, 0 to 1.

        Of the cases with a detected instance; mixed ones count as not shifted, undetected ones do not count.
        NaN without any, or without levels.
        """
        known = self.unshifted + self.shifted + self.mixed
        return self.shifted / known if known else nan


def summarise_instances(cases: Sequence[Sequence[InstanceScore]]) -> tuple[InstanceSummary, ...]:
    """Summarise the scores of many cases, kind by kind, in the order of anatomy.

    A kind that no reference shows was not annotated (discs, in a set of vertebrae): it gets no summary.
    """
    by_kind: dict[Kind, list[InstanceScore]] = {}
    for score in (score for case in cases for score in case):
        by_kind.setdefault(score.kind, []).append(score)
    annotated = {
        kind
        for kind, scores in by_kind.items()
        if any(match.reference is not None for score in scores for match in score.matches)
    }
    return tuple(_summary(kind, by_kind[kind]) for kind in Kind if kind in annotated)


def _summary(kind: Kind, scores: Sequence[InstanceScore]) -> InstanceSummary:
    shifts = [score.level_shift for score in scores if score.levelled and score.detected]
    return InstanceSummary(
        kind=kind,
        levelled=all(score.levelled for score in scores),
        **{name: sum(getattr(score, name) for score in scores) for name in SUMS},
        cases=sum(not score.absent for score in scores),
        absent_cases=sum(score.absent for score in scores),
        unshifted=shifts.count(0),
        shifted=sum(shift is not None and shift != 0 for shift in shifts),
        mixed=shifts.count(None),
        undetected=sum(not (score.absent or score.detected) for score in scores),
        means={metric: _mean([getattr(score, metric) for score in scores]) for metric in INSTANCE_METRICS},
    )


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not isnan(value)]
    return mean(known) if known else nan
