from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.evaluation.case import evaluate_case
from autospine.evaluation.cohort import Evaluation, complete
from autospine.evaluation.report.text import as_text
from autospine.evaluation.study import MethodComparison
from autospine.labels.schemes import SCHEMES, LabelScheme

SPIDER, LUMBAR, SEMANTIC = (SCHEMES[name] for name in ("spider", "lumbar7", "semantic4"))


def spine() -> np.ndarray:
    """L4, a disc, L5."""
    mask = np.zeros((3, 14, 8), np.uint8)
    mask[:, 1:5, 1:6], mask[:, 5:7, 1:6], mask[:, 7:11, 1:6] = 2, 202, 1
    return mask


def system(name: str, predict: dict[int, int], scheme: LabelScheme, rows: int = 0) -> Evaluation:
    """Predictions of three patients with other integers, moved down by `rows`."""
    cases = []
    for patient in range(3):
        reference = spine()
        prediction = np.zeros_like(reference)
        for value, new in predict.items():
            prediction[np.roll(reference, rows * (patient + 1), axis=1) == value] = new
        cases.append(evaluate_case(f"{patient}_t2", prediction, reference, (4, 1, 1), (scheme, SPIDER)))
    completed, one_sided = complete(cases)
    return Evaluation(completed, scheme.name, "spider", one_sided, name=name)


def test_only_structures_that_all_systems_are_scored_on_are_tested() -> None:
    """lumbar7 has no discs; a system that gets them all wrong is no worse in the vertebrae."""
    vertebrae = system("vertebrae", {1: 5, 2: 4}, LUMBAR)
    both = system("both", {1: 1, 2: 2}, SPIDER)
    assert both.case_interval("dice").mean == pytest.approx(2 / 3)
    study = MethodComparison((vertebrae, both))
    assert [one.name for one in study.unshared] == ["L4/L5 disc"]
    assert {one.name for one in study.shared} == {"L4", "L5"}
    assert all(test.difference.mean == 0 and test.patients == 3 for test in study.tests)
    text = " ".join(as_text(study).split())
    assert "Not in every system's labels, so in no test, but in the means of systems that have it: L4/L5 disc." in text


def test_what_is_invented_counts() -> None:
    good, worse = system("good", {1: 1, 2: 2, 202: 202}, SPIDER), system("worse", {1: 1, 2: 3}, SPIDER)
    dice = MethodComparison((good, worse)).tests[0]
    assert dice.difference.mean == pytest.approx(1 - 1 / 4)  # L5 of L5, L4, L3 and the disc


def test_levels_and_no_levels_share_nothing_to_test(tmp_path: Path) -> None:
    study = MethodComparison((system("levels", {1: 1, 2: 2}, SPIDER), system("classes", {1: 1, 2: 1}, SEMANTIC)))
    assert study.tests == () and not study.shared
    assert "Paired tests" not in as_text(study)
