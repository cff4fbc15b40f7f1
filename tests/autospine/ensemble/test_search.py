from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.ensemble import stored_image
from autospine.ensemble.search import (
    GRID_STEPS,
    all_pairs,
    best_weighting,
    hill_climb,
    mean_scores,
    neighbours,
    pair_grid,
    score_blends,
    search_pairs,
    shares,
    single_member,
)
from tests.autospine.ensemble.conftest import Made, make_image


def brute_force(made: Made, weights: tuple[float, ...]) -> tuple[float, float]:
    """Mean IoU and Dice of a blend, from the whole arrays by set arithmetic."""
    full = made.full()
    blended = sum(np.float32(w) * each for w, each in zip(weights, full, strict=True) if w)
    answer, known = blended.argmax(axis=0), made.reference >= 0
    ious, dices = [], []
    for label in range(1, full.shape[1]):
        predicted, annotated = (answer == label) & known, (made.reference == label) & known
        if (predicted | annotated).any():
            ious.append((predicted & annotated).sum() / (predicted | annotated).sum())
            dices.append(2 * (predicted & annotated).sum() / (predicted.sum() + annotated.sum()))
    return (float(np.mean(ious)), float(np.mean(dices))) if ious else (np.nan, np.nan)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    members=st.integers(2, 4),
    classes=st.integers(2, 6),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    sureness=st.floats(0, 8),
    block=st.integers(1, 60),
)
def test_the_search_equals_brute_force_on_the_stored_probabilities(
    seed: int, members: int, classes: int, shape, sureness: float, block: int
) -> None:
    """Every pair, every one of its 21 weights, whatever the blocks."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_image, "BLOCK", block)
        images = [make_image(Path(folder), seed + k, members, classes, shape, sureness) for k in range(2)]
        found = search_pairs([each.image for each in images], members)
        assert len(found) == len(all_pairs(members)) * (GRID_STEPS - 1) + members
        for weighting, scores in found.items():
            expected = np.array([brute_force(each, shares(weighting)) for each in images])
            np.testing.assert_allclose(scores.iou, expected[:, 0], rtol=1e-12)
            np.testing.assert_allclose(scores.dice, expected[:, 1], rtol=1e-12)
            known = expected[~np.isnan(expected[:, 0]), 0]
            if known.size:
                assert scores.mean_iou == pytest.approx(known.mean())


def test_the_best_pair_is_the_one_of_the_highest_mean_iou(made) -> None:
    images = [made(k) for k in range(3)]
    found = search_pairs([each.image for each in images], 3)
    every = {
        tuple(round(w * GRID_STEPS) for w in weights): np.mean([brute_force(each, weights)[0] for each in images])
        for pair in itertools.combinations(range(3), 2)
        for weights in (tuple({pair[0]: k / 20, pair[1]: 1 - k / 20}.get(m, 0.0) for m in range(3)) for k in range(21))
    }
    assert best_weighting(found) == max(every, key=lambda each: every[each])
    assert len({each.mean_iou for each in found.values()}) > 20  # the search has something to choose from


def test_of_equals_the_fewest_members_are_taken(made) -> None:
    """A member and its copy: nothing is gained by blending, so one is enough."""
    image = made(0, members=1)
    twin = image.image
    twin.write([*image.paths, *image.paths], image.reference, (slice(None),) * 3, "p", ["a", "b"])
    found = search_pairs([twin], 2)
    assert len({scores.mean_iou for scores in found.values()}) == 1
    assert best_weighting(found) in (single_member(0, 2), single_member(1, 2))


def test_weightings_deal_out_twenty_parts() -> None:
    found = pair_grid(0, 2, 3)
    assert len(found) == 21
    assert (found[0], found[17], found[20]) == ((0, 0, 20), (17, 0, 3), (20, 0, 0))
    assert shares((17, 0, 3)) == (0.85, 0.0, 0.15)
    for weighting in (found[0], found[17]):
        assert all(sum(each) == GRID_STEPS and min(each) >= 0 for each in neighbours(weighting))
    assert len(neighbours((17, 0, 3))) == 4
    assert len(neighbours((1, 1, 18))) == 6


@pytest.mark.parametrize("seed", range(3))
def test_hill_climbing_ends_where_no_single_move_is_better(made, seed: int) -> None:
    images = [made(10 * seed + k, members=4) for k in range(2)]
    pairs = search_pairs([each.image for each in images], 4)
    found = hill_climb([each.image for each in images], pairs)
    top = best_weighting(found)

    def score(weighting) -> float:
        return float(np.mean([brute_force(each, shares(weighting))[0] for each in images]))

    assert score(top) == pytest.approx(found[top].mean_iou)
    assert score(top) >= max(each.mean_iou for each in pairs.values())
    assert all(score(each) <= score(top) + 1e-12 for each in neighbours(top))


def test_a_class_in_neither_mask_counts_nowhere_and_one_in_either_counts_0() -> None:
    tables = np.zeros((3, 4, 4), int)
    tables[:, 0, 0] = 100
    tables[0, 1, 1], tables[0, 0, 1] = 3, 1  # class 1: 3 of 4
    tables[1] = tables[0]
    tables[1, 2, 0] = 5  # class 2 only in the answer
    iou, dice = mean_scores(tables)
    np.testing.assert_allclose(iou, [3 / 4, 3 / 8, np.nan])
    np.testing.assert_allclose(dice, [6 / 7, 3 / 7, np.nan])


def test_memory_is_that_of_a_block_not_of_the_images(made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_image, "BLOCK", 2**10)
    image = made(0, members=4, classes=10, shape=(12, 64, 64), sureness=0.0).image  # almost all is disputed
    stored = image.values_path.stat().st_size
    assert stored > 3_000_000
    wanted = [each for pair in all_pairs(4) for each in pair_grid(*pair, 4)][::6]
    tracemalloc.start()
    score_blends([image], wanted)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < stored / 3
