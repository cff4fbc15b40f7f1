"""Temperatures that are known in closed form, and what is taken of a case to fit them."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine.core.workspace import WorkFolder
from autospine.evaluation.case import CaseScore, evaluate_case
from autospine.evaluation.mask_pair import MaskPair
from autospine.inference.calibration import Calibration
from autospine.inference.levels.numbering import LevelEvidence
from autospine.inference.model import read_model, save_model
from autospine.labels.encoding import MergedLabel, SourceAnnotation
from autospine.labels.schemes import SCHEMES
from autospine.planning.splits import Fold
from autospine.training import validation
from autospine.training.calibration import (
    LIMITS,
    VOXELS,
    ClassSample,
    LevelSample,
    class_sample,
    fit_calibration,
    fit_class_temperature,
    fit_level_temperature,
    level_sample,
)
from tests.tiny import IDS, SPACING, make_job, ordered_encoding, plan_of, spine_mask
from tests.toys import QUICK, ToyTrainer

SPIDER = SCHEMES["spider"]


def voxels(sure: float, right: int, count: int) -> ClassSample:
    """So many voxels of two classes, of which some are right."""
    probabilities = np.tile(np.array([[1 - sure], [sure]], np.float32), count)  # (classes, voxels)
    foreground = np.arange(count) < right
    return ClassSample(probabilities, np.stack([~foreground, foreground]))


@pytest.mark.parametrize(
    ("sure", "right", "temperature"),
    [(0.9, 3, 2.0), (0.75, 3, 1.0), (0.75, 9, 0.5)],  # of 4, 4 and 10: logits of ln 9 and ln 3
)
def test_the_temperature_of_classes_makes_them_as_sure_as_they_are_right(sure, right, temperature) -> None:
    count = 10 if right == 9 else 4
    assert fit_class_temperature([voxels(sure, right, count)] * 3) == pytest.approx(temperature, rel=0.01)


def test_cases_count_alike_and_what_is_not_told_does_not_count() -> None:
    small, large = voxels(0.9, 3, 4), voxels(0.9, 750, 1000)
    merged = ClassSample(small.probabilities, np.ones((2, 4), bool))
    assert fit_class_temperature([small, large, merged]) == pytest.approx(2.0, rel=0.01)
    assert fit_class_temperature([voxels(0.9, 4, 4)]) == pytest.approx(LIMITS[0], rel=0.01)
    assert fit_class_temperature([voxels(0.9, 0, 4)]) == pytest.approx(LIMITS[1], rel=0.01)


def levels(sure: float, right: int, count: int) -> list[LevelSample]:
    """So many cases with two possible levels, of which some are right."""
    evidence = LevelEvidence(0.5 * np.log([1 - sure, sure]), np.ones(2))
    return [LevelSample(evidence, int(k < right)) for k in range(count)]


def test_the_temperature_of_levels() -> None:
    assert fit_level_temperature(levels(0.9, 300, 400)) == pytest.approx(2.0, rel=0.02)
    assert fit_level_temperature(levels(0.75, 300, 400)) == pytest.approx(1.0, rel=0.02)
    assert 0.6 < fit_level_temperature(levels(0.9, 3, 3)) < 1  # few cases that are all right say little
    assert fit_level_temperature(levels(0.99, 2, 3)) > 1.5


def scored(shift: int) -> CaseScore:
    mask = spine_mask()
    shifted = np.where((mask > 0) & (mask < 100), mask + shift, 0).astype(np.uint8)
    return evaluate_case("1_t2", MaskPair(shifted, mask, SPACING, (SPIDER, SPIDER)))


def test_the_right_level_is_that_of_the_reference() -> None:
    evidence = LevelEvidence(np.log([0.1, 0.2, 0.6, 0.1]), np.ones(4))  # the second level
    for shift, right in ((0, 2), (1, 1), (3, 0)):
        found = level_sample(evidence, scored(shift))
        assert found == LevelSample(evidence, right)
    assert level_sample(None, scored(0)) is None
    assert level_sample(evidence, CaseScore("1_t2", ())) is None


def stored(predicted: np.ndarray, classes: int) -> np.ndarray:
    return np.where(np.arange(classes)[:, None, None, None] == predicted, 0.7, 0.3 / (classes - 1)).astype(np.float16)


def test_a_case_gives_what_was_segmented_and_is_annotated() -> None:
    encoding = replace(ordered_encoding(), ignore_label=255)
    mask = np.array([[[0, 1, 201, 100, 255, 0]]])
    predicted = np.array([[[1, 1, 1, 0, 1, 0]]])
    sample = class_sample(stored(predicted, 4), encoding.train_ids(mask, "x"), encoding)
    assert sample.probabilities.shape == (4, 3)
    assert sample.possible.argmax(axis=0).tolist() == [0, 1, 2]
    assert sample.possible.sum() == 3


def test_whole_vertebrae_and_hidden_discs_are_any_of_their_classes() -> None:
    merged = (MergedLabel(50, (1, 2), 1),)
    encoding = replace(ordered_encoding(), merged=merged, sources=(SourceAnnotation("bodies", (2,)),))
    ids = encoding.train_ids(np.array([[[50, 0]]]), "x", "bodies")
    sample = class_sample(stored(np.array([[[1, 2]]]), 4), ids, encoding, "bodies")
    assert sample.possible.T.tolist() == [[False, True, True, False], [True, False, True, False]]


def test_nothing_counts_above_an_annotation_that_stops() -> None:
    mask = np.array([0, 0, 1, 0])[None, :, None]
    for stops, count in ((False, 4), (True, 2)):
        encoding = replace(ordered_encoding(), partial_annotation_above=stops)
        ids = encoding.train_ids(mask, "x")
        assert class_sample(stored(np.ones_like(mask), 4), ids, encoding).possible.shape == (4, count)


def test_large_cases_are_thinned() -> None:
    mask = np.ones((3, 100, 100), int)
    encoding = ordered_encoding()
    sample = class_sample(stored(mask, 4), encoding.train_ids(mask, "x"), encoding)
    assert sample.possible.shape == (4, 15_000) and VOXELS == 20_000


def test_two_cases_are_too_few(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    empty = ClassSample(np.zeros((2, 0)), np.zeros((2, 0), bool))
    assert fit_calibration([voxels(0.9, 3, 4)] * 2 + [empty], levels(0.9, 3, 3), "fold_0") == Calibration()
    assert caplog.messages == ["fold_0: 2 segmented held-out cases are too few to calibrate confidences, 3 would do"]
    found = fit_calibration([voxels(0.9, 3, 4)] * 3, levels(0.9, 1, 2), "fold_0")
    assert (found.classes, found.levels, found.cases) == (pytest.approx(2.0, rel=0.01), 1.0, 3)


def test_validation_of_a_trained_model_calibrates_it(
    tiny_work: WorkFolder, tmp_path: Path, toys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice the same, since it is fitted on what the network says; a test subset calibrates nothing."""
    monkeypatch.setattr(validation, "draw_overlay", lambda *_: None)
    monkeypatch.setattr(validation, "save", lambda *_: None)
    trainer = ToyTrainer(plan_of(tiny_work, 2), QUICK)
    job = make_job(tiny_work, trainer.plan, tmp_path, fold=Fold(IDS[:3], IDS[3:]))
    torch.manual_seed(0)
    save_model(job.folder, trainer.model_card(trainer.shape(), job), trainer.build(trainer.shape()).state_dict())
    tested = replace(job, fold=Fold(IDS[:3], (), IDS[3:4]))
    validation.validate(trainer, tested)
    assert read_model(job.folder).card.calibration == Calibration()
    validation.validate(trainer, job)
    first = read_model(job.folder).card.calibration
    assert first.cases == 3 and first.classes != 1
    validation.validate(trainer, job)
    assert read_model(job.folder).card.calibration == first
    assert not list(job.folder.glob("**/*.npy"))
