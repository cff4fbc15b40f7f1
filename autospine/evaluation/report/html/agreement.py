"""Agreement of volumes (Bland and Altman 1986, "Statistical methods for assessing agreement")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from autospine.evaluation.cohort import Evaluation
from autospine.evaluation.report.tables import PLURALS
from autospine.evaluation.structures import LabelScore, Presence

WIDTH = 1.96  # standard deviations: 95 % of a normal distribution


@dataclass(frozen=True)
class Agreement:
    """Volumes of one kind of structure, measured twice.

    Attributes:
        kind: For people.
        means: Of prediction and reference, ml.
        differences: Prediction minus reference, ml.
        left_out: Structures that only one mask shows.
    """

    kind: str
    means: tuple[float, ...]
    differences: tuple[float, ...]
    left_out: int

    @property
    def bias(self) -> float:
        """Mean difference, ml."""
        return mean(self.differences)

    @property
    def limits(self) -> tuple[float, float]:
        """Bias minus and plus 1.96 standard deviations of the differences, ml."""
        spread = WIDTH * stdev(self.differences)
        return self.bias - spread, self.bias + spread


def agreements(evaluation: Evaluation, most: int = 4) -> list[Agreement]:
    """One per kind with at least two structures that both masks show, at most `most`, the most frequent first."""
    by_kind: dict[str, list[LabelScore]] = {}
    for case in evaluation.cases:
        for score in case.scores:
            if not score.union and score.presence is not Presence.NEITHER:
                kind = PLURALS.get(score.anatomy.kind, score.anatomy.kind.value)
                by_kind.setdefault(kind, []).append(score)
    found = [_agreement(kind, scores) for kind, scores in by_kind.items()]
    found = [each for each in found if len(each.means) > 1]
    return sorted(found, key=lambda each: -len(each.means))[:most]


def _agreement(kind: str, scores: Sequence[LabelScore]) -> Agreement:
    both = [score for score in scores if score.presence is Presence.BOTH]
    return Agreement(
        kind,
        tuple((score.predicted_volume_ml + score.volume_ml) / 2 for score in both),
        tuple(score.volume_error_ml for score in both),
        len(scores) - len(both),
    )
