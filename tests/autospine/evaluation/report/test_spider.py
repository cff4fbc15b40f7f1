from __future__ import annotations

import json
import shutil
from math import isnan
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.report.spider import QUANTITIES, differences, side_by_side
from autospine.evaluation.report.text import as_text
from autospine.evaluation.run import EvaluateRequest, evaluate
from autospine.evaluation.spider import FIELDS, SCRIPT_NAMES, score_challenge
from autospine.labels.conversion import conversion
from autospine.labels.schemes import SCHEMES
from autospine.volumes import read_mask
from tests.paths import ROOT

GOLDEN = ROOT / "tests" / "data" / "spider_evaluation"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
AGGREGATE = json.loads((GOLDEN / "expected_aggregate.json").read_text())


@pytest.fixture(scope="module")
def comparison() -> MethodComparison:
    return evaluate(EvaluateRequest(GOLDEN / "prediction", GOLDEN / "reference", protocol="spider"))


def challenge(comparison: MethodComparison, id_: str) -> object:
    return next(case for case in comparison.first.challenge if case.id == id_)


def test_every_case_through_the_folders(comparison: MethodComparison) -> None:
    for case in comparison.first.challenge:
        figures = EXPECTED[case.id]
        if "raises" in figures:
            assert case.score is None and "SPIDER's script divides by their number" in case.problem
            continue
        for field, key in SCRIPT_NAMES.items():
            value = getattr(case.score, field)
            assert isnan(value) if figures[key] is None else abs(value - figures[key]) <= 1e-12


def test_challenge_means_are_those_of_the_script(comparison: MethodComparison) -> None:
    rows = side_by_side(comparison.first.challenge, comparison.first.cases)
    assert tuple(row.quantity.field for row in rows) == FIELDS
    for row in rows:
        expected = AGGREGATE[SCRIPT_NAMES[row.quantity.field]]
        assert row.challenge.mean == pytest.approx(expected["mean"], abs=1e-12)
        assert row.challenge.deviation == pytest.approx(expected["std"], abs=1e-12)


def test_autospine_figures_punish_what_the_script_forgives(comparison: MethodComparison) -> None:
    cases = {case.id: case for case in comparison.first.cases}
    dice = {q.field: q for q in QUANTITIES}["dice_vertebrae"]
    for id_, lower in (("permuted_0", True), ("false_positive_0", True), ("identical_0", False)):
        own = side_by_side([challenge(comparison, id_)], [cases[id_]])  # type: ignore[list-item]
        row = next(row for row in own if row.quantity is dice)
        assert (row.autospine.mean < row.challenge.mean) is lower
    assert {case.id for case in comparison.first.cases} == set(EXPECTED) - {"label_200"}


def test_one_line_per_difference_that_mattered(comparison: MethodComparison) -> None:
    lines = "\n".join(differences(comparison.first.challenge))
    for words in (
        "matched by overlap to a label of another number",
        "predicted labels with no counterpart (false positives) cost nothing there",
        "taken for several structures of the reference at once",
        "with a Dice below 0.1 left out",
        "without any overlap: the ASD is NaN there",
        "spacing read in the wrong order",
        "no canal in the reference (3 cases): 999 enters",
        "(partial vertebrae) counted in the overall figures only",
        "prediction on another grid (1 case)",
        "the script dies (1 case)",
    ):
        assert words in lines, words


def test_false_positives_are_counted(comparison: MethodComparison) -> None:
    cases = [case for case in comparison.first.challenge if case.id.startswith("false_positive")]
    first = differences(cases)[0]
    assert first == "3 predicted labels with no counterpart (false positives) cost nothing there (3 cases)"


def test_nothing_to_say_about_perfect_masks() -> None:
    mask = read_mask(GOLDEN / "reference" / "identical_1.mha")
    cube = mask.geometry.__class__(mask.geometry.size, (1.0, 1.0, 1.0), (0, 0, 0), mask.geometry.direction)
    same = mask.__class__(mask.array, mask.spacing, cube, mask.axes, mask.flips)
    assert differences([score_challenge("1", same, same)]) == ()


def test_both_columns_are_printed(comparison: MethodComparison) -> None:
    text = " ".join(as_text(comparison).split())
    assert "challenge" in text and "AutoSpine" in text
    assert "label_200.mha: lies on another grid than" in text
    assert "Not scored by SPIDER's rules, only by AutoSpine's" in text


def pair(folder: Path) -> tuple[Path, Path]:
    for side in ("prediction", "reference"):
        (folder / side).mkdir()
        shutil.copy(GOLDEN / side / "noisy_0.mha", folder / side / "1_t2.mha")
    return folder / "prediction" / "1_t2.mha", folder / "reference" / "1_t2.mha"


def problem_of(prediction: Path | None, reference: Path) -> str:
    ours = None if prediction is None else read_mask(prediction)
    return score_challenge("1_t2", ours, read_mask(reference)).problem


def test_float_masks_and_other_shapes_are_errors_there(tmp_path: Path) -> None:
    prediction, reference = pair(tmp_path)
    image = sitk.ReadImage(str(prediction))
    sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat32), str(prediction))
    assert "1_t2.mha: holds floats" in problem_of(prediction, reference)
    sitk.WriteImage(image[1:], str(prediction))
    problem = problem_of(prediction, reference)
    assert "has 39 x 72 x 10 voxels" in problem and "1_t2.mha has 40 x 72 x 10" in problem


def test_a_missing_prediction_is_an_empty_mask(tmp_path: Path) -> None:
    _, reference = pair(tmp_path)
    case = score_challenge("1_t2", None, read_mask(reference))
    assert case.missing and case.score is not None
    assert case.score.dice_overall == 0 and case.score.detection_discs == 0
    assert "no prediction (1 case)" in "\n".join(differences([case]))


def test_other_schemes_are_converted_first(tmp_path: Path) -> None:
    prediction, reference = pair(tmp_path)
    there = read_mask(reference)
    expected = score_challenge("1", read_mask(prediction), there)
    other = SCHEMES["spider20"]
    ours = read_mask(prediction)
    moved = ours.with_array(conversion(SCHEMES["spider"], other).apply(ours.array).astype(np.uint8))
    assert score_challenge("1", moved, there, other).score == expected.score
