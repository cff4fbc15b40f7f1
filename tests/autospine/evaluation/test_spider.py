"""SPIDER's script on small synthetic pairs, whose scores it gave itself (tests/data/spider_evaluation)."""

from __future__ import annotations

import json
from math import isnan, nan

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autospine.core.errors import UserError
from autospine.evaluation.spider import (
    FIELDS,
    SCRIPT_NAMES,
    ChallengeScore,
    aggregate,
    challenge_score,
    match_labels,
    surface_distance,
)
from tests.paths import ROOT

GOLDEN = ROOT / "tests" / "data" / "spider_evaluation"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


def scored(id_: str) -> ChallengeScore:
    prediction, reference = (sitk.ReadImage(str(GOLDEN / side / f"{id_}.mha")) for side in ("prediction", "reference"))
    arrays_ = [sitk.GetArrayFromImage(image) for image in (prediction, reference)]
    return challenge_score(match_labels(*arrays_, reference.GetSpacing()))


def agree(found: float, expected: float | None) -> bool:
    return isnan(found) if expected is None else abs(found - expected) <= 1e-12


def test_the_pairs_are_all_there() -> None:
    assert len(EXPECTED) == 41 and tuple(SCRIPT_NAMES) == FIELDS


@pytest.mark.parametrize("id_", sorted(EXPECTED))
def test_equal_to_the_script(id_: str) -> None:
    if "raises" in EXPECTED[id_]:
        with pytest.raises(UserError, match="has no disc"):
            scored(id_)
        return
    found = scored(id_)
    assert set(SCRIPT_NAMES.values()) == set(EXPECTED[id_])
    for field, key in SCRIPT_NAMES.items():
        assert agree(getattr(found, field), EXPECTED[id_][key]), key


def test_equal_over_cases() -> None:
    expected = json.loads((GOLDEN / "expected_aggregate.json").read_text())
    scores = [scored(id_) for id_, figures in EXPECTED.items() if "raises" not in figures]
    means, deviations = aggregate(scores)
    for field, key in SCRIPT_NAMES.items():
        assert getattr(means, field) == pytest.approx(expected[key]["mean"], abs=1e-12)
        assert getattr(deviations, field) == pytest.approx(expected[key]["std"], abs=1e-12)


def test_nothing_over_no_cases() -> None:
    means, deviations = aggregate([])
    assert all(isnan(getattr(both, field)) for both in (means, deviations) for field in FIELDS)


MASKS = arrays(bool, (4, 5, 3))


@given(MASKS, MASKS, st.tuples(*[st.sampled_from([0.5, 1.0, 3.3])] * 3))
@settings(max_examples=40, deadline=None)
def test_distance_by_brute_force(one: np.ndarray, other: np.ndarray, spacing: tuple[float, ...]) -> None:
    one[0, 0, 0] = other[-1, -1, -1] = True

    def border(mask: np.ndarray) -> np.ndarray:
        padded = np.pad(mask, 1)
        return np.array([at for at in np.argwhere(mask) if not padded[tuple(slice(n, n + 3) for n in at)].all()])

    points = [border(mask) * np.array(spacing) for mask in (one, other)]
    apart = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1)
    expected = np.concatenate([apart.min(axis=1), apart.min(axis=0)]).mean()
    assert surface_distance(one, other, spacing) == pytest.approx(expected)


def test_order_of_the_spacing() -> None:
    reference, prediction = np.zeros((2, 3, 8, 9), np.uint8)
    reference[1, 2, 2] = prediction[1, 2, 2:5] = 7
    match = match_labels(prediction, reference, (0.5, 1.0, 4.0))[0]
    assert match.asd_correct_order_mm == pytest.approx((0 + 0.5 + 1.0 + 0) / 4)
    assert match.asd_mm == pytest.approx((0 + 4.0 + 8.0 + 0) / 4)


def test_one_predicted_label_serves_several_references() -> None:
    reference = np.array([[[1, 1, 2, 2, 3]]], np.uint8)
    matches = match_labels(np.array([[[9, 9, 9, 9, 0]]], np.uint8), reference, (1, 1, 1))
    assert [match.prediction for match in matches] == [9, 9, 0]
    assert matches[2].dice == 0 and isnan(matches[2].asd_mm)


def test_means_over_cases_skip_nan_and_keep_999() -> None:
    one = ChallengeScore(nan, 0.5, 999.0, *[0.5] * 7)
    other = ChallengeScore(0.25, 0.5, 0.0, *[0.5] * 7)
    means, deviations = aggregate([one, other])
    assert (means.dice_vertebrae, means.dice_canal) == (0.25, 499.5)
    assert isnan(deviations.dice_vertebrae) and deviations.dice_discs == 0
