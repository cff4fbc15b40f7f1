from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.evaluation.case import evaluate_case
from autospine.evaluation.cohort import Evaluation, complete
from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.report.text import as_text
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
        cases.append(evaluate_case(f"{patient}_t2", prediction, reference, (4, 1, 1), (scheme, SPIDER)))
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
