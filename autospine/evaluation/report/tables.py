"""What an evaluation says, as tables and notes: the terminal, Markdown and the page show the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isnan, nan

from autospine.core.tables import DISCLAIMER, NONE, Table, counted, mean_text
from autospine.evaluation.case import CaseScore
from autospine.evaluation.cohort import Evaluation
from autospine.evaluation.instance_counts import InstanceSummary
from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.report.spider import CaseMean, differences, side_by_side
from autospine.evaluation.statistics import Interval, by_patient
from autospine.labels.anatomy import Kind

TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
    "nsd": "NSD",
    "reference_surface_recall": "surface recall",
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
WITH_DEVIATION = ("dice", "asd_mm")  # in the tables; all others' deviations are in labels.csv
HEADLINES = ("dice", "nsd", "asd_mm", "hd95_mm")
PLURALS = {
    Kind.VERTEBRA: "vertebrae",
    Kind.DISC: "discs",
    Kind.BODY: "vertebral bodies",
    Kind.POSTERIOR_ELEMENTS: "posterior elements",
    Kind.LAMINA: "laminae",
    Kind.FORAMEN: "foramina",
}
MOST_CASES = 30  # more than that and only the worst are shown
WORST = 10
LEVELS = {True: "wrong", False: "right", None: "not found"}  # by `CaseScore.levels_wrong`
FOOTER = f"Names assume five lumbar vertebrae. {DISCLAIMER}"
EXPLANATION = (
    "Means over cases. A structure in only one of both masks scores 0, its distances are the image's "
    'diagonal; "absent" counts cases where neither mask shows it (in no mean). "All ..." rows are in no '
    "mean of a case and not in the overall one where single levels are scored."
)
RESAMPLED = "Brought to the reference's grid by nearest neighbour, which moves outlines by up to half a voxel"
CALIBRATION = (
    "Right: of levels, the share of detected instances that have the right one; of structures, the share of a label's "
    "voxels that the reference calls the same. Calibration error: the expected one, the mean difference over ten bins."
)
OVER_PATIENTS = "Means over cases, intervals over patients."


def figure(metric: str, value: float, deviation: float = nan) -> str:
    """Return a figure with as many digits as its unit deserves, and its deviation if there is one."""
    return mean_text(value, deviation, 2 if metric.endswith(("_mm", "_ml")) else 3)


def interval_text(metric: str, interval: Interval) -> str:
    """Return a mean with its interval: "0.912 [0.897, 0.924]"."""
    text = figure(metric, interval.mean)
    if isnan(interval.low):
        return text
    return f"{text} [{figure(metric, interval.low)}, {figure(metric, interval.high)}]"


def share_text(value: float) -> str:
    """Return a share as a percentage."""
    return NONE if isnan(value) else f"{100 * value:.1f} %"


def p_text(value: float) -> str:
    """Return a p-value as papers write it."""
    if isnan(value):
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def plural(kind: Kind) -> str:
    """Return the word for several of a kind."""
    return PLURALS.get(kind, kind.value)


def tables(comparison: MethodComparison) -> Iterator[Table]:
    """Return all tables in the order in which they are read; groups and cases of the first method only."""
    if comparison.several:
        yield from comparison_tables(comparison)
    for method in comparison.methods:
        for table in method_tables(method, method is comparison.first):
            yield replace(table, title=titled(table.title, method, comparison))


def comparison_tables(comparison: MethodComparison) -> Iterator[Table]:
    """Return methods side by side, and their tests if there are any."""
    yield methods_table(comparison)
    if comparison.tests:
        yield paired_tests_table(comparison)


def titled(title: str, method: Evaluation, comparison: MethodComparison) -> str:
    """Return a title that says which method it is about, where there are several."""
    return f"{title} ({method.name})" if comparison.several else title


def method_tables(evaluation: Evaluation, is_first: bool) -> Iterator[Table]:
    """Return the tables of one method: all of the first one's, of another those that it is compared by."""
    if evaluation.challenge:
        yield challenge_table(evaluation)
    yield label_table(evaluation)
    if evaluation.instances:
        yield instance_table(evaluation)
    if evaluation.calibration:
        yield calibration_table(evaluation)
    if is_first:
        for column in evaluation.strata:
            yield strata_table(evaluation, column)
        yield case_table(evaluation)


