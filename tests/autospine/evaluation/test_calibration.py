"""Confidence against what is right, and answers without a vertebra, counted exactly."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.core.files import write_json
from autospine.evaluation.calibration import calibration, reliability
from autospine.evaluation.case import CaseScore, evaluate_case
from autospine.evaluation.cohort import Evaluation, complete
from autospine.evaluation.mask_pair import MaskPair
from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.report.csv_files import csv_files
from autospine.evaluation.report.html.page import as_page
from autospine.evaluation.report.json_summary import as_dict
from autospine.evaluation.report.tables import level_answer
from autospine.evaluation.report.text import as_text
from autospine.evaluation.run import EvaluateRequest, evaluate
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import SCHEMES
from tests.tiny import SHAPE, SPACING, spine_mask, write_array

SPIDER = SCHEMES["spider"]


def scored(id_: str, prediction: np.ndarray, ambiguous: str | None = "", **confidence: float) -> CaseScore:
    case = evaluate_case(id_, MaskPair(prediction, spine_mask(), SPACING, (SPIDER, SPIDER)))
    known = {Anatomy(Kind(kind), level): value for kind, value in confidence.items() for level in levels_of(prediction)}
    return replace(case, ambiguous=ambiguous, confidences=known)


def levels_of(mask: np.ndarray) -> list[int]:
    return [int(value) for value in np.unique(mask) if 0 < value < 100]


def shifted() -> np.ndarray:
    mask = spine_mask()
    return np.where((mask > 0) & (mask < 100), mask + 1, np.where(mask == 100, 100, 0)).astype(np.uint8)


def test_bins_and_the_expected_error() -> None:
    found = reliability("levels", [(0.95, 1), (0.95, 0), (0.65, 1), (1.0, 1)])
    assert [(one.low, one.high, one.answers) for one in found.bins] == [(0.6, 0.7, 1), (0.9, 1.0, 3)]
    assert found.bins[1].confidence == pytest.approx(2.9 / 3) and found.bins[1].right == pytest.approx(2 / 3)
    assert found.expected_calibration_error == pytest.approx((0.35 + 3 * (2.9 / 3 - 2 / 3)) / 4)
    assert (found.answers, found.right) == (4, 0.75)
    assert reliability("levels", [(0.5, 0.5)]).expected_calibration_error == 0


def test_levels_and_structures_of_reports() -> None:
    """A case that is right and sure of it, and one that is a level too high and just as sure."""
    cases = [scored("1_t2", spine_mask(), vertebra=0.9), scored("2_t2", shifted(), vertebra=0.9)]
    by_name = {one.name: one for one in calibration(cases)}
    assert set(by_name) == {"levels", "vertebra"}
    levels = by_name["levels"]
    assert (levels.answers, levels.right) == (10, 0.5)
    assert levels.expected_calibration_error == pytest.approx(0.4)
    assert by_name["vertebra"].right == pytest.approx(0.5)
    assert calibration([scored("1_t2", spine_mask())]) == ()  # no report


def test_what_became_of_levels_stands_beside_each_case_and_in_every_report() -> None:
    nothing = np.where(spine_mask() == 100, 100, 0).astype(np.uint8)
    cases, unmatched = complete(
        [
            scored("1_t2", spine_mask(), vertebra=0.9),
            scored("2_t2", shifted()),
            scored("3_t2", shifted(), "why"),
            scored("4_t2", nothing),
        ]
    )
    assert [level_answer(case) for case in cases] == ["right", "wrong", "wrong, flagged", "no vertebra"]
    evaluation = Evaluation(cases, "spider", "spider", unmatched)
    comparison = MethodComparison((evaluation,))
    assert evaluation.unanswered == ("4_t2",)
    summary = as_dict(comparison)
    assert summary["no_vertebra"] == ["4_t2"]
    assert summary["ambiguous"]["not_flagged_wrong"] == ["2_t2"]
    assert summary["calibration"]["levels"]["right"] == 1
    for text in (as_text(comparison), as_page(comparison)):
        assert "Not one vertebra was predicted" in text
        assert "no flag said so" in text
        assert "alibration" in text
    row = next(csv.DictReader(csv_files(comparison)["calibration.csv"].splitlines()))
    assert (row["method"], row["answer"], row["answers"]) == ("prediction", "levels", "5")


def test_confidences_come_from_the_reports_beside_the_masks(tmp_path: Path) -> None:
    write_array(tmp_path / "reference" / "1_t2.mha", spine_mask())
    write_array(tmp_path / "prediction" / "1_t2.mha", spine_mask())
    label = {"value": 1, "anatomy": "vertebra:1", "confidence": 0.7}
    report = {"autospine": "0.1.0", "scheme": "spider", "ambiguous": "", "labels": [label]}
    write_json(tmp_path / "prediction" / "1_t2.json", report)
    request = EvaluateRequest(tmp_path / "prediction", tmp_path / "reference", workers=1)
    (case,) = evaluate(request).first.cases
    assert case.confidences == {Anatomy(Kind.VERTEBRA, 1): 0.7}
    write_json(tmp_path / "prediction" / "1_t2.json", report | {"labels": [{"value": 1}]})
    (case,) = evaluate(request).first.cases
    assert case.confidences == {}
    assert case.levels_wrong is False and spine_mask().shape == SHAPE
