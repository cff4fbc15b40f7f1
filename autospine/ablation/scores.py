"""Scores of one variant: one value per case, structure and metric."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from statistics import mean, stdev

from autospine.core.errors import UserError
from autospine.evaluation.case import mean_of_known

NAN = float("nan")
MEAN = "mean"  # of a case's structures
SLICE = "_slice"  # between a case's id and the number of one of its slices


@dataclass(frozen=True)
class Score:
    """One structure of one case, or of one of its slices."""

    case: str  # the case's id
    structure: str
    values: Mapping[str, float]  # by metric; NaN for what does not exist


@dataclass(frozen=True)
class StructureSummary:
    """One structure over all cases."""

    count: int  # values
    mean: float  # of them; NaN without any
    deviation: float  # standard deviation (n - 1); NaN below two


def read_cases(folder: Path, metrics: Sequence[str]) -> list[Score]:
    """Read scores from the cases.csv of a validated model, by anatomy, and compute each case's mean over them.

    Raises:
        UserError: The file is missing, or lacks a metric.
    """
    path = folder / "cases.csv"
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "delete the model and train again") from error
    if rows and "all_levels" not in rows[0]:
        raise UserError(path, "was written by another version of AutoSpine", "delete the model and train again")
    by_case: dict[str, list[Score]] = {}
    by_case_means: list[Score] = []
    for row in rows:
        if row["all_levels"] == "yes":
            continue
        try:
            values = {metric: float(row[metric] or NAN) for metric in metrics}
        except KeyError as error:
            raise UserError(path, f"has no column {error}", "choose a metric that is scored") from error
        by_case.setdefault(row["case"], []).append(Score(_case_of(row["case"]), row["anatomy"], values))
    for scores in by_case.values():
        means = {metric: mean_of_known(score.values[metric] for score in scores) for metric in metrics}
        by_case_means.append(Score(scores[0].case, MEAN, means))
    return [score for scores in by_case.values() for score in scores] + by_case_means


def _case_of(name: str) -> str:
    """Return the case of a row; rows of slices are called after their case."""
    case, separator, number = name.rpartition(SLICE)
    return case if separator and number.isdigit() else name


def structures_of(scores: Iterable[Score]) -> tuple[str, ...]:
    """Return the structures' names, in the order in which they appear."""
    return tuple(dict.fromkeys(score.structure for score in scores))


def values_of(scores: Iterable[Score], structure: str, metric: str) -> Iterator[tuple[str, float]]:
    """Yield case and value of a structure where there is one."""
    for score in scores:
        if score.structure == structure and not isnan(score.values.get(metric, NAN)):
            yield score.case, score.values[metric]


def summarise(scores: Iterable[Score], structure: str, metric: str) -> StructureSummary:
    """Compute mean and deviation of one structure."""
    values = [value for _, value in values_of(scores, structure, metric)]
    return StructureSummary(len(values), mean(values) if values else NAN, stdev(values) if len(values) > 1 else NAN)
