from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, HausdorffDistanceMetric

from trainers.wgan_resunet.tables import score_slices, summarise

SPACING = (1.0, 4.0, 1.0)  # axial slices of square pixels
SIDE = 96


def discs(shift: int = 0, size: int = 9) -> np.ndarray:
    """Two axial slices with a filled circle of label 1 each."""
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = (y - 40) ** 2 + (x - 40 - shift) ** 2 <= size**2
    return np.repeat(inside[:, None, :], 2, axis=1).astype(np.uint8)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_dice_and_distance_are_those_of_monai() -> None:
    reference, prediction = discs(), discs(2, 8)
    scores = score_slices(prediction, reference, SPACING, (1,))
    assert [score.slice for score in scores] == [0, 1]
    ours, theirs = (torch.from_numpy(mask[:, 0])[None, None].float() for mask in (prediction, reference))
    assert scores[0].dice == pytest.approx(float(DiceMetric()(ours, theirs)))
    assert scores[0].hd_mm == pytest.approx(
        float(HausdorffDistanceMetric(include_background=True)(ours, theirs)), abs=1.0
    )
    assert scores[0].hd95_mm <= scores[0].hd_mm


def test_mean_iou_counts_the_rest_of_the_slice_too() -> None:
    reference, prediction = discs(), discs(2, 8)
    (score, _) = score_slices(prediction, reference, SPACING, (1,))
    a, b = prediction[:, 0] > 0, reference[:, 0] > 0
    iou = (a & b).sum() / (a | b).sum()
    rest = (~a & ~b).sum() / (~a | ~b).sum()
    assert score.mean_iou == pytest.approx((iou + rest) / 2)
    assert score.mean_iou > score.dice > iou  # as in the paper's tables
    assert score.ppv == pytest.approx((a & b).sum() / a.sum())


def test_a_slice_that_one_mask_shows_is_scored_as_wrong() -> None:
    reference, prediction = discs(), discs()
    prediction[:, 1] = 0
    first, second = score_slices(prediction, reference, SPACING, (1, 2))
    assert (first.dice, first.hd_mm, first.both) == (1, 0, True)
    assert (second.dice, second.ppv, second.both) == (0, 0, False)
    assert second.hd_mm == pytest.approx(np.hypot(SIDE, SIDE))
    found = summarise((first, second), 1)
    assert (found.slices, found.unmatched) == (2, 1)
    assert found.means["dice"] == 0.5
    assert found.deviations["dice"] == pytest.approx(np.std([0, 1], ddof=1))
    assert summarise((first, second), 2).slices == 0
    assert np.isnan(summarise((first, second), 2).means["dice"])


def test_what_is_not_annotated_is_not_scored() -> None:
    reference, prediction = discs(), discs(3)
    reference[prediction != reference] = 255
    assert all(s.dice == 1 for s in score_slices(prediction, reference, SPACING, (1,), ignore_label=255))


def test_what_is_not_annotated_is_not_background_either() -> None:
    """300 annotated pixels, 80 right, 20 invented, 20 missed; 2000 that nobody annotated, half of them predicted."""
    reference, prediction = np.zeros((2, 46, 1, 50), np.uint8)
    reference[:2] = 1
    reference[6:] = 255
    prediction[:2, 0, :40] = 1
    prediction[3, 0, :20] = 1
    prediction[26:] = 1
    (score,) = score_slices(prediction, reference, SPACING, (1,), ignore_label=255)
    iou, rest = 80 / 120, 180 / 220
    assert score.dice == pytest.approx(0.8)
    assert score.mean_iou == pytest.approx((iou + rest) / 2)


def test_a_case_of_which_nothing_could_be_derived_is_not_scored() -> None:
    """On its annotated rows, too, nothing is known of what is predicted there."""
    prediction = discs()
    undivided, bare = np.zeros_like(prediction), np.zeros_like(prediction)
    undivided[:, 1] = 255
    assert score_slices(prediction, undivided, SPACING, (1,), ignore_label=255) == []
    assert len(score_slices(prediction, bare, SPACING, (1,), ignore_label=255)) == 2  # without vertebrae


def test_distances_are_in_true_millimetres() -> None:
    reference, prediction = np.zeros((2, 16, 1, 16), np.uint8)
    reference[4:8, 0, 4:8] = prediction[4:8, 0, 7:11] = 1
    (score,) = score_slices(prediction, reference, (1.0, 4.0, 0.5), (1,))
    assert score.hd_mm == pytest.approx(1.5)
