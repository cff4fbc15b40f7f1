"""The CSV files of a study, as texts: every figure that the tables are made of."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from math import isnan
from typing import TypeAlias

from autospine.evaluation.cohort import CaseScore, Evaluation
from autospine.evaluation.instances import Match
from autospine.evaluation.spider import FIELDS, KEYS
from autospine.evaluation.statistics import PairedTest
from autospine.evaluation.structures import METRICS
from autospine.evaluation.study import MethodComparison

Cell: TypeAlias = str | float | int
OPTIONAL = ("tests.csv", "official.csv")
STATISTICS = ("mean", "sd", "low", "high", "n")


def all_sheets(study: MethodComparison) -> dict[str, str]:
    """Texts by file name."""
    found = {
        "cases.csv": _text(["case", "anatomy", "name", "union", "presence", *METRICS], study, _cases),
        "labels.csv": _text(["anatomy", "name", "union", "cases", "absent", *_columns(METRICS)], study, _labels),
        "instances.csv": _text(
            [
                "case",
                "kind",
                "reference",
                "prediction",
                "status",
                "iou",
                "dice",
                "distance_mm",
                "level_right",
            ],
            study,
            _instances,
        ),
    }
    if len(study.systems) > 1:
        found["tests.csv"] = _tests(study.tests)
    if any(system.official for system in study.systems):
        found["official.csv"] = _text(["case", *KEYS.values(), "fault"], study, _official)
    return found


def _columns(metrics: Sequence[str]) -> list[str]:
    return [f"{metric}_{statistic}" for metric in metrics for statistic in STATISTICS]


def _text(
    header: Sequence[str], study: MethodComparison, rows: Callable[[Evaluation], Iterator[Sequence[Cell]]]
) -> str:
    """Rows of every system, its name first."""
    return _csv(["system", *header], ([one.name, *row] for one in study.systems for row in rows(one)))


def _csv(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue()


def _cell(value: Cell) -> str:
    """Six digits; nothing for a figure that does not exist."""
    if isinstance(value, float):
        return "" if isnan(value) else f"{value:.6g}"
    return str(value)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _cases(evaluation: Evaluation) -> Iterator[Sequence[Cell]]:
    for case in evaluation.cases:
        for score in case.scores:
            words = (score.anatomy.key, score.name, _yes(score.union), score.presence.value)
            yield (case.id, *words, *(getattr(score, metric) for metric in METRICS))


def _labels(evaluation: Evaluation) -> Iterator[Sequence[Cell]]:
    for label in evaluation.labels:
        row: list[Cell] = [label.anatomy.key, label.name, _yes(label.union), label.cases, label.absent]
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


def _match(case: CaseScore, match: Match, levelled: bool) -> Sequence[Cell]:
    sides = [one.key if one else "" for one in (match.reference, match.prediction)]
    level = _yes(match.identified) if levelled and match.reference and not match.partial else ""
    figures = (match.iou, match.dice, match.distance_mm)
    return (case.id, match.kind.value, *sides, match_status(match), *figures, level)


def match_status(match: Match) -> str:
    """What a match counts as, in words."""
    if match.partial:
        return "partly visible"
    if match.beyond:
        return "not in the other scheme"
    if match.detected:
        return "detected"
    if match.missed and match.false_positive:
        return "missed and false positive"
    return "missed" if match.missed else "false positive"


def _tests(tests: Sequence[PairedTest]) -> str:
    names = [one.name for one in fields(PairedTest) if one.name not in ("difference", "note")]
    header = [*names[:4], "difference", "difference_low", "difference_high", *names[4:], "note"]
    rows: list[list[Cell]] = []
    for test in tests:
        values = [getattr(test, name) for name in names]
        apart = test.difference
        rows.append([*values[:4], apart.mean, apart.low, apart.high, *values[4:], test.note])
    return _csv(header, rows)


def _official(evaluation: Evaluation) -> Iterator[Sequence[Cell]]:
    for case in evaluation.official:
        figures = [float(getattr(case.score, name)) if case.score else float("nan") for name in FIELDS]
        yield (
            case.id,
            *("" if isnan(value) else repr(value) for value in figures),
            case.problem,
        )  # all digits
