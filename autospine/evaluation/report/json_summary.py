"""summary.json: what an evaluation says, for programs. docs/evaluation.md lists its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any

from autospine.core.errors import UserError
from autospine.core.files import read_json
from autospine.core.version import __version__
from autospine.evaluation.cohort import Evaluation, LabelSummary
from autospine.evaluation.instance_counts import INSTANCE_METRICS, InstanceSummary
from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.report.spider import CaseMean, side_by_side
from autospine.evaluation.report.tables import EXPLANATION, FOOTER, HEADLINES, challenge_notes
from autospine.evaluation.spider import SCRIPT_NAMES
from autospine.evaluation.statistics import Interval, PairedTest
from autospine.evaluation.structures import METRICS

SCHEMA = 3


def as_dict(comparison: MethodComparison) -> dict[str, Any]:
    """Return JSON values; null stands for a figure that does not exist."""
    return {
        "schema": SCHEMA,
        "autospine": __version__,
        **_method(comparison.first),
        "against": [_method(method) for method in comparison.methods[1:]],
        "tests": [_test(test) for test in comparison.tests],
        "note": f"{EXPLANATION} {FOOTER}",
    }


def read_summary(path: Path, hint: str) -> dict[str, Any]:
    """Read a summary.json; `hint` says how to get a new one.

    Raises:
        UserError: It cannot be read, or another version of AutoSpine wrote it.
    """
    content = read_json(path, hint)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UserError(path, f"is no summary of schema {SCHEMA}", hint)
    return content


def _flags(evaluation: Evaluation) -> dict[str, list[str]]:
    flags = {True: "flagged", False: "not_flagged"}, {True: "wrong", False: "right"}
    return {f"{flags[0][flag]}_{flags[1][wrong]}": list(ids) for (flag, wrong), ids in evaluation.flags.items()}


def _method(evaluation: Evaluation) -> dict[str, Any]:
    above = [case for case in evaluation.cases if case.above_annotation]
    return {
        "method": evaluation.name,
        "prediction_labels": evaluation.pred_scheme,
        "reference_labels": evaluation.ref_scheme,
        "tolerance_mm": evaluation.tolerance_mm,
        "cases": len(evaluation.cases),
        "overall": {metric: _plain(evaluation.overall(metric)) for metric in METRICS},
        "over_cases": {metric: _interval(evaluation.case_interval(metric)) for metric in METRICS},
        "labels": [_label(evaluation, label) for label in evaluation.labels],
        "instances": [_kind(summary) for summary in evaluation.instances],
        "strata": {column: _strata(evaluation, column) for column in evaluation.strata},
        "per_case": {
            case.id: {
                **{metric: _plain(case.mean(metric)) for metric in METRICS},
                "case_log_loss": _plain(case.log_loss),
            }
            for case in evaluation.cases
        },
        "spider": _challenge(evaluation) if evaluation.challenge else None,
        "resampled": list(evaluation.resampled),
        "ambiguous": _flags(evaluation),
        "calibration": {
            one.name: {
                "answers": one.answers,
                "confidence": one.confidence,
                "right": one.right,
                "expected_calibration_error": one.expected_calibration_error,
            }
            for one in evaluation.calibration
        },
        "no_vertebra": list(evaluation.unanswered),
        "above_annotation": {
            "cases": {case.id: [anatomy.key for anatomy in case.above_annotation] for case in above},
            "overall_if_counted": {metric: _plain(evaluation.counted.overall(metric)) for metric in METRICS},
        }
        if above
        else None,
        "missing_predictions": list(evaluation.missing),
        "extra_predictions": list(evaluation.extra),
        "unmatched_labels": [
            {"anatomy": label.anatomy.key, "name": label.anatomy.name, "side": label.side, "scored": label.scored}
            for label in evaluation.unmatched_labels
        ],
        "failures": list(evaluation.failures),
    }


def _label(evaluation: Evaluation, label: LabelSummary) -> dict[str, Any]:
    return {
        "anatomy": label.anatomy.key,
        "name": label.name,
        "all_levels": label.all_levels,
        "cases": label.cases,
        "absent_in_both": label.absent,
        "mean": _plain_values(label.means),
        "deviation": _plain_values(label.deviations),
        "interval": {metric: _ends(evaluation.label_interval(label, metric)) for metric in METRICS},
    }


def _kind(summary: InstanceSummary) -> dict[str, Any]:
    counts = ("references", "detected", "false_negatives", "false_positives", "identified")
    partial = ("partial_detected", "partial_false_negatives", "partial_extra")
    cases = ("cases", "absent_cases", "unshifted", "shifted", "mixed", "undetected")
    return {
        "kind": summary.kind.value,
        **{name: getattr(summary, name) for name in (*counts, *partial, *cases)},
        "level_shift_rate": _plain(summary.level_shift_rate),
        "pooled": {metric: _plain(getattr(summary, metric)) for metric in INSTANCE_METRICS},
        "over_cases": _plain_values(summary.means),
    }


def _strata(evaluation: Evaluation, column: str) -> dict[str, Any]:
    scored = {case.id for case in evaluation.cases}
    groups = {}
    for group, ids in evaluation.strata[column].items():
        members = [id_ for id_ in ids if id_ in scored]
        means = {metric: _interval(evaluation.group_interval(members, metric)) for metric in HEADLINES}
        groups[group] = {"ids": members, **means}
    return groups


def _challenge(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "figures": {
            SCRIPT_NAMES[row.quantity.field]: {
                "challenge": _case_mean(row.challenge),
                "autospine": _case_mean(row.autospine),
            }
            for row in side_by_side(evaluation.challenge, evaluation.cases)
        },
        "differences": list(challenge_notes(evaluation)),
    }


def _test(test: PairedTest) -> dict[str, Any]:
    plain = {key: _plain(value) if isinstance(value, float) else value for key, value in asdict(test).items()}
    return {**plain, "difference": _interval(test.difference)}


def _case_mean(side: CaseMean) -> dict[str, float | int | None]:
    return {"mean": _plain(side.mean), "deviation": _plain(side.deviation), "cases": side.cases}


def _interval(interval: Interval) -> dict[str, float | int | None]:
    low, high = _ends(interval) or (None, None)
    return {"mean": _plain(interval.mean), "low": low, "high": high, "patients": interval.patients}


def _ends(interval: Interval) -> tuple[float, float] | None:
    return None if isnan(interval.low) else (interval.low, interval.high)


def _plain(value: float) -> float | None:
    return None if isnan(value) else value


def _plain_values(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _plain(value) for name, value in values.items()}
