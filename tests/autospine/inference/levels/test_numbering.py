from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.inference.levels.instances import Instance
from autospine.inference.levels.numbering import (
    between,
    count_steps,
    number,
    number_between,
    start_probabilities,
    start_scores,
)

DISTANCE_ROWS = 35.0


def column(pitches: list[float], lowest: float = 300.0) -> np.ndarray:
    """Middles one above another, mm, lowest first."""
    rows = lowest - np.concatenate([[0], np.cumsum(pitches)])
    return np.stack([np.full_like(rows, 20), rows, np.full_like(rows, 60)], axis=1)


def instances(centres: np.ndarray, levels: list[int], known: int = 7, sure: float = 0.9) -> list[Instance]:
    probabilities = np.full((len(levels), known), (1 - sure) / (known - 1))
    probabilities[np.arange(len(levels)), np.array(levels) - 1] = sure
    return [Instance(np.arange(9), m, np.log(o), 0.9) for m, o in zip(centres, probabilities, strict=True)]


@pytest.mark.parametrize(
    ("pitches", "steps"),
    [
        ([], [0]),
        ([35.0], [0, 1]),
        ([35.0, 36, 34, 33], [0, 1, 2, 3, 4]),
        ([35.0, 70, 34, 33], [0, 1, 3, 4, 5]),
        ([35.0, 36, 101, 33], [0, 1, 2, 5, 6]),
        ([30.0, 34, 38, 42, 46], [0, 1, 2, 3, 4, 5]),  # vertebrae grow, none is missing
        ([22.0, 38], [0, 1, 2]),  # the lowest is cut by the image's edge, so its middle is near
        ([26.0, 26, 52], [0, 1, 2, 4]),  # a small spine
    ],
)
def test_steps_count_what_is_missing(pitches: list[float], steps: list[int]) -> None:
    assert count_steps(column(pitches), DISTANCE_ROWS).tolist() == steps


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 1000))
def test_probabilities_sum_to_one(count: int, known: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    evidence = np.log(generator.dirichlet(np.ones(known), count).clip(1e-4))
    scores = start_scores(evidence, generator.uniform(0.1, 1, count), np.arange(count))
    found = start_probabilities(scores, float(generator.uniform(0.1, 5)))
    assert found.shape == (known + 1,)
    assert found.sum() == pytest.approx(1)
    assert found.argmax() == scores.argmax()


def test_the_temperature_divides_the_scores() -> None:
    scores = np.log([0.2, 0.8])
    np.testing.assert_allclose(start_probabilities(scores, 1.0), [0.2, 0.8])
    np.testing.assert_allclose(start_probabilities(scores, 0.5), [1 / 17, 16 / 17])


@pytest.mark.parametrize("lowest", [1, 2, 3])
def test_confident_levels_number_a_sequence_that_ends_below(lowest: int) -> None:
    levels = list(range(lowest, lowest + 4))
    found = number(instances(column([35.0] * 3), levels), 1, 20.0, DISTANCE_ROWS)
    assert found.levels == tuple(levels)
    assert found.ambiguous
    assert found.confidence <= 0.5


def test_the_first_known_level_may_be_another_than_one() -> None:
    found = number(instances(column([35.0] * 2), [1, 2, 3]), 4, 90.0, DISTANCE_ROWS)
    assert found.levels == (4, 5, 6)


def test_a_sacral_segment_below_the_first_level_gets_the_level_before_it() -> None:
    """Five sure vertebrae and one below them: the five keep their levels."""
    made = instances(column([35.0] * 5), [1, 1, 2, 3, 4, 5], sure=0.97)
    undecided = Instance(made[0].members, made[0].centroid, np.log(np.full(7, 1 / 7)), 0.9)
    found = number([undecided, *made[1:]], 1, 20.0, DISTANCE_ROWS)
    assert found.levels == (0, 1, 2, 3, 4, 5)


def test_what_should_lie_in_between_is_told() -> None:
    found = number(instances(column([35.0, 70, 35]), [1, 2, 4, 5]), 1, 90.0, DISTANCE_ROWS)
    assert found.levels == (1, 2, 4, 5)
    assert found.skipped == (3,)


def test_between_is_zero_below_and_one_above() -> None:
    below, above = np.array([100.0, 10.0]), np.array([60.0, 20.0])
    assert between(below, above, below) == 0
    assert between(below, above, above) == pytest.approx(1)
    assert between(below, above, (below + above) / 2) == pytest.approx(0.5)


def test_discs_get_the_level_of_the_vertebra_above_them() -> None:
    vertebrae = instances(column([35.0] * 3), [1, 2, 3, 4])
    rows = [317.0, 283.0, 247.0, 212.0, 178.0]  # under the lowest, three in between, above the topmost
    discs = [Instance(np.arange(3), np.array([20, row, 60]), np.zeros(7), 1.0) for row in rows]
    assert number_between(discs, vertebrae, (1, 2, 3, 4)) == (1, 2, 3, 4, 5)
    assert number_between(discs[::-1], vertebrae, (1, 2, 3, 4)) == (5, 4, 3, 2, 1)


def test_two_discs_around_an_unseen_vertebra() -> None:
    vertebrae = instances(column([35.0, 70.0]), [1, 2, 4])
    discs = [Instance(np.arange(3), np.array([20, row, 60]), np.zeros(7), 1.0) for row in (247.5, 212.5)]
    assert number_between(discs, vertebrae, (1, 2, 4)) == (3, 4)


def test_pieces_of_a_disc_get_one_level() -> None:
    vertebrae = instances(column([35.0] * 2), [1, 2, 3])
    pieces = [Instance(np.arange(3), np.array([20, 282.0, c]), np.zeros(7), 1.0) for c in (45.0, 75.0)]
    assert number_between(pieces, vertebrae, (1, 2, 3)) == (2, 2)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_a_calibration_changes_the_confidence_alone(temperature: float) -> None:
    """The levels that are decided without it keep the probability that it gives them."""
    made = instances(column([35.0] * 3), [1, 2, 3, 4], sure=0.6)
    plain, found = (number(made, 1, 90.0, DISTANCE_ROWS, temperature=value) for value in (1.0, temperature))
    assert found.levels == plain.levels == (1, 2, 3, 4)
    assert found.evidence.start == 1
    assert found.confidence == found.evidence.probabilities(temperature)[1]
    scores, below = found.evidence.scores, found.evidence.below
    weights = np.exp(scores / (0.5 * temperature)) * below
    assert found.confidence == pytest.approx(weights[1] / weights.sum())
    assert (temperature < 1) == (found.confidence > plain.confidence)


def test_a_calibration_may_flag_a_numbering_and_never_clears_one() -> None:
    sure = instances(column([35.0] * 3), [1, 2, 3, 4], sure=0.6)
    assert number(sure, 1, 90.0, DISTANCE_ROWS).ambiguous == ""
    assert number(sure, 1, 90.0, DISTANCE_ROWS, temperature=50.0).ambiguous.startswith("the lowest could also be")
    unsure = instances(column([35.0] * 3), [1, 2, 3, 4], sure=1 / 7)
    assert number(unsure, 1, 90.0, DISTANCE_ROWS).ambiguous
    assert number(unsure, 1, 90.0, DISTANCE_ROWS, temperature=0.01).ambiguous
