"""Calibration: whether labels of which a report is 90 % sure are right in 90 % of the cases.

Reliability by bins of confidence and the expected calibration error (Guo et al., ICML 2017): the mean difference of
confidence and outcome over bins of equal width, weighted by their answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np

from autospine.evaluation.case import CaseScore

BINS = 10
LEVELS = "levels"


@dataclass(frozen=True)
class Bin:
    """Answers whose confidence lies between two figures."""

    low: float
    high: float
    answers: int
    confidence: float  # mean
    right: float  # mean outcome


@dataclass(frozen=True)
class Reliability:
    """Confidence and outcome of answers of one kind."""

    name: str  # "levels", or a kind of structures
    bins: tuple[Bin, ...]  # those that hold answers, ascending

    @property
    def answers(self) -> int:
        """Count the answers."""
        return sum(one.answers for one in self.bins)

    @property
    def confidence(self) -> float:
        """Return the mean confidence."""
        return sum(one.answers * one.confidence for one in self.bins) / self.answers

    @property
    def right(self) -> float:
        """Return the mean outcome."""
        return sum(one.answers * one.right for one in self.bins) / self.answers

    @property
    def expected_calibration_error(self) -> float:
        """Return the mean of the bins' differences, 0 to 1."""
        return sum(one.answers * abs(one.confidence - one.right) for one in self.bins) / self.answers


def reliability(name: str, answers: Iterable[tuple[float, float]]) -> Reliability:
    """Sort `(confidence, outcome)` pairs, each from 0 to 1, into bins."""
    pairs = np.array(list(answers), float).reshape(-1, 2)  # (answers, 2)
    index = np.minimum((pairs[:, 0] * BINS).astype(int), BINS - 1)
    bins = []
    for k in np.unique(index):
        inside = pairs[index == k]
        confidence, right = inside.mean(axis=0)
        bins.append(Bin(float(k) / BINS, (float(k) + 1) / BINS, len(inside), float(confidence), float(right)))
    return Reliability(name, tuple(bins))


def calibration(cases: Sequence[CaseScore]) -> tuple[Reliability, ...]:
    """Compare what the reports of cases say with what is right; empty where no report tells confidences.

    "levels": each detected vertebra or disc that has a confidence, and whether its level is right. Then per kind of
    structure: each predicted label, and the share of its voxels that have this label in the reference.
    """
    levels: list[tuple[float, float]] = []
    kinds: dict[str, list[tuple[float, float]]] = {}
    for case in cases:
        for score in case.instances:
            for match in score.matches if score.levelled else ():
                if match.detected and match.prediction in case.confidences and match.prediction and match.reference:
                    right = match.prediction.level == match.reference.level
                    levels.append((case.confidences[match.prediction], float(right)))
        for label in case.scores:
            if label.anatomy in case.confidences and not (label.all_levels or isnan(label.precision)):
                answer = (case.confidences[label.anatomy], label.precision)
                kinds.setdefault(label.anatomy.kind.value, []).append(answer)
    return tuple(reliability(name, answers) for name, answers in ({LEVELS: levels} | kinds).items() if answers)
