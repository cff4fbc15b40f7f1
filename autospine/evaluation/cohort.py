"""Scores of many cases: per structure, per case, overall and by groups of cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from math import isfinite, isnan, nan
from pathlib import Path
from statistics import stdev

import numpy as np

from autospine.core.errors import UserError
from autospine.dataset.cases import UNKNOWN, patient_and_sequence
from autospine.evaluation.calibration import Reliability, calibration
from autospine.evaluation.case import CaseScore, mean_of_known
from autospine.evaluation.instance_counts import InstanceSummary, summarise_instances
from autospine.evaluation.spider import ChallengeCase
from autospine.evaluation.statistics import NO_INTERVAL, Interval, bootstrap, by_patient
from autospine.evaluation.structures import GROUP_OF, METRICS, TOLERANCE_MM, CommonLabels, LabelScore, Presence
from autospine.labels.anatomy import Anatomy, Kind

SEQUENCE, VENDOR, LEVEL, SOURCE = "sequence", "vendor", "level", "source"
VENDOR_COLUMN = "Manufacturer"
MISSING = {"", "nan", "none", "n/a", "unknown"}
MOST_NUMBERS = 6  # a column of more different numbers is cut into thirds
DIGITS = (4, 6, 9, 17)  # the fewest that tell a group from the next are shown; 17 always do


@dataclass(frozen=True)
class LabelSummary:
    """One structure over all cases."""

    anatomy: Anatomy
    name: str  # for people (assumes five lumbar vertebrae)
    all_levels: bool  # it stands for all levels of its kind, beside rows of single levels
    cases: int  # cases that enter the means: at least one mask shows it
    absent: int  # cases in which neither does
    means: Mapping[str, float]  # per metric; NaN if no case enters
    deviations: Mapping[str, float]  # standard deviations (n - 1) per metric; NaN below two cases


@dataclass(frozen=True)
class UnmatchedLabel:
    """An anatomy that only one side has."""

    anatomy: Anatomy
    side: str  # "prediction" or "reference"
    scored: bool  # False if the other side cannot or does not label it at all; True if it counts as an error

    def __str__(self) -> str:
        fate = "scored 0" if self.scored else "not scored"
        return f"{self.anatomy.name} (only in the {self.side}, {fate})"


@dataclass(frozen=True)
class CaseFiles:
    """What a case was scored from."""

    prediction: Path | None  # the predicted mask, or None
    reference: Path  # its reference
    image: Path | None  # the scan, where known
    common: CommonLabels  # the labels that prediction and reference share


@dataclass(frozen=True)
class Evaluation:
    """Scores of a set of cases."""

    cases: tuple[CaseScore, ...]  # in the order of their ids; every case has the same structures
    pred_scheme: str  # label scheme of the predictions
    ref_scheme: str  # label scheme of the references
    unmatched_labels: tuple[UnmatchedLabel, ...] = ()  # anatomies that only predictions or only references hold
    extra: tuple[str, ...] = ()  # ids of predictions without a reference
    failures: tuple[str, ...] = ()  # what went wrong with cases that could not be scored, a line each
    name: str = "prediction"  # of the method that predicted
    tolerance_mm: float = TOLERANCE_MM  # within which a surface counts as right in NSD
    # Whose scan each case is; a case that is not in it belongs to the patient that its id names.
    patients: Mapping[str, str] = field(default_factory=dict)
    # Per column, such as "sequence", the ids of each group.
    strata: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    challenge: tuple[ChallengeCase, ...] = ()  # what SPIDER's own script says; empty unless it was asked for
    # What each case was scored from; empty if masks were never files.
    files: Mapping[str, CaseFiles] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the ids of references without a prediction; they score 0."""
        return tuple(case.id for case in self.cases if case.missing)

    @property
    def resampled(self) -> tuple[str, ...]:
        """Return the ids of the predictions that were brought to their reference's grid."""
        return tuple(case.id for case in self.cases if case.resampled)

    @cached_property
    def counted(self) -> Evaluation:
        """Return the evaluation that counts what is predicted above the annotation as false positives."""
        return replace(self, cases=complete([case.all_counted for case in self.cases])[0])

    @cached_property
    def calibration(self) -> tuple[Reliability, ...]:
        """Return how the reports' confidences fit what is right; empty where no report tells any."""
        return calibration(self.cases)

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Return the ids of the cases whose prediction shows no vertebra, though the reference does."""
        return tuple(case.id for case in self.cases if case.unanswered)

    @property
    def flags(self) -> Mapping[tuple[bool, bool], tuple[str, ...]]:
        """Return the ids of the cases whose report says whether levels are ambiguous, by (flagged, levels wrong)."""
        known = [case for case in self.cases if case.ambiguous is not None and case.levels_wrong is not None]
        outcomes = [(flagged, wrong) for flagged in (True, False) for wrong in (True, False)]
        return {
            outcome: tuple(case.id for case in known if (bool(case.ambiguous), case.levels_wrong) == outcome)
            for outcome in outcomes
        }

    @cached_property
    def labels(self) -> tuple[LabelSummary, ...]:
        """Return every structure over all cases, all levels of a kind last."""
        return tuple(_summary(column) for column in zip(*(case.scores for case in self.cases), strict=True))

    def overall(self, metric: str) -> float:
        """Return the mean of the structures' means, single levels only: every structure weighs the same."""
        return mean_of_known(label.means[metric] for label in self.labels if not label.all_levels)

    @cached_property
    def instances(self) -> tuple[InstanceSummary, ...]:
        """Return vertebrae, discs, ... over all cases, one entry per kind that some reference shows."""
        return summarise_instances([case.instances for case in self.cases])

    def case_values(self, metric: str) -> dict[str, float]:
        """Return the mean of each case (see `CaseScore.mean`) by id, without cases that have no structure."""
        values = {case.id: case.mean(metric) for case in self.cases}
        return {id_: value for id_, value in values.items() if not isnan(value)}

    def case_interval(self, metric: str) -> Interval:
        """Return the mean of the cases' means with its 95 % interval over patients."""
        return self.interval(self.case_values(metric))

    def group_interval(self, ids: Iterable[str], metric: str) -> Interval:
        """Return the mean of some cases' means with its 95 % interval over patients."""
        values = self.case_values(metric)
        return self.interval({id_: values[id_] for id_ in ids if id_ in values})

    def label_interval(self, label: LabelSummary, metric: str) -> Interval:
        """Return the mean of one structure over the cases that show it, with its 95 % interval over patients."""
        return self.interval(self.label_values(label, metric))

    def label_values(self, label: LabelSummary, metric: str) -> dict[str, float]:
        """Return one structure's figure by id, in the cases where it has one."""
        index = self.labels.index(label)
        values = {case.id: getattr(case.scores[index], metric) for case in self.cases}
        return {id_: value for id_, value in values.items() if not isnan(value)}

    def interval(self, values: Mapping[str, float]) -> Interval:
        """Return the mean of values by case id with its interval from resampled patients; NaN of nothing."""
        return bootstrap(by_patient(values, self.patients)) if values else NO_INTERVAL


