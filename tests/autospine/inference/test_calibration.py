"""Temperatures change how sure an answer is, never the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine.inference.calibration import Calibration, mean_calibration, tempered
from autospine.inference.model import Model, read_model, save_calibration
from autospine.inference.predictor import Predictor
from autospine.models.files import CARD
from tests.tiny import SPACING, spine_image, spine_mask

CPU = torch.device("cpu")


def test_a_temperature_divides_logits() -> None:
    values = np.array([[0.8, 0.2], [0.2, 0.8]])  # (classes, voxels)
    np.testing.assert_allclose(tempered(values, 0.5)[:, 0], [16 / 17, 1 / 17])
    np.testing.assert_allclose(tempered(values, 2.0)[:, 1], [1 / 3, 2 / 3])
    assert tempered(values, 1.0) is values


def test_averaged_models_have_the_geometric_mean_of_their_temperatures() -> None:
    found = mean_calibration([Calibration(4.0, 1.0, 9), Calibration(1.0, 0.5, 5)], [1.0, 1.0])
    assert (found.classes, found.levels, found.cases) == pytest.approx((2.0, 0.5**0.5, 5))
    assert mean_calibration([Calibration(16.0), Calibration(1.0)], [1.0, 3.0]).classes == pytest.approx(2.0)
    with pytest.raises(ValueError, match="temperatures of 0 and 1"):
        Calibration(0.0)


def test_a_model_of_before_has_temperatures_of_one(tmp_path: Path, random_model) -> None:
    model = random_model(tmp_path / "model")
    content = json.loads((model.folder / CARD).read_text())
    assert content.pop("calibration") == {"classes": 1.0, "levels": 1.0, "cases": 0}
    (model.folder / CARD).write_text(json.dumps(content))
    assert read_model(model.folder).card == model.card
    save_calibration([model], Calibration(1.5, 0.75, 4))
    again = read_model(model.folder)
    assert again.card == replace(model.card, calibration=Calibration(1.5, 0.75, 4))
    assert again.name == model.name


def of(model: Model, calibration: Calibration) -> Predictor:
    return Predictor([replace(model, card=replace(model.card, calibration=calibration))], CPU)


def test_confidences_are_calibrated_and_masks_stay(tmp_path: Path, bright) -> None:
    """The mean tempered probability of the voxels of the label, by those that were stored (as float16)."""
    image = spine_image(spine_mask())[None]
    model, stored = bright(tmp_path / "model"), tmp_path / "stored.npy"
    raw = of(model, Calibration()).predict(image, SPACING, stored)
    inside = raw.decoded.labels == 100
    probabilities = np.load(stored)[:, inside].astype(float)
    for temperature in (0.5, 2.0):
        found = of(model, Calibration(temperature)).predict(image, SPACING)
        np.testing.assert_array_equal(found.decoded.labels, raw.decoded.labels)
        expected = tempered(probabilities, temperature).max(axis=0).mean()
        assert found.confidence[100] == pytest.approx(expected, abs=0.003)
    assert raw.confidence[100] == pytest.approx(probabilities.max(axis=0).mean(), abs=0.003)


def test_levels_stay_and_their_confidence_is_that_of_level_and_class(tmp_path: Path, random_model) -> None:
    image = spine_image(spine_mask())[None]
    model = random_model(tmp_path / "model")
    raw = of(model, Calibration()).predict(image, SPACING)
    assert raw.decoded.evidence is not None and raw.decoded.label_results
    start = raw.decoded.evidence.start
    for classes, levels in ((3.0, 1.0), (1.0, 3.0), (0.5, 0.5)):
        found = of(model, Calibration(classes, levels)).predict(image, SPACING)
        np.testing.assert_array_equal(found.decoded.labels, raw.decoded.labels)
        sure = found.decoded.evidence.probabilities(levels)[start]
        for result in found.decoded.label_results:
            level = min(sure, 0.5) if found.decoded.ambiguous else sure
            assert result.confidence == pytest.approx(level * found.confidence.get(result.value, 0.0))
