from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from autospine.evaluation.case import evaluate_case
from autospine.evaluation.cohort import Evaluation, complete
from autospine.evaluation.mask_pair import MaskPair
from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.partial_annotation import leave_out_above
from autospine.evaluation.report.csv_files import csv_files
from autospine.evaluation.report.json_summary import as_dict
from autospine.evaluation.report.text import as_markdown
from autospine.labels.schemes import SCHEMES

SPIDER = SCHEMES["spider"], SCHEMES["spider"]


def spine(levels: int, rows: int = 40, pitch: int = 6) -> np.ndarray:
    """Vertebrae from the bottom of the image up, four rows high and two apart."""
    mask = np.zeros((3, rows, 8), np.uint8)
    for level in range(1, levels + 1):
        bottom = rows - pitch * (level - 1)
        mask[:, bottom - 4 : bottom, 2:6] = level
    return mask


def test_what_lies_above_the_annotation_is_in_no_score_and_both_are_kept() -> None:
    case = evaluate_case("1_t2", MaskPair(spine(5), spine(3), (4, 1, 1), SPIDER))
    assert [one.name for one in case.above_annotation] == ["L2", "L1"]
    assert case.mean("dice") == 1 and case.instances[0].false_positives == 0
    assert case.counted is not None and case.counted.mean("dice") == pytest.approx(3 / 5)
    assert case.counted.instances[0].false_positives == 2


@pytest.mark.parametrize(
    ("predicted", "reference"),
    [
        (spine(6, 34), spine(5, 34)),  # the image ends within the next vertebra
        (spine(3), spine(1)),  # one vertebra tells no distance
        (spine(3), spine(0)),
        (spine(0), spine(3)),
    ],
)
def test_annotation_that_does_not_stop_early(predicted: np.ndarray, reference: np.ndarray) -> None:
    assert leave_out_above(predicted, reference, SPIDER).prediction is predicted


def test_an_instance_that_only_reaches_above_stays_whole() -> None:
    predicted = spine(3)
    predicted[:, 22:24, 2:6] = 3  # two rows too high
    assert leave_out_above(predicted, spine(3), SPIDER).left_out == ()
    predicted[0, 1, 2] = 2  # a stray voxel of a lower level
    assert leave_out_above(predicted, spine(3), SPIDER).left_out == ()


def test_processes_of_the_topmost_vertebra_do_not_hide_the_disc_above_it() -> None:
    """They reach higher than the disc, and into the rows of the next vertebra."""
    predicted, reference = spine(5), spine(3)
    for mask in (predicted, reference):
        mask[:, 20:27, 6:8] = 3
    predicted[:, 22:24, 2:6] = 204  # below vertebra 4
    left_out = leave_out_above(predicted, reference, SPIDER)
    assert [one.key for one in left_out.left_out] == ["vertebra:4", "vertebra:5", "disc:4"]
    assert set(np.unique(left_out.prediction)) == {0, 1, 2, 3}


def test_canal_above_everything_annotated_is_left_out_and_below_it_is_scored() -> None:
    predicted, reference = spine(5), spine(3)
    predicted[:, :, 6:8], reference[:, 24:, 6:8] = 100, 100  # annotated to the third vertebra's upper end
    case = evaluate_case("1_t2", MaskPair(predicted, reference, (4, 1, 1), SPIDER))
    assert [one.key for one in case.above_annotation] == ["vertebra:4", "vertebra:5", "canal"]
    assert case.mean("dice") == 1 and case.mean("hd95_mm") == 0
    assert case.counted is not None and case.counted.mean("hd95_mm") > 10
    reference[:, 10:24, 6:8] = 100  # annotated higher than the vertebrae are
    predicted[:, 15:, 6:8] = np.where(predicted[:, 15:, 6:8] == 100, 0, predicted[:, 15:, 6:8])
    case = evaluate_case("1_t2", MaskPair(predicted, reference, (4, 1, 1), SPIDER))
    assert case.mean("dice") < 1  # what is missing below the annotation's top counts


def test_levels_do_not_matter_only_places() -> None:
    shifted = np.where(spine(5) > 0, spine(5) + 1, 0).astype(np.uint8)
    assert [one.level for one in leave_out_above(shifted, spine(3), SPIDER).left_out] == [5, 6]


def scored(prediction: np.ndarray, ambiguous: str | None, id_: str) -> Evaluation:
    case = replace(evaluate_case(id_, MaskPair(prediction, spine(3), (4, 1, 1), SPIDER)), ambiguous=ambiguous)
    return Evaluation(complete([case])[0], "spider", "spider")


def test_the_report_says_both_and_whether_flags_were_right() -> None:
    shifted = np.where(spine(3) > 0, spine(3) + 1, 0).astype(np.uint8)
    parts = [
        scored(shifted, "the lowest could also be level 2", "1_t2"),
        scored(spine(5), "the image ends", "2_t2"),
        scored(shifted, "", "3_t2"),
        scored(spine(3), None, "4_t2"),
    ]
    whole = Evaluation(complete([case for one in parts for case in one.cases])[0], "spider", "spider")
    page = as_markdown(MethodComparison((whole,)))
    assert "1_t2 (the lowest could also be level 2): levels wrong; 2_t2 (the image ends): levels right" in page
    assert "levels are wrong in 1 of 2 flagged cases, and in 1 of 1 others" in page
    assert "2_t2: L2, L1; counted as false positives, overall Dice 0." in page
    summary = json.loads(json.dumps(as_dict(MethodComparison((whole,)))))
    assert summary["ambiguous"] == {
        "flagged_wrong": ["1_t2"],
        "flagged_right": ["2_t2"],
        "not_flagged_wrong": ["3_t2"],
        "not_flagged_right": [],
    }
    assert summary["above_annotation"]["cases"] == {"2_t2": ["vertebra:4", "vertebra:5"]}
    assert summary["above_annotation"]["overall_if_counted"]["dice"] < summary["overall"]["dice"]
    tables = csv_files(MethodComparison((whole,)))
    found = [line for line in tables["cases_all_counted.csv"].splitlines() if ",2_t2,vertebra:5," in line]
    assert len(found) == 1 and "prediction only,0," in found[0]
    assert not any(
        ",2_t2,vertebra:5," in line and "prediction only" in line for line in tables["cases.csv"].splitlines()
    )
    assert tables["labels_all_counted.csv"].splitlines()[0] == tables["labels.csv"].splitlines()[0]


def test_without_flags_nothing_is_said() -> None:
    page = as_markdown(MethodComparison((scored(spine(3), "", "1_t2"),)))
    assert "ambiguous" not in page and "topmost" not in page
    assert "cases_all_counted.csv" not in csv_files(MethodComparison((scored(spine(3), "", "1_t2"),)))