def _summary(column: Sequence[LabelScore]) -> LabelSummary:
    shown = [score for score in column if score.presence is not Presence.NEITHER]
    values = {metric: [v for score in shown if not isnan(v := getattr(score, metric))] for metric in METRICS}
    return LabelSummary(
        anatomy=column[0].anatomy,
        name=column[0].name,
        all_levels=column[0].all_levels,
        cases=len(shown),
        absent=len(column) - len(shown),
        means={metric: mean_of_known(known) for metric, known in values.items()},
        deviations={metric: stdev(known) if len(known) > 1 else nan for metric, known in values.items()},
    )


def complete(cases: Sequence[CaseScore]) -> tuple[tuple[CaseScore, ...], tuple[UnmatchedLabel, ...]]:
    """Give every case the same structures and list the anatomies that only one side has.

    A kind that no reference shows at all was not annotated (discs in a set of vertebrae): it is listed, not
    scored. A level that no reference shows, among annotated ones, is an error and scores 0.
    """
    scores = [score for case in cases for score in case.scores]
    annotated = {_family(score.anatomy.kind) for score in scores if score.presence is not Presence.PREDICTION}
    rows = sorted(
        {
            (score.all_levels, score.anatomy)
            for score in scores
            if not annotated or _family(score.anatomy.kind) in annotated
        }
    )
    completed = []
    for case in cases:
        by_row = {(score.all_levels, score.anatomy): score for score in case.scores}
        absent = {row: LabelScore(row[1], Presence.NEITHER, row[0]) for row in rows}
        completed.append(replace(case, scores=tuple((absent | by_row)[row] for row in rows)))
    return tuple(completed), _unmatched_labels(cases, {anatomy for _, anatomy in rows})


def _family(kind: Kind) -> int | Kind:
    return GROUP_OF.get(kind, kind)


def _unmatched_labels(cases: Sequence[CaseScore], scored: set[Anatomy]) -> tuple[UnmatchedLabel, ...]:
    shown: dict[Anatomy, set[Presence]] = {}
    for case in cases:
        for score in case.scores:
            if not score.all_levels and not case.missing:
                shown.setdefault(score.anatomy, set()).add(score.presence)
    unmatched = []
    for side, only in (("prediction", Presence.PREDICTION), ("reference", Presence.REFERENCE)):
        inexpressible = {anatomy for case in cases for anatomy in (case.unmatched_labels or {}).get(side, ())}
        unmatched += [UnmatchedLabel(anatomy, side, False) for anatomy in sorted(inexpressible)]
        alone = sorted(anatomy for anatomy, presences in shown.items() if presences == {only})
        unmatched += [UnmatchedLabel(anatomy, side, anatomy in scored) for anatomy in alone]
    return tuple(unmatched)


