"""What an evaluation says, as tables of words: the terminal, Markdown and the page show the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan

from autospine.evaluation.cohort import CaseScore, Evaluation
from autospine.evaluation.instances import InstanceSummary
from autospine.evaluation.protocol import Spread, side_by_side
from autospine.evaluation.statistics import Interval
from autospine.evaluation.study import MethodComparison
from autospine.labels.anatomy import Kind

TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
    "nsd": "NSD",
    "nsd_reference": "NSD of the reference",
    "asd_mm": "ASD mm",
    "asd_prediction_mm": "ASD mm, from the prediction",
    "asd_reference_mm": "ASD mm, from the reference",
    "hd_mm": "HD mm",
    "hd95_mm": "HD95 mm",
    "volume_ml": "volume ml",
    "predicted_volume_ml": "predicted volume ml",
    "volume_error_ml": "volume error ml",
    "volume_error_share": "volume error",
    "log_loss": "log loss",
}
COLUMNS = ("dice", "iou", "precision", "recall", "nsd", "asd_mm", "hd95_mm")
SPREAD = ("dice", "asd_mm")  # those whose deviation stands in the tables; all others' are in labels.csv
HEADLINES = ("dice", "nsd", "asd_mm", "hd95_mm")
PLURALS = {
    Kind.VERTEBRA: "vertebrae",
    Kind.DISC: "discs",
    Kind.BODY: "vertebral bodies",
    Kind.LAMINA: "laminae",
    Kind.FORAMEN: "foramina",
}
MOST_CASES = 30  # more than that and only the worst are shown
WORST = 10
NONE = "-"


@dataclass(frozen=True)
class Table:
    """Rows of words.

    Attributes:
        title: What they are about.
        rows: The first is the header; the first column is text, the others are figures.
        note: What a reader has to know, or nothing.
    """

    title: str
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def figure(metric: str, value: float, deviation: float = float("nan")) -> str:
    """A figure with as many digits as its unit deserves, and its deviation if there is one."""
    if isnan(value):
        return NONE
    digits = 2 if metric.endswith(("_mm", "_ml")) else 3
    spread = "" if isnan(deviation) else f" ± {deviation:.{digits}f}"
    return f"{value:.{digits}f}{spread}"


def interval_text(metric: str, interval: Interval) -> str:
    """A mean with its interval: "0.912 [0.897, 0.924]"."""
    text = figure(metric, interval.mean)
    if isnan(interval.low):
        return text
    return f"{text} [{figure(metric, interval.low)}, {figure(metric, interval.high)}]"


def share_text(value: float) -> str:
    """A share as a percentage."""
    return NONE if isnan(value) else f"{100 * value:.1f} %"


def tables(study: MethodComparison) -> Iterator[Table]:
    """The tables of a study, in the order in which they are read; groups and cases of the first system only."""
    several = len(study.systems) > 1
    if several:
        yield from comparison_tables(study)
    for system in study.systems:
        for table in system_tables(system, system is study.first):
            yield replace(table, title=titled(table.title, system.name)) if several else table


def comparison_tables(study: MethodComparison) -> Iterator[Table]:
    """Systems side by side, and their tests if there are any."""
    yield system_table(study)
    if study.tests:
        yield test_table(study)


def titled(title: str, name: str) -> str:
    """A title that says which system it is about."""
    return f"{title} ({name})"


def system_tables(evaluation: Evaluation, whole: bool) -> Iterator[Table]:
    """The tables of one system: the whole set, or what it is compared by."""
    if evaluation.official:
        yield official_table(evaluation)
    yield label_table(evaluation)
    if evaluation.instances:
        yield instance_table(evaluation)
    if whole:
        for column in evaluation.strata:
            yield strata_table(evaluation, column)
        yield case_table(evaluation)


def label_table(evaluation: Evaluation) -> Table:
    """A row per structure, unions last, and the mean over structures."""
    absent = any(label.absent for label in evaluation.labels)
    rows = [("structure", "cases", *(["absent"] if absent else []), *_titles())]
    for label in sorted(evaluation.labels, key=lambda label: label.union):
        figures = [
            figure(metric, label.means[metric], label.deviations[metric] if metric in SPREAD else float("nan"))
            for metric in COLUMNS
        ]
        rows.append((label.name, str(label.cases), *([str(label.absent)] if absent else []), *figures))
    figures = [figure(metric, evaluation.overall(metric)) for metric in COLUMNS]
    rows.append(("overall", str(len(evaluation.cases)), *([""] if absent else []), *figures))
    return Table("Structures", tuple(rows))


def case_table(evaluation: Evaluation) -> Table:
    """A row per case, or the worst ones of many, and the mean over cases."""
    cases, title = list(evaluation.cases), "case"
    if len(cases) > MOST_CASES:
        cases, title = worst_cases(evaluation, WORST), f"lowest {WORST} cases"
    rows = [(title, "structures", *_titles())]
    for case in cases:
        count = sum(not score.union and not isnan(score.dice) for score in case.scores)
        rows.append((case.id, str(count), *(figure(metric, case.mean(metric)) for metric in COLUMNS)))
    means = [evaluation.case_interval(metric).mean for metric in COLUMNS]
    figures = [figure(metric, mean) for metric, mean in zip(COLUMNS, means, strict=True)]
    rows.append(("all cases", "", *figures))
    return Table("Cases", tuple(rows))


def worst_cases(evaluation: Evaluation, count: int) -> list[CaseScore]:
    """The cases of the lowest Dice, the lowest first; cases without any structure are none."""
    values = evaluation.case_values("dice")
    scored = [case for case in evaluation.cases if case.id in values]
    return sorted(scored, key=lambda case: values[case.id])[:count]


def _titles() -> list[str]:
    return [TITLES[metric] for metric in COLUMNS]


def instance_table(evaluation: Evaluation) -> Table:
    """A row per kind that is counted."""
    head = (
        *("instances", "in ref.", "found", "missed", "invented", "F1", "SQ", "RQ", "PQ"),
        *("level right", "shifted cases"),
    )
    rows = [head, *(_instance_row(summary) for summary in evaluation.instances)]
    partial = [summary for summary in evaluation.instances if _partial(summary)]
    notes = [
        f"Partly visible vertebrae, in no count: {each.partial_detected} found, {each.partial_missed} missed, "
        f"{each.partial_extra} predicted beside them."
        for each in partial
    ]
    return Table("Instances and levels", tuple(rows), " ".join(notes))


def _partial(summary: InstanceSummary) -> int:
    return summary.partial_detected + summary.partial_missed + summary.partial_extra


def _instance_row(summary: InstanceSummary) -> tuple[str, ...]:
    counts = (summary.references, summary.detected, summary.missed, summary.false_positives)
    levels = (NONE, NONE)
    if summary.levelled:
        levels = (share_text(summary.identification_rate), str(summary.shifted))
    rates = [figure(name, getattr(summary, name)) for name in ("f1", "sq", "rq", "pq")]
    return (PLURALS.get(summary.kind, summary.kind.value), *map(str, counts), *rates, *levels)


def strata_table(evaluation: Evaluation, column: str) -> Table:
    """A row per group of cases."""
    rows = [(column, "cases", "patients", *(f"{TITLES[metric]} [95 %]" for metric in HEADLINES))]
    scored = {case.id for case in evaluation.cases}
    for group, ids in evaluation.strata[column].items():
        members = [id_ for id_ in ids if id_ in scored]
        intervals = {metric: group_interval(evaluation, members, metric) for metric in HEADLINES}
        figures = [interval_text(metric, interval) for metric, interval in intervals.items()]
        rows.append((group, str(len(members)), str(intervals["dice"].patients), *figures))
    return Table(f"By {column}", tuple(rows), "Means over cases, intervals over patients.")


def group_interval(evaluation: Evaluation, ids: Sequence[str], metric: str) -> Interval:
    """Mean of some cases' means with its interval over patients."""
    values = evaluation.case_values(metric)
    return evaluation.interval({id_: values[id_] for id_ in ids if id_ in values})


