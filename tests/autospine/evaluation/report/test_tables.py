from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.core.files import write_json
from autospine.evaluation.case import evaluate_case
from autospine.evaluation.cohort import Evaluation, complete
from autospine.evaluation.mask_pair import MaskPair
from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.report.csv_files import STATISTICS, csv_files
from autospine.evaluation.report.json_summary import SCHEMA, as_dict, read_summary
from autospine.evaluation.report.tables import figure, heading, interval_text, notes, p_text, worst_cases
from autospine.evaluation.report.text import WIDTH, as_markdown, as_text
from autospine.evaluation.statistics import Interval
from autospine.evaluation.structures import METRICS
from autospine.labels.schemes import SCHEMES

SPIDER = SCHEMES["spider"]
NAN = math.nan


def evaluation(count: int = 4, name: str = "unet") -> Evaluation:
    """Series of two patients each; the k-th lacks its lowest k rows, the last has no prediction."""
    reference = np.zeros((3, 16, 8), np.uint8)
    reference[:, 2:7, 1:6], reference[:, 9:14, 1:6] = 2, 1
    cases = []
    for k in range(count):
        prediction = reference.copy()
        prediction[:, 14 - k :] = 0
        last = k == count - 1
        cases.append(
            evaluate_case(
                f"{k // 2}_t{k % 2 + 1}",
                MaskPair(np.zeros_like(reference) if last else prediction, reference, (4, 1, 1), (SPIDER, SPIDER)),
                missing=last,
            )
        )
    completed, unmatched_labels = complete(cases)
    return Evaluation(completed, "spider", "spider", unmatched_labels, name=name)


def test_figures_have_the_digits_of_their_unit() -> None:
    assert figure("dice", 0.98765) == "0.988" and figure("asd_mm", 1.005, 0.5) == "1.00 ± 0.50"
    assert figure("hd_mm", NAN) == "-" and figure("dice", 0.5, NAN) == "0.500"
    assert interval_text("dice", Interval(0.5, 0.25, 0.75, 3)) == "0.500 [0.250, 0.750]"
    assert interval_text("dice", Interval(0.5, NAN, NAN, 1)) == "0.500"
    assert [p_text(p) for p in (NAN, 0.0004, 0.04)] == ["-", "< 0.001", "0.040"]


def test_intervals_are_over_patients_and_means_over_cases() -> None:
    found = evaluation()
    interval = found.case_interval("dice")
    assert interval.patients == 2
    assert interval.mean == pytest.approx(np.mean([case.mean("dice") for case in found.cases]))
    assert interval.low <= interval.mean <= interval.high
    apart = replace(found, patients={case.id: case.id for case in found.cases})
    assert apart.case_interval("dice").patients == 4
    label = found.label_interval(found.labels[0], "dice")
    assert label.mean == pytest.approx(found.labels[0].means["dice"])


def test_a_missing_prediction_counts_in_every_metric_and_is_listed() -> None:
    found = evaluation()
    penalty_distance_mm = math.dist((0, 0, 0), (3 * 4, 16, 8))
    worst = worst_cases(found, 1)[0]
    assert worst.id == "1_t2" and worst.missing
    for metric in ("dice", "iou", "f1", "precision", "recall", "nsd", "reference_surface_recall"):
        assert worst.mean(metric) == 0
    for metric in ("asd_mm", "asd_prediction_mm", "asd_reference_mm", "hd_mm", "hd95_mm"):
        assert worst.mean(metric) == pytest.approx(penalty_distance_mm)
    assert worst.mean("volume_error_share") == -1 and worst.mean("predicted_volume_ml") == 0
    assert worst.instances[0].false_negatives == 2
    assert "No prediction (scored 0): 1_t2" in as_text(MethodComparison((found,)))
    assert found.instances[0].references == 8


def test_what_stands_below_the_tables() -> None:
    found = replace(evaluation(), extra=("1_t2_seg", "9_t2"), failures=("a.mha: is empty; copy it",))
    assert heading(found) == ("Scores of 4 cases of 2 patients (labels of predictions: spider, of references: spider)")
    assert "Predictions without a reference (not scored): 1_t2_seg, 9_t2" in list(notes(found))
    assert list(notes(found))[-1] == "Not scored: a.mha: is empty; copy it"


def test_text_fits_a_terminal() -> None:
    assert max(map(len, as_text(MethodComparison((evaluation(),))).splitlines())) <= WIDTH