def strata(
    ids: Iterable[str],
    by: str,
    table: Mapping[str, Mapping[str, str]],
    where: str | Path = "overview.csv",
) -> dict[str, tuple[str, ...]]:
    """Assign cases to groups.

    Args:
        ids: Of the cases.
        by: "sequence" (t1, t2, t2_SPACE, as the id says), "vendor" (the first word of `Manufacturer`), or a
            column of the table. A column of more than 6 different numbers is cut into thirds by its terciles
            over these cases; equal values stay together, so the thirds may differ in size.
        table: Rows of overview.csv by case id (`read_overview`).
        where: The table that an error names.

    Returns:
        Ids by group, each id in exactly one; groups in natural order. A case without a row or a value is in
        "unknown", the last group.

    Raises:
        UserError: The table has no such column, or `by` is "level", by which every table is divided anyway.

    Example:
        >>> strata(["1_t1", "1_t2", "2_t2"], "sequence", {})
        {'t1': ('1_t1',), 't2': ('1_t2', '2_t2')}
    """
    ids = list(ids)
    if by == LEVEL:
        raise UserError(by, "is no group of cases", "read the rows: every level has its own")
    if by == SEQUENCE:
        return _grouped({id_: patient_and_sequence(id_)[1] for id_ in ids})
    column = _column(VENDOR_COLUMN if by == VENDOR else by, table, where)
    texts = {id_: _text(table.get(id_, {}).get(column, "")) for id_ in ids}
    if by == VENDOR:
        return _grouped({id_: _vendor(text) for id_, text in texts.items()})
    numbers = {id_: _number(text) for id_, text in texts.items() if text != UNKNOWN}
    known = [number for number in numbers.values() if number is not None]
    if len(known) < len(numbers):
        return _grouped(texts)
    names = _number_names(known)
    return _grouped({id_: names.get(numbers.get(id_), UNKNOWN) for id_ in ids}, list(names.values()))


def _column(name: str, table: Mapping[str, Mapping[str, str]], where: str | Path) -> str:
    columns = list(dict.fromkeys(column for row in table.values() for column in row if column))
    for column in columns:
        if column.lower() == name.lower():
            return column
    raise UserError(where, f"has no column {name}", f"choose from {', '.join([SEQUENCE, VENDOR, *columns])}")


def _text(value: str) -> str:
    return UNKNOWN if value.strip().lower() in MISSING else value.strip()


def _vendor(text: str) -> str:
    """Return the maker's name: Siemens of "SIEMENS" and "Siemens Healthineers", GE of "GE MEDICAL SYSTEMS"."""
    if text == UNKNOWN:
        return text
    word = text.split(maxsplit=1)[0]
    return word.upper() if len(word) < 4 else word.capitalize()


def _number(text: str) -> float | None:
    """Return a number, or that of a list of equal ones ("[0.625, 0.625]", as DICOM's PixelSpacing is written)."""
    try:
        numbers = {float(part) for part in text.strip("[]").split(",")}
    except ValueError:
        return None
    return numbers.pop() if len(numbers) == 1 and all(map(isfinite, numbers)) else None


def _number_names(known: Sequence[float]) -> dict[float | None, str]:
    """Return the group of each number, ascending: itself, or "from to" of its third."""
    values = sorted(set(known))
    if len(values) <= MOST_NUMBERS:
        groups = [[value] for value in values]
    else:
        thirds = np.searchsorted(np.quantile(known, [1 / 3, 2 / 3]), values)  # (values,) 0, 1 or 2
        groups = [[v for v, third in zip(values, thirds, strict=True) if third == k] for k in range(3)]
    groups = [group for group in groups if group]
    ends = [(low[-1], high[0]) for low, high in pairwise(groups)]
    digits = next(most for most in DIGITS if all(f"{a:.{most}g}" != f"{b:.{most}g}" for a, b in ends))
    return {value: _range(group, digits) for group in groups for value in group}


def _range(values: Sequence[float], digits: int) -> str:
    low, high = (f"{edge:.{digits}g}" for edge in (values[0], values[-1]))
    return low if low == high else f"{low} to {high}"


def _grouped(groups: Mapping[str, str], order: Sequence[str] | None = None) -> dict[str, tuple[str, ...]]:
    """Return ids by group, in the order given or that of the alphabet, the unknown ones last."""
    names = list(dict.fromkeys(groups.values() if order is None else [*order, UNKNOWN]))
    if order is None:
        names.sort(key=lambda name: (name == UNKNOWN, name.lower()))
    members = {name: tuple(id_ for id_, group in groups.items() if group == name) for name in names}
    return {name: ids for name, ids in members.items() if ids}