def system_table(study: MethodComparison) -> Table:
    """A row per system."""
    head = ("system", "cases", *(f"{TITLES[metric]} [95 %]" for metric in HEADLINES))
    rows = [head]
    for system in study.systems:
        intervals = [interval_text(metric, system.case_interval(metric)) for metric in HEADLINES]
        rows.append((system.name, str(len(system.cases)), *intervals))
    left_out = [case.id for system in study.systems for case in system.cases if case.id not in study.common]
    note = "Means over cases, intervals over patients."
    if left_out:
        names = ", ".join(dict.fromkeys(left_out))
        note += f" Not in the comparison, since a system could not be scored there: {names}."
    if study.unshared:
        names = ", ".join(one.name for one in study.unshared)
        note += f" Not in every system's labels, so in no test, but in the means of systems that have it: {names}."
    return Table("Systems", tuple(rows), note)


def test_table(study: MethodComparison) -> Table:
    """A row per metric and pair of systems."""
    head = (
        *("metric: first against second", "patients", "difference [95 %]", "t-test p", "Wilcoxon p"),
        *("Cohen's d", "rank r"),
    )
    rows = [head]
    for test in study.tests:
        rows.append(
            (
                f"{TITLES[test.metric]}: {test.first} against {test.second}",
                str(test.patients),
                interval_text(test.metric, test.difference),
                p_text(test.t_p_holm),
                p_text(test.wilcoxon_p_holm),
                figure("d", test.cohens_d),
                figure("r", test.rank_biserial),
            )
        )
    notes = dict.fromkeys(f"{test.first} against {test.second}: {test.note}." for test in study.tests if test.note)
    note = "Differences are first minus second, over patients; p-values are corrected by Holm over all rows."
    return Table("Paired tests", tuple(rows), " ".join([note, *notes]))


def p_text(value: float) -> str:
    """A p-value as papers write it."""
    if isnan(value):
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def official_table(evaluation: Evaluation) -> Table:
    """SPIDER's own figures beside ours."""
    rows = [("SPIDER's protocol", "official", "cases", "corrected", "cases")]
    for both in side_by_side(evaluation.official, evaluation.cases):
        sides = [(_spread_text(side), str(side.cases)) for side in (both.official, both.corrected)]
        rows.append((both.quantity.title, *sides[0], *sides[1]))
    return Table("SPIDER's protocol", tuple(rows))


def _spread_text(spread: Spread) -> str:
    return NONE if isnan(spread.mean) else figure("", spread.mean, spread.deviation)
