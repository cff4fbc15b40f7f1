"""SPIDER's figures beside AutoSpine's for the same quantities, and why they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isnan, nan
from statistics import mean, stdev

from autospine.core.tables import counted
from autospine.evaluation.case import CaseScore, mean_of_known
from autospine.evaluation.spider import CANAL, NO_CANAL, ChallengeCase, LabelMatch, aggregate
from autospine.labels.anatomy import Kind


@dataclass(frozen=True)
class Quantity:
    """A row of the table: one figure, made both ways."""

    field: str  # of `ChallengeScore`
    title: str  # for people
    kind: Kind | None  # the structures that enter; None for all
    metric: str | None  # what AutoSpine's figure averages; None for the detection rate


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
class CaseMean:
    """Mean, standard deviation (n - 1) and number of cases of a figure; NaN where there are too few."""

    mean: float
    deviation: float
    cases: int


@dataclass(frozen=True)
class BothFigures:
    """One quantity by the challenge's script and by AutoSpine."""

    quantity: Quantity
    challenge: CaseMean
    autospine: CaseMean


def side_by_side(challenge: Sequence[ChallengeCase], cases: Sequence[CaseScore]) -> tuple[BothFigures, ...]:
    """Put every figure of the script beside AutoSpine's, over all cases that each could score."""
    scores = [case.score for case in challenge if case.score is not None]
    means, deviations = aggregate(scores)
    rows = []
    for quantity in QUANTITIES:
        field = quantity.field
        known = sum(not isnan(getattr(score, field)) for score in scores)
        script = CaseMean(getattr(means, field), getattr(deviations, field), known)
        values = [value for case in cases if not isnan(value := autospine_figure(case, quantity))]
        own = CaseMean(mean_of_known(values), stdev(values) if len(values) > 1 else nan, len(values))
        rows.append(BothFigures(quantity, script, own))
    return tuple(rows)


def autospine_figure(case: CaseScore, quantity: Quantity) -> float:
    """Return AutoSpine's figure of one case: the mean over the structures that either mask shows; NaN without any.

    A structure that only one mask shows enters with Dice 0 and the image's diagonal. The detection rate is the
    recall of instances.
    """
    if quantity.metric is None:
        return next((score.recall for score in case.instances if score.kind is quantity.kind), nan)
    if quantity.kind is None:
        return case.mean(quantity.metric)
    scores = [score for score in case.scores if score.anatomy.kind is quantity.kind and not score.all_levels]
    return mean_of_known(getattr(score, quantity.metric) for score in scores)


def differences(challenge: Sequence[ChallengeCase]) -> tuple[str, ...]:
    """Return one line for each rule of the script that changed a figure here."""
    return tuple(line for line in _differences(challenge) if line)


def _differences(challenge: Sequence[ChallengeCase]) -> Iterator[str]:
    yield _by_overlap(challenge)
    yield _counted(
        [case.false_positives for case in challenge],
        "predicted label",
        "with no counterpart (false positives) cost nothing there",
    )
    shared = [_repeated([match.prediction for match in case.matches if match.prediction]) for case in challenge]
    yield _counted(shared, "predicted label", "taken for several structures of the reference at once")
    yield _counted(
        _matching(challenge, lambda m: not m.detected and (m.reference < CANAL or m.reference > 200)),
        "structure",
        "with a Dice below 0.1 left out of the mean Dice of vertebrae and discs there (0 here)",
    )
    yield _counted(
        _matching(challenge, lambda m: m.prediction == 0),
        "structure",
        "without any overlap: the ASD is NaN there and its case's mean is skipped (here the image's diagonal)",
    )
    yield _spacing(challenge)
    yield _affected(
        sum(case.score is not None and case.score.dice_canal == NO_CANAL for case in challenge),
        "no canal in the reference",
        "999 enters the canal's means there",
    )
    yield _counted(
        _matching(challenge, lambda m: CANAL < m.reference <= 200),
        "reference label",
        "from 101 to 200 (partial vertebrae) counted in the overall figures only",
    )
    yield _affected(
        sum(case.other_grid for case in challenge),
        "prediction on another grid",
        "not looked at there (here put in order if only the order of voxels differs, else an error)",
    )
    yield _affected(
        sum(case.missing for case in challenge),
        "no prediction",
        "scored as an empty mask in both columns (the script itself needs a file)",
    )
    yield _affected(
        sum(case.score is None for case in challenge),
        "the script dies",
        "not in the challenge's column, see the errors",
    )


def _by_overlap(challenge: Sequence[ChallengeCase]) -> str:
    renumbered = [[m for m in case.matches if m.prediction not in (0, m.reference)] for case in challenge]
    neighbours = sum(
        abs(m.prediction - m.reference) == 1 and max(m.prediction, m.reference) < CANAL
        for matches in renumbered
        for m in matches
    )
    level = f" ({neighbours} of them vertebrae, one level off)" if neighbours else ""
    text = f"matched by overlap to a label of another number, at no cost there{level}"
    return _counted([len(matches) for matches in renumbered], "label", text)


def _repeated(labels: Sequence[int]) -> int:
    return sum(labels.count(label) > 1 for label in set(labels))


def _matching(challenge: Sequence[ChallengeCase], condition: Callable[[LabelMatch], bool]) -> list[int]:
    """Return for each case how many of its matches meet a condition."""
    return [sum(map(condition, case.matches)) for case in challenge]


def _spacing(challenge: Sequence[ChallengeCase]) -> str:
    pairs = [
        (mean_of_known(m.asd_mm for m in case.matches), mean_of_known(m.asd_correct_order_mm for m in case.matches))
        for case in challenge
        if case.mixed_spacing
    ]
    pairs = [pair for pair in pairs if pair[0] > 0]
    if not pairs:
        return ""
    script, correct = (mean(side) for side in zip(*pairs, strict=True))
    effect = f"overall ASD {script:.3f} mm there, {correct:.3f} mm with the right order and the same rules"
    return _affected(len(pairs), "spacing read in the wrong order", effect)


def _counted(counts: Sequence[int], noun: str, text: str) -> str:
    """Return a line about something that was counted in every case; nothing if it never occurred."""
    total, cases = sum(counts), sum(count > 0 for count in counts)
    return f"{counted(total, noun)} {text} ({counted(cases, 'case')})" if total else ""


def _affected(cases: int, what: str, text: str) -> str:
    return f"{what} ({counted(cases, 'case')}): {text}" if cases else ""