def label_table(evaluation: Evaluation) -> Table:
    """Return a row per structure, all levels of a kind last, and the mean over structures."""
    absent = any(label.absent for label in evaluation.labels)
    rows = [("structure", "cases", *(["absent"] if absent else []), *_titles())]
    for label in sorted(evaluation.labels, key=lambda label: label.all_levels):
        figures = [
            figure(metric, label.means[metric], label.deviations[metric] if metric in WITH_DEVIATION else nan)
            for metric in COLUMNS
        ]
        rows.append((label.name, str(label.cases), *([str(label.absent)] if absent else []), *figures))
    figures = [figure(metric, evaluation.overall(metric)) for metric in COLUMNS]
    rows.append(("overall", str(len(evaluation.cases)), *([""] if absent else []), *figures))
    return Table("Structures", tuple(rows))


def case_table(evaluation: Evaluation) -> Table:
    """Return a row per case, or the worst ones of many, and the mean over cases."""
    cases, title = list(evaluation.cases), "case"
    if len(cases) > MOST_CASES:
        cases, title = worst_cases(evaluation, WORST), f"lowest {WORST} cases"
    answers = [level_answer(case) for case in cases]
    levels = any(answers)
    rows = [(title, "structures", *(["levels"] if levels else []), *_titles())]
    for case, answer in zip(cases, answers, strict=True):
        count = sum(not score.all_levels and not isnan(score.dice) for score in case.scores)
        figures = (figure(metric, case.mean(metric)) for metric in COLUMNS)
        rows.append((case.id, str(count), *([answer or NONE] if levels else []), *figures))
    rows.append(
        (
            "all cases",
            "",
            *([""] if levels else []),
            *(figure(metric, evaluation.case_interval(metric).mean) for metric in COLUMNS),
        )
    )
    return Table("Cases", tuple(rows))


def level_answer(case: CaseScore) -> str:
    """Return what became of a case's levels, and whether its report had warned; empty where nothing tells."""
    if case.unanswered:
        return "no vertebra"
    if case.levels_wrong is None:
        return ""
    return f"{'wrong' if case.levels_wrong else 'right'}{', flagged' if case.ambiguous else ''}"


def worst_cases(evaluation: Evaluation, count: int) -> list[CaseScore]:
    """Return the cases of the lowest Dice, the lowest first, without cases that have no structure."""
    values = evaluation.case_values("dice")
    scored = [case for case in evaluation.cases if case.id in values]
    return sorted(scored, key=lambda case: values[case.id])[:count]


def _titles() -> list[str]:
    return [TITLES[metric] for metric in COLUMNS]


def instance_table(evaluation: Evaluation) -> Table:
    """Return a row per kind that is counted."""
    counts, rates = ("reference", "detected", "FN", "FP"), ("F1", "SQ", "RQ", "PQ")
    head = ("instances", *counts, *rates, "level right", "shifted cases")
    notes = [
        f"Partly visible vertebrae, in no count: {summary.partial_detected} detected, "
        f"{summary.partial_false_negatives} not detected, {summary.partial_extra} predicted beside them."
        for summary in evaluation.instances
        if summary.partial_detected + summary.partial_false_negatives + summary.partial_extra
    ]
    return Table("Instances and levels", (head, *map(_instance_row, evaluation.instances)), " ".join(notes))


def calibration_table(evaluation: Evaluation) -> Table:
    """Return a row per kind of answer: how sure the reports are, and how often they are right."""
    rows: list[tuple[str, ...]] = [("confidence", "answers", "mean confidence", "right", "calibration error")]
    for one in evaluation.calibration:
        figures = (one.confidence, one.right, one.expected_calibration_error)
        rows.append((one.name, str(one.answers), *(figure("confidence", value) for value in figures)))
    return Table("Calibration", tuple(rows), CALIBRATION)


