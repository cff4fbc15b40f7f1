"""The CSV files of an evaluation, as texts: every figure that the tables are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from math import isnan
from typing import TypeAlias

from autospine.core.tables import csv_text
from autospine.evaluation.case import CaseScore
from autospine.evaluation.cohort import Evaluation
from autospine.evaluation.instance_counts import InstanceMatch
from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.spider import FIELDS, SCRIPT_NAMES
from autospine.evaluation.statistics import PairedTest
from autospine.evaluation.structures import METRICS

Cell: TypeAlias = str | float | int
OPTIONAL = ("calibration.csv", "tests.csv", "challenge.csv", "cases_all_counted.csv", "labels_all_counted.csv")
STATISTICS = ("mean", "sd", "low", "high", "n")


def csv_files(comparison: MethodComparison) -> dict[str, str]:
    """Return texts by file name."""
    statistics = [f"{metric}_{statistic}" for metric in METRICS for statistic in STATISTICS]
    match_columns = ("reference", "prediction", "status", "iou", "dice", "distance_mm", "level_right")
    case_columns = ("case", "anatomy", "name", "all_levels", "presence", *METRICS)
    label_columns = ("anatomy", "name", "all_levels", "cases", "absent", *statistics)
    texts = {
        "cases.csv": _text(case_columns, comparison, _cases),
        "labels.csv": _text(label_columns, comparison, _labels),
        "instances.csv": _text(["case", "kind", *match_columns], comparison, _instances),
    }
    if any(case.above_annotation for method in comparison.methods for case in method.cases):
        texts["cases_all_counted.csv"] = _text(case_columns, comparison, lambda one: _cases(one.counted))
        texts["labels_all_counted.csv"] = _text(label_columns, comparison, lambda one: _labels(one.counted))
    if any(method.calibration for method in comparison.methods):
        columns = ("answer", "low", "high", "answers", "confidence", "right")
        texts["calibration.csv"] = _text(columns, comparison, _calibration)
    if comparison.several:
        texts["tests.csv"] = _tests(comparison.tests)
    if any(method.challenge for method in comparison.methods):
        texts["challenge.csv"] = _text(["case", *SCRIPT_NAMES.values(), "problem"], comparison, _challenge)
    return texts


def _text(
    header: Sequence[str], comparison: MethodComparison, rows: Callable[[Evaluation], Iterator[Sequence[Cell]]]
) -> str:
    """Return the rows of every method, its name first."""
    return csv_text(["method", *header], ([method.name, *row] for method in comparison.methods for row in rows(method)))


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _cases(evaluation: Evaluation) -> Iterator[Sequence[Cell]]:
    for case in evaluation.cases:
        for score in case.scores:
            structure = (score.anatomy.key, score.name, _yes(score.all_levels), score.presence.value)
            yield (case.id, *structure, *(getattr(score, metric) for metric in METRICS))


def _labels(evaluation: Evaluation) -> Iterator[Sequence[Cell]]:
    for label in evaluation.labels:
        row: list[Cell] = [label.anatomy.key, label.name, _yes(label.all_levels), label.cases, label.absent]
        for metric in METRICS:
            values = evaluation.label_values(label, metric)
            interval = evaluation.interval(values)
            row += [label.means[metric], label.deviations[metric], interval.low, interval.high, len(values)]
        yield row


def _instances(evaluation: Evaluation) -> Iterator[Sequence[Cell]]:
    for case in evaluation.cases:
        for score in case.instances:
            for match in score.matches:
                yield _match(case, match, score.levelled)


def _calibration(evaluation: Evaluation) -> Iterator[Sequence[Cell]]:
    for one in evaluation.calibration:
        for part in one.bins:
            yield (one.name, part.low, part.high, part.answers, part.confidence, part.right)


def _match(case: CaseScore, match: InstanceMatch, levelled: bool) -> Sequence[Cell]:
    sides = [anatomy.key if anatomy else "" for anatomy in (match.reference, match.prediction)]
    level = _yes(match.identified) if levelled and match.reference and not match.partial else ""
    return (case.id, match.kind.value, *sides, match_status(match), match.iou, match.dice, match.distance_mm, level)


def match_status(match: InstanceMatch) -> str:
    """Return what a match counts as."""
    if match.partial:
        return "partly visible"
    if match.unmatched_label:
        return "not in the other scheme"
    if match.detected:
        return "detected"
    if match.false_negative and match.false_positive:
        return "false negative and false positive"
    return "false negative" if match.false_negative else "false positive"


def _tests(tests: Sequence[PairedTest]) -> str:
    names = [field.name for field in fields(PairedTest) if field.name not in ("difference", "note")]
    header = [*names[:4], "difference", "difference_low", "difference_high", *names[4:], "note"]
    rows: list[list[Cell]] = []
    for test in tests:
        values = [getattr(test, name) for name in names]
        difference = test.difference
        ends = (difference.mean, difference.low, difference.high)
        rows.append([*values[:4], *ends, *values[4:], test.note])
    return csv_text(header, rows)


def _challenge(evaluation: Evaluation) -> Iterator[Sequence[Cell]]:
    for case in evaluation.challenge:
        figures = [getattr(case.score, name) for name in FIELDS] if case.score else []
        digits = ["" if isnan(value) else repr(float(value)) for value in figures]  # all of them
        yield (case.id, *(digits or [""] * len(FIELDS)), case.problem)
