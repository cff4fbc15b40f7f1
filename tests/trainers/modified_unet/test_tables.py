from __future__ import annotations

import numpy as np
import pytest

from autospine.metrics.surface import average_distance, diagonal, reference_surface_recall, surfaces
from trainers.modified_unet.tables import SliceScorer

sklearn_metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
SPACING = (0.5, 0.8)


def squares(*places: tuple[int, int, int], size: int = 40) -> np.ndarray:
    """Squares of 8 pixels: (label, row, column)."""
    image = np.zeros((size, size), np.uint8)
    for label, row, column in places:
        image[row : row + 8, column : column + 8] = label
    return image


@pytest.mark.parametrize("seed", range(5))
def test_pixels_are_counted_over_all_slices_together(seed: int) -> None:
    generator = np.random.default_rng(seed)
    reference = generator.integers(0, 4, (3, 9, 8))
    predicted = np.where(generator.random(reference.shape) < 0.7, reference, generator.integers(0, 4, reference.shape))
    scorer = SliceScorer((0, 1, 2, 3))
    for ours, theirs in zip(predicted, reference, strict=True):
        scorer.add(ours, theirs, SPACING)
    flat = reference.ravel(), predicted.ravel()
    for label in range(4):
        score, settings = scorer.score(label), {"labels": [label], "average": None}
        assert score.iou == pytest.approx(sklearn_metrics.jaccard_score(*flat, **settings)[0])
        assert score.precision == pytest.approx(sklearn_metrics.precision_score(*flat, **settings)[0])
        assert score.recall == pytest.approx(sklearn_metrics.recall_score(*flat, **settings)[0])
        assert score.dice == pytest.approx(sklearn_metrics.f1_score(*flat, **settings)[0])
        assert score.f1 == pytest.approx(score.dice)


def test_distances_of_one_slice_are_those_of_the_surface_metrics() -> None:
    ours, theirs = squares((1, 10, 10)), squares((1, 12, 11))
    scorer = SliceScorer((1,), tolerance_mm=1.0)
    scorer.add(ours, theirs, SPACING)
    between = surfaces(ours == 1, theirs == 1, SPACING)
    assert between is not None
    assert scorer.score(1).nsd == pytest.approx(reference_surface_recall(between, 1.0))
    # Two squares of one size: the mean of both directed means is the mean over both contours.
    assert scorer.score(1).asd_mm == pytest.approx(average_distance(between))


def test_a_slice_counts_by_the_length_of_its_contours() -> None:
    near, far = (squares((1, 10, 10)), squares((1, 10, 11))), (squares((1, 2, 2)), squares((1, 2, 20)))
    parts = [surfaces(a == 1, b == 1, SPACING) for a, b in (near, far, far)]
    scorer = SliceScorer((1,))
    for ours, theirs in (near, far, far):
        scorer.add(ours, theirs, SPACING)
    total = sum(
        (each.to_reference * each.prediction_area).sum() + (each.to_prediction * each.reference_area).sum()
        for each in parts
        if each
    )
    length = sum(each.prediction_area.sum() + each.reference_area.sum() for each in parts if each)
    assert scorer.score(1).asd_mm == pytest.approx(total / length)
    assert scorer.score(1).slices == 3


def test_contours_without_a_partner_are_a_diagonal_away() -> None:
    shown, empty = squares((1, 10, 10)), squares()
    far = diagonal(shown.shape, SPACING)
    missed, invented = SliceScorer((1,)), SliceScorer((1,))
    missed.add(empty, shown, SPACING)
    invented.add(shown, empty, SPACING)
    assert missed.score(1).asd_mm == invented.score(1).asd_mm == pytest.approx(far)
    assert missed.score(1).nsd == invented.score(1).nsd == 0
    assert missed.score(1).dice == invented.score(1).dice == 0


def test_what_no_slice_shows_has_no_score() -> None:
    scorer = SliceScorer((2,))
    scorer.add(squares((1, 3, 3)), squares((1, 3, 3)), SPACING)
    score = scorer.score(2)
    assert score.slices == 0
    assert all(np.isnan([score.dice, score.iou, score.asd_mm, score.nsd, score.precision, score.recall, score.f1]))


def test_the_backgrounds_contour_is_that_of_all_structures_and_not_the_images_border() -> None:
    ours, theirs = squares((1, 10, 10), (2, 10, 18)), squares((1, 12, 10), (2, 12, 18))
    scorer = SliceScorer((0,))
    scorer.add(ours, theirs, SPACING)
    between = surfaces(ours > 0, theirs > 0, SPACING)
    assert between is not None
    assert scorer.score(0).asd_mm == pytest.approx(average_distance(between))
    assert scorer.score(0).dice == pytest.approx(
        2 * ((ours == 0) & (theirs == 0)).sum() / ((ours == 0).sum() + (theirs == 0).sum())
    )