def _instance_row(summary: InstanceSummary) -> tuple[str, ...]:
    counts = (summary.references, summary.detected, summary.false_negatives, summary.false_positives)
    levels = (NONE, NONE)
    if summary.levelled:
        levels = (share_text(summary.identification_rate), str(summary.shifted))
    rates = [figure(name, getattr(summary, name)) for name in ("f1", "sq", "rq", "pq")]
    return (plural(summary.kind), *map(str, counts), *rates, *levels)


def strata_table(evaluation: Evaluation, column: str) -> Table:
    """Return a row per group of cases."""
    rows = [(column, "cases", "patients", *(f"{TITLES[metric]} [95 %]" for metric in HEADLINES))]
    scored = {case.id for case in evaluation.cases}
    for group, ids in evaluation.strata[column].items():
        members = [id_ for id_ in ids if id_ in scored]
        intervals = {metric: evaluation.group_interval(members, metric) for metric in HEADLINES}
        figures = [interval_text(metric, interval) for metric, interval in intervals.items()]
        rows.append((group, str(len(members)), str(intervals["dice"].patients), *figures))
    return Table(f"By {column}", tuple(rows), OVER_PATIENTS)


def methods_table(comparison: MethodComparison) -> Table:
    """Return a row per method."""
    rows = [("method", "cases", *(f"{TITLES[metric]} [95 %]" for metric in HEADLINES))]
    for method in comparison.methods:
        intervals = [interval_text(metric, method.case_interval(metric)) for metric in HEADLINES]
        rows.append((method.name, str(len(method.cases)), *intervals))
    left_out = [case.id for method in comparison.methods for case in method.cases if case.id not in comparison.common]
    note = OVER_PATIENTS
    if left_out:
        names = ", ".join(dict.fromkeys(left_out))
        note += f" Not in the comparison, since a method could not be scored there: {names}."
    if comparison.unshared:
        names = ", ".join(anatomy.name for anatomy in comparison.unshared)
        note += f" Not in every method's labels, so in no test, but in the means of methods that have it: {names}."
    return Table("Methods", tuple(rows), note)


def paired_tests_table(comparison: MethodComparison) -> Table:
    """Return a row per metric and pair of methods."""
    figures = ("patients", "difference [95 %]", "t-test p", "Wilcoxon p", "Cohen's d", "rank r")
    head = ("metric: first against second", *figures)
    rows = [
        (
            f"{TITLES[test.metric]}: {test.first} against {test.second}",
            str(test.patients),
            interval_text(test.metric, test.difference),
            p_text(test.t_p_holm),
            p_text(test.wilcoxon_p_holm),
            figure("d", test.cohens_d),
            figure("r", test.rank_biserial),
        )
        for test in comparison.tests
    ]
    notes = dict.fromkeys(f"{test.first} against {test.second}: {test.note}." for test in comparison.tests if test.note)
    note = "Differences are first minus second, over patients; p-values are corrected by Holm over all rows."
    return Table("Paired tests", (head, *rows), " ".join([note, *notes]))


def challenge_table(evaluation: Evaluation) -> Table:
    """Return SPIDER's own figures beside AutoSpine's."""
    rows = [("SPIDER's protocol", "challenge", "cases", "AutoSpine", "cases")]
    for row in side_by_side(evaluation.challenge, evaluation.cases):
        rows.append((row.quantity.title, *_mean_cells(row.challenge), *_mean_cells(row.autospine)))
    return Table("SPIDER's protocol", tuple(rows))


def _mean_cells(side: CaseMean) -> tuple[str, str]:
    return mean_text(side.mean, side.deviation, 3), str(side.cases)


def heading(evaluation: Evaluation) -> str:
    """Return what was scored, in one line."""
    patients = len(by_patient({case.id: 0.0 for case in evaluation.cases}, evaluation.patients))
    labels = f"labels of predictions: {evaluation.pred_scheme}, of references: {evaluation.ref_scheme}"
    of_patients = f" of {counted(patients, 'patient')}" if patients else ""
    return f"Scores of {counted(len(evaluation.cases), 'case')}{of_patients} ({labels})"


