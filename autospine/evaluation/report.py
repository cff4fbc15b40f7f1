"""What an evaluation looks like: text, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from autospine.evaluation.scoring import METRICS
from autospine.files import write_json, write_text

if TYPE_CHECKING:
    from autospine.evaluation.evaluation import Evaluation

SCHEMA_VERSION = 1
COLUMNS = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": "precision",
    "recall": "recall",
    "asd_mm": "ASD mm",
    "hd95_mm": "HD95 mm",
}
MOST_CASES = 30  # more than that and only the worst are shown
WORST = 10
WIDTH = 106
FOOTER = "Names assume five lumbar vertebrae. For research, not a medical device."
EXPLANATION = (
    "Means over cases. A structure in only one of both masks scores 0, its distances are the image's "
    'diagonal; "absent" counts cases where neither mask shows it (in no mean). "All ..." rows are in no '
    "mean of a case and not in the overall one where single levels are scored."
)


def as_text(evaluation: Evaluation) -> str:
    """An aligned table for the terminal."""
    parts = [_heading(evaluation), _aligned(_label_rows(evaluation)), _aligned(_case_rows(evaluation))]
    return "\n\n".join([*parts, "\n".join([*(fill(note, WIDTH) for note in _notes(evaluation)), FOOTER])])


def as_markdown(evaluation: Evaluation) -> str:
    """The same as a Markdown page."""
    parts = ["# Evaluation", _heading(evaluation), "## Structures", _markdown(_label_rows(evaluation))]
    parts += ["## Cases", _markdown(_case_rows(evaluation))]
    parts += [f"- {note}" for note in _notes(evaluation)]
    return "\n\n".join([*parts, FOOTER]) + "\n"


def save(evaluation: Evaluation, folder: Path) -> None:
    """Writes cases.csv, summary.json and summary.md, each whole or not at all."""
    write_text(folder / "cases.csv", _csv(evaluation))
    write_json(folder / "summary.json", as_dict(evaluation))
    write_text(folder / "summary.md", as_markdown(evaluation))


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """JSON values; null stands for a figure that does not exist."""
    from autospine import __version__

    return {
        "schema_version": SCHEMA_VERSION,
        "autospine": __version__,
        "prediction_labels": evaluation.pred_scheme,
        "reference_labels": evaluation.ref_scheme,
        "cases": len(evaluation.cases),
        "overall": {metric: _plain(evaluation.overall(metric)) for metric in METRICS},
        "labels": [
            {
                "anatomy": label.anatomy.key,
                "name": label.name,
                "union": label.union,
                "cases": label.cases,
                "absent_in_both": label.absent,
                "mean": {metric: _plain(value) for metric, value in label.means.items()},
                "deviation": {metric: _plain(value) for metric, value in label.deviations.items()},
            }
            for label in evaluation.labels
        ],
        "per_case": {
            case.id: {metric: _plain(case.mean(metric)) for metric in METRICS} for case in evaluation.cases
        },
        "missing_predictions": list(evaluation.missing),
        "extra_predictions": list(evaluation.extra),
        "only_one_side": [
            {"anatomy": one.anatomy.key, "name": one.anatomy.name, "side": one.side, "scored": one.scored}
            for one in evaluation.one_sided
        ],
        "failures": list(evaluation.failures),
        "note": f"{EXPLANATION} {FOOTER}",
    }


def _plain(value: float) -> float | None:
    return None if isnan(value) else value


def _csv(evaluation: Evaluation) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "anatomy", "name", "union", "presence", *METRICS, "volume_ml"])
    for case in evaluation.cases:
        for score in case.scores:
            figures = [getattr(score, metric) for metric in (*METRICS, "volume_ml")]
            written = ["" if isnan(value) else f"{value:.6g}" for value in figures]
            union = "yes" if score.union else "no"
            writer.writerow([case.id, score.anatomy.key, score.name, union, score.presence.value, *written])
    return text.getvalue()


def _heading(evaluation: Evaluation) -> str:
    count = len(evaluation.cases)
    labels = f"labels of predictions: {evaluation.pred_scheme}, of references: {evaluation.ref_scheme}"
    return f"Scores of {count} case{'' if count == 1 else 's'} ({labels})"


def _label_rows(evaluation: Evaluation) -> list[list[str]]:
    absent = any(label.absent for label in evaluation.labels)
    rows = [["structure", "cases", *(["absent"] if absent else []), *COLUMNS.values()]]
    ordered = sorted(evaluation.labels, key=lambda label: label.union)
    for label in ordered:
        figures = [_figure(metric, label.means[metric], label.deviations[metric]) for metric in COLUMNS]
        count = [str(label.cases), *([str(label.absent)] if absent else [])]
        rows.append([label.name, *count, *figures])
    count = [str(len(evaluation.cases)), *([""] if absent else [])]
    rows.append(["overall", *count, *(_figure(metric, evaluation.overall(metric)) for metric in COLUMNS)])
    return rows


def _case_rows(evaluation: Evaluation) -> list[list[str]]:
    cases = list(evaluation.cases)
    title = "case"
    if len(cases) > MOST_CASES:
        cases = sorted(cases, key=lambda case: case.mean("dice"))[:WORST]
        title = f"lowest {WORST} cases"
    rows = [[title, "structures", *COLUMNS.values()]]
    for case in cases:
        count = sum(not score.union and not isnan(score.dice) for score in case.scores)
        rows.append([case.id, str(count), *(_figure(metric, case.mean(metric)) for metric in COLUMNS)])
    return rows


def _figure(metric: str, value: float, deviation: float = float("nan")) -> str:
    if isnan(value):
        return "-"
    digits = 2 if metric.endswith("_mm") else 3
    spread = "" if isnan(deviation) else f" ± {deviation:.{digits}f}"
    return f"{value:.{digits}f}{spread}"


def _notes(evaluation: Evaluation) -> list[str]:
    notes = [EXPLANATION]
    if evaluation.missing:
        notes.append(f"No prediction (scored 0): {', '.join(evaluation.missing)}")
    if evaluation.extra:
        notes.append(f"Predictions without a reference (not scored): {', '.join(evaluation.extra)}")
    if evaluation.one_sided:
        notes.append(f"On one side only: {', '.join(str(one) for one in evaluation.one_sided)}")
    notes += [f"Not scored: {line}" for line in evaluation.failures]
    return notes


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *rest]).rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = ["| " + " | ".join(row) + " |" for row in rows]
    rule = "|---|" + "---:|" * (len(rows[0]) - 1)
    return "\n".join([head, rule, *rest])
