"""Instances over many cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from statistics import mean

from autospine.evaluation.instance_counts import INSTANCE_METRICS, NAN, InstanceCounts, InstanceScore
from autospine.labels.anatomy import Kind


@dataclass(frozen=True)
class InstanceSummary(InstanceCounts):
    """One kind over all cases: counts are sums, and the rates that follow are those of all instances pooled.

    Attributes:
        cases: Cases that show anything that counts.
        absent_cases: Cases in which neither mask does.
        unshifted: Cases in which every detected instance has its true level.
        shifted: Cases in which all are off by the same, other than 0.
        mixed: Cases in which they differ: some levels right, or off by different numbers.
        undetected: Cases in which nothing is detected, so that no shift can be told.
        means: Mean over `cases` of each of `INSTANCE_METRICS`; a case where it is NaN does not enter.
    """

    cases: int = 0
    absent_cases: int = 0
    unshifted: int = 0
    shifted: int = 0
    mixed: int = 0
    undetected: int = 0
    means: Mapping[str, float] = field(default_factory=dict)

    @property
    def level_shift_rate(self) -> float:
        """Share of cases that are shifted as a whole, 0 to 1.

        Of the cases with a detected instance; mixed ones count as not shifted, undetected ones do not count.
        NaN without any, or without levels.
        """
        known = self.unshifted + self.shifted + self.mixed
        return self.shifted / known if known else NAN


def summarise_instances(cases: Sequence[Sequence[InstanceScore]]) -> tuple[InstanceSummary, ...]:
    """Brings the scores of many cases together, kind by kind.

    A kind that no reference shows was not annotated (discs, in a set of vertebrae): it gets no summary.

    Args:
        cases: What `score_instances` gave for each case.

    Returns:
        One summary per kind, in the order of anatomy.
    """
    by_kind: dict[Kind, list[InstanceScore]] = {}
    for case in cases:
        for score in case:
            by_kind.setdefault(score.kind, []).append(score)
    annotated = [kind for kind, scores in by_kind.items() if any(_annotated(score) for score in scores)]
    return tuple(_summary(kind, by_kind[kind]) for kind in sorted(annotated, key=list(Kind).index))


def _annotated(score: InstanceScore) -> bool:
    return any(match.reference is not None for match in score.matches)


def _summary(kind: Kind, scores: Sequence[InstanceScore]) -> InstanceSummary:
    levelled = all(score.levelled for score in scores)
    told = [score for score in scores if score.levelled and score.detected]
    shifts = [score.level_shift for score in told]
    return InstanceSummary(
        kind=kind,
        levelled=levelled,
        detected=sum(score.detected for score in scores),
        false_positives=sum(score.false_positives for score in scores),
        missed=sum(score.missed for score in scores),
        identified=sum(score.identified for score in scores),
        iou_sum=sum(score.iou_sum for score in scores),
        partial_detected=sum(score.partial_detected for score in scores),
        partial_missed=sum(score.partial_missed for score in scores),
        partial_extra=sum(score.partial_extra for score in scores),
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
    return mean(known) if known else NAN