def test_markdown_has_every_table() -> None:
    page = as_markdown(MethodComparison((evaluation(), evaluation(name="other"))))
    for title in (
        "Methods",
        "Paired tests",
        "Structures (unet)",
        "Instances and levels (other)",
        "Cases (unet)",
    ):
        assert f"## {title}\n" in page
    assert "## Cases (other)" not in page


def test_sheets_hold_what_the_evaluation_holds() -> None:
    found = evaluation()
    sheets = csv_files(MethodComparison((found,)))
    assert set(sheets) == {"cases.csv", "labels.csv", "instances.csv"}
    labels = list(csv.DictReader(sheets["labels.csv"].splitlines()))
    assert {f"{metric}_{statistic}" for metric in METRICS for statistic in STATISTICS} < set(labels[0])
    assert float(labels[0]["dice_mean"]) == pytest.approx(found.labels[0].means["dice"], abs=1e-5)
    assert labels[0]["dice_n"] == "4" and labels[0]["log_loss_n"] == "0" and labels[0]["log_loss_mean"] == ""
    instances = list(csv.DictReader(sheets["instances.csv"].splitlines()))
    assert [row["status"] for row in instances if row["case"] == "1_t2"] == ["false negative", "false negative"]
    assert {row["level_right"] for row in instances if row["case"] == "0_t1"} == {"yes"}


def test_a_case_that_one_method_lacks_is_left_out_of_the_tests_and_named() -> None:
    whole, part = evaluation(6), evaluation(6, "other")
    comparison = MethodComparison((whole, replace(part, cases=part.cases[:4])))
    assert comparison.common == tuple(case.id for case in part.cases[:4])
    assert {test.patients for test in comparison.tests} == {2}
    assert "Not in the comparison, since a method could not be scored there: 2_t1, 2_t2." in " ".join(
        as_text(comparison).split()
    )


def test_nothing_scored_is_no_crash() -> None:
    empty = Evaluation((), "spider", "spider", failures=("a.mha: is empty; copy it",))
    assert "Scores of 0 cases" in as_text(MethodComparison((empty,)))
    summary = as_dict(MethodComparison((empty,)))
    assert summary["overall"]["dice"] is None and summary["labels"] == []


def test_masks_without_any_structure_have_no_figures() -> None:
    nothing = np.zeros((3, 4, 5), np.uint8)
    case = evaluate_case("1_t1", MaskPair(nothing, nothing, (1, 1, 1), (SPIDER, SPIDER)))
    found = Evaluation(*complete([case])[:1], "spider", "spider")
    assert math.isnan(found.case_interval("dice").mean) and worst_cases(found, 3) == []
    assert "1_t1" in as_text(MethodComparison((found,)))


def test_columns_that_do_not_fit_stand_below() -> None:
    comparison = MethodComparison((evaluation(name="unet"), evaluation(name="gan")))
    wide, narrow = as_text(comparison), as_text(comparison, 60)
    assert max(map(len, narrow.splitlines())) <= 60 < max(map(len, wide.splitlines()))
    words = [cell for line in wide.splitlines() if line.startswith("Dice: unet") for cell in line.split()]
    found = [cell for line in narrow.splitlines() if line.startswith("Dice: unet") for cell in line.split()]
    assert words and set(words) == set(found)
    assert as_text(comparison, 10_000) == wide
    assert as_text(comparison, 1).count("\n") > narrow.count("\n")  # a column is never given up


def test_a_note_says_which_test_it_is_about() -> None:
    assert "unet against gan: no patient differs" in as_text(MethodComparison((evaluation(), evaluation(name="gan"))))


def test_the_terminal_shows_few_of_many_alike_errors() -> None:
    lines = [f"{k}.mha: is damaged" for k in range(5)]
    found = replace(evaluation(), failures=tuple(lines))
    text, page = as_text(MethodComparison((found,))), as_markdown(MethodComparison((found,)))
    assert text.count("is damaged") == 3 and "Not scored: 2 more cases, see the errors" in text
    assert all(line in page for line in lines)


def test_a_summary_is_read_in_its_own_schema_only(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, as_dict(MethodComparison((evaluation(),))))
    assert read_summary(path, "score again")["method"] == "unet"
    write_json(path, {"schema": SCHEMA - 1})
    with pytest.raises(UserError, match=f"summary.json: is no summary of schema {SCHEMA}; score again"):
        read_summary(path, "score again")
