from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.evaluation.case import evaluate_case
from autospine.evaluation.cohort import Evaluation, complete
from autospine.evaluation.mask_pair import MaskPair
from autospine.evaluation.methods import MethodComparison, by_patient, compare_methods, method_names
from autospine.evaluation.report.text import as_text
from autospine.evaluation.statistics import holm
from autospine.labels.schemes import SCHEMES, LabelScheme

SPIDER, LUMBAR, SEMANTIC = (SCHEMES[name] for name in ("spider", "lumbar7", "semantic4"))


def spine() -> np.ndarray:
    """L4, a disc, L5."""
    mask = np.zeros((3, 14, 8), np.uint8)
    mask[:, 1:5, 1:6], mask[:, 5:7, 1:6], mask[:, 7:11, 1:6] = 2, 202, 1
    return mask


def method(name: str, predict: dict[int, int], scheme: LabelScheme, rows: int = 0) -> Evaluation:
    """Predictions of three patients with other integers, moved down by `rows`."""
    cases = []
    for patient in range(3):
        reference = spine()
        prediction = np.zeros_like(reference)
        for value, new in predict.items():
            prediction[np.roll(reference, rows * (patient + 1), axis=1) == value] = new
        cases.append(evaluate_case(f"{patient}_t2", MaskPair(prediction, reference, (4, 1, 1), (scheme, SPIDER))))
    completed, unmatched_labels = complete(cases)
    return Evaluation(completed, scheme.name, "spider", unmatched_labels, name=name)


def test_only_structures_that_all_methods_are_scored_on_are_tested() -> None:
    """lumbar7 has no discs; a method that gets them all wrong is no worse in the vertebrae."""
    vertebrae = method("vertebrae", {1: 5, 2: 4}, LUMBAR)
    both = method("both", {1: 1, 2: 2}, SPIDER)
    assert both.case_interval("dice").mean == pytest.approx(2 / 3)
    comparison = MethodComparison((vertebrae, both))
    assert [one.name for one in comparison.unshared] == ["L4/L5 disc"]
    assert {one.name for one in comparison.shared} == {"L4", "L5"}
    assert all(test.difference.mean == 0 and test.patients == 3 for test in comparison.tests)
    text = " ".join(as_text(comparison).split())
    assert "Not in every method's labels, so in no test, but in the means of methods that have it: L4/L5 disc." in text


def test_false_positives_count() -> None:
    good, worse = method("good", {1: 1, 2: 2, 202: 202}, SPIDER), method("worse", {1: 1, 2: 3}, SPIDER)
    dice = MethodComparison((good, worse)).tests[0]
    assert dice.difference.mean == pytest.approx(1 - 1 / 4)  # L5 of L5, L4, L3 and the disc


def test_levels_and_no_levels_share_nothing_to_test(tmp_path: Path) -> None:
    comparison = MethodComparison((method("levels", {1: 1, 2: 2}, SPIDER), method("classes", {1: 1, 2: 1}, SEMANTIC)))
    assert comparison.tests == () and not comparison.shared
    assert "Paired tests" not in as_text(comparison)


def test_names_tell_folders_apart() -> None:
    assert method_names(["runs/unet", "runs/gan/"]) == ("unet", "gan")
    assert method_names([Path("a/m/fold_0"), "b/m/fold_0"]) == ("a/m/fold_0", "b/m/fold_0")
    assert method_names([]) == ()


def test_a_folder_given_twice_is_a_user_error() -> None:
    with pytest.raises(UserError, match="runs/unet: is given twice; compare different folders"):
        method_names(["runs/unet", "runs/../runs/unet"])


def test_cases_of_a_patient_stand_together() -> None:
    values = {"1_t1": 1.0, "1_t2": 2.0, "scan": 3.0, "other": 4.0}
    assert by_patient(values) == {"1": (1.0, 2.0), "scan": (3.0,), "other": (4.0,)}
    assert by_patient(values, {"other": "scan"})["scan"] == (3.0, 4.0)


def test_every_metric_and_pair_is_corrected_together() -> None:
    methods = {
        name: {
            metric: {f"{k}_t2": (k * step) % 7 + gain * k for k in range(9)}
            for metric, step in (("dice", 3), ("asd_mm", 5))
        }
        for name, gain in (("a", 0.0), ("b", 0.1), ("c", 0.7))
    }
    tests = compare_methods(methods)
    assert [test.metric for test in tests] == ["dice"] * 3 + ["asd_mm"] * 3
    assert [test.t_p_holm for test in tests] == holm([test.t_p for test in tests])
    assert {test.patients for test in tests} == {9}
    grouped = compare_methods(methods, {f"{k}_t2": str(k % 2) for k in range(9)})
    assert {test.patients for test in grouped} == {2}


def test_what_cannot_be_compared_is_a_user_error() -> None:
    with pytest.raises(UserError, match="b: has no dice; score every method"):
        compare_methods({"a": {"dice": {"1": 1.0}}, "b": {}})
    with pytest.raises(UserError, match="has one method"):
        compare_methods({"a": {"dice": {"1": 1.0}}})
    with pytest.raises(UserError, match="has no method"):
        compare_methods({})
