"""summary.json: what an evaluation says, for programs. docs/evaluation.md lists its keys."""

from __future__ import annotations

from dataclasses import asdict
from math import isnan
from typing import Any

from autospine.evaluation.cohort import Evaluation, LabelSummary
from autospine.evaluation.instances import INSTANCE_METRICS, InstanceSummary
from autospine.evaluation.notes import EXPLANATION, FOOTER, official_notes
from autospine.evaluation.protocol import Spread, side_by_side
from autospine.evaluation.report.tables import HEADLINES, group_interval
from autospine.evaluation.spider import KEYS
from autospine.evaluation.statistics import Interval, PairedTest
from autospine.evaluation.structures import METRICS
from autospine.evaluation.study import MethodComparison

SCHEMA = 2


def as_dict(study: MethodComparison) -> dict[str, Any]:
    """JSON values; null stands for a figure that does not exist."""
    from autospine.core.version import __version__

    return {
        "schema": SCHEMA,
        "autospine": __version__,
        **_system(study.first),
        "against": [_system(system) for system in study.systems[1:]],
        "tests": [_test(test) for test in study.tests],
        "note": f"{EXPLANATION} {FOOTER}",
    }


def _system(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "system": evaluation.name,
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
        "spider": _official(evaluation) if evaluation.official else None,
        "missing_predictions": list(evaluation.missing),
        "extra_predictions": list(evaluation.extra),
        "only_one_side": [
            {"anatomy": one.anatomy.key, "name": one.anatomy.name, "side": one.side, "scored": one.scored}
            for one in evaluation.one_sided
        ],
        "failures": list(evaluation.failures),
    }


def _label(evaluation: Evaluation, label: LabelSummary) -> dict[str, Any]:
    return {
        "anatomy": label.anatomy.key,
        "name": label.name,
        "union": label.union,
        "cases": label.cases,
        "absent_in_both": label.absent,
        "mean": {metric: _plain(value) for metric, value in label.means.items()},
        "deviation": {metric: _plain(value) for metric, value in label.deviations.items()},
        "interval": {metric: _ends(evaluation.label_interval(label, metric)) for metric in METRICS},
    }


def _kind(summary: InstanceSummary) -> dict[str, Any]:
    counts = ("references", "detected", "missed", "false_positives", "identified")
    partial = ("partial_detected", "partial_missed", "partial_extra")
    cases = ("cases", "absent_cases", "unshifted", "shifted", "mixed", "undetected")
    return {
        "kind": summary.kind.value,
        **{name: getattr(summary, name) for name in (*counts, *partial, *cases)},
        "level_shift_rate": _plain(summary.level_shift_rate),
        "pooled": {metric: _plain(getattr(summary, metric)) for metric in INSTANCE_METRICS},
        "over_cases": {metric: _plain(value) for metric, value in summary.means.items()},
    }


def _strata(evaluation: Evaluation, column: str) -> dict[str, Any]:
    scored = {case.id for case in evaluation.cases}
    found = {}
    for group, ids in evaluation.strata[column].items():
        members = [id_ for id_ in ids if id_ in scored]
        means = {metric: _interval(group_interval(evaluation, members, metric)) for metric in HEADLINES}
        found[group] = {"ids": members, **means}
    return found


def _official(evaluation: Evaluation) -> dict[str, Any]:
    both = side_by_side(evaluation.official, evaluation.cases)
    return {
        "figures": {
            KEYS[row.quantity.field]: {
                "official": _spread(row.official),
                "corrected": _spread(row.corrected),
            }
            for row in both
        },
        "differences": list(official_notes(evaluation)),
    }


def _test(test: PairedTest) -> dict[str, Any]:
    plain = {key: _plain(value) if isinstance(value, float) else value for key, value in asdict(test).items()}
    return {**plain, "difference": _interval(test.difference)}


def _spread(spread: Spread) -> dict[str, float | int | None]:
    return {"mean": _plain(spread.mean), "deviation": _plain(spread.deviation), "cases": spread.cases}


def _interval(interval: Interval) -> dict[str, float | int | None]:
    ends = _ends(interval)
    low, high = ends or (None, None)
    return {"mean": _plain(interval.mean), "low": low, "high": high, "patients": interval.patients}


def _ends(interval: Interval) -> tuple[float, float] | None:
    return None if isnan(interval.low) else (interval.low, interval.high)


def _plain(value: float) -> float | None:
    return None if isnan(value) else value