def notes(evaluation: Evaluation, most: int | None = None) -> Iterator[str]:
    """Return a line per thing that a reader must not miss; of cases that were not scored `most`, None for all."""
    yield EXPLANATION
    if evaluation.missing:
        yield f"No prediction (scored 0): {', '.join(evaluation.missing)}"
    if evaluation.extra:
        yield f"Predictions without a reference (not scored): {', '.join(evaluation.extra)}"
    if evaluation.unmatched_labels:
        yield f"On one side only: {', '.join(map(str, evaluation.unmatched_labels))}"
    if evaluation.resampled:
        yield f"{RESAMPLED}: {', '.join(evaluation.resampled)}"
    for title, lines in (*flag_lines(evaluation), *above_annotation_lines(evaluation)):
        yield f"{title}: {'; '.join(lines)}"
    yield from _listed("Not scored", unscored(evaluation), most)
    yield from _listed("Not scored by SPIDER's rules, only by AutoSpine's", unscored_by_challenge(evaluation), most)


def flag_lines(evaluation: Evaluation) -> Iterator[tuple[str, list[str]]]:
    """Return which cases have no vertebra, and which were flagged as ambiguous, and whether the flags were right."""
    if evaluation.unanswered:
        yield "Not one vertebra was predicted, though the reference shows some", list(evaluation.unanswered)
    silent = evaluation.flags[False, True]
    if silent:
        yield "Levels are wrong, and no flag said so", list(silent)
    flagged = [case for case in evaluation.cases if case.ambiguous]
    if not flagged:
        return
    lines = [f"{case.id} ({case.ambiguous}): levels {LEVELS[case.levels_wrong]}" for case in flagged]
    counts = {outcome: len(ids) for outcome, ids in evaluation.flags.items()}
    lines.append(
        f"levels are wrong in {counts[True, True]} of {counts[True, True] + counts[True, False]} flagged cases, and in "
        f"{counts[False, True]} of {counts[False, True] + counts[False, False]} others"
    )
    yield "Flagged as ambiguous by the model", lines


def above_annotation_lines(evaluation: Evaluation) -> Iterator[tuple[str, list[str]]]:
    """Return what was left out above the annotation, and the figures that count it; nothing where nothing was."""
    cases = [case for case in evaluation.cases if case.above_annotation]
    if not cases:
        return
    lines = [f"{case.id}: {', '.join(anatomy.name for anatomy in case.above_annotation)}" for case in cases]
    figures = [
        f"{TITLES[metric]} {figure(metric, evaluation.counted.overall(metric))} for "
        f"{figure(metric, evaluation.overall(metric))}"
        for metric in HEADLINES
    ]
    lines.append(f"counted as false positives, overall {', '.join(figures)}")
    yield "Predicted above the topmost annotated level, where the image goes on (not scored, as in training)", lines


def _listed(title: str, lines: Sequence[str], most: int | None) -> Iterator[str]:
    for line in lines[:most]:
        yield f"{title}: {line}"
    more = 0 if most is None else len(lines) - most
    if more > 0:
        yield f"{title}: {counted(more, 'more case')}, see the errors"


def unscored(evaluation: Evaluation) -> list[str]:
    """Return why cases have no scores, a line each."""
    other = unscored_by_challenge(evaluation)
    return [line for line in evaluation.failures if line not in other]


def unscored_by_challenge(evaluation: Evaluation) -> list[str]:
    """Return why cases have scores, but none by SPIDER's rules, a line each."""
    scored = {case.id for case in evaluation.cases}
    return [case.problem for case in evaluation.challenge if case.problem and case.id in scored]


def challenge_notes(evaluation: Evaluation) -> tuple[str, ...]:
    """Return why the challenge's figures differ from AutoSpine's; nothing without the protocol."""
    if not evaluation.challenge:
        return ()
    return differences(evaluation.challenge) or ("none of the script's rules changed a figure here",)
