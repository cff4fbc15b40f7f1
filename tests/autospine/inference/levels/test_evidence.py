"""What lies below the lowest vertebra, and how the column leans there, as likelihoods of its level."""

from __future__ import annotations

import numpy as np
import pytest

from autospine.inference.levels.evidence import (
    FARTHER_DISC,
    HIDDEN,
    LEAN,
    NO_FARTHER_DISC,
    OVERLOOKED,
    SEGMENT_TAKEN,
    discs_below,
    lean,
    reach_of_discs,
    room_below,
)
from autospine.inference.levels.instances import Instance

DISTANCE_MM = 35.0


def spine_leaning(degrees: float, count: int = 3) -> list[Instance]:
    step = DISTANCE_MM * np.array([0, -np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))])
    return [at(np.array([20.0, 300.0, 60.0]) + k * step) for k in range(count)]


def at(centre: np.ndarray) -> Instance:
    return Instance(np.arange(300), centre, np.zeros(5), 0.9)


@pytest.mark.parametrize("margin", [0.0, 0.5, 0.75])
def test_an_image_that_ends_right_below_says_nothing(margin: float) -> None:
    np.testing.assert_array_equal(room_below(4, margin), np.ones(5))


def test_room_for_a_part_of_a_vertebra_excludes_a_missed_one_and_room_for_a_whole_one_does_not() -> None:
    np.testing.assert_allclose(room_below(4, 1.25), [SEGMENT_TAKEN, 1, HIDDEN, HIDDEN, HIDDEN])
    np.testing.assert_allclose(room_below(4, 3.0), [SEGMENT_TAKEN, 1, OVERLOOKED, OVERLOOKED**2, OVERLOOKED**3])
    assert room_below(1, 3.0).tolist() == [SEGMENT_TAKEN, 1]


@pytest.mark.parametrize("entry", range(4))
def test_a_step_that_leans_like_a_level_fits_that_level_best(entry: int) -> None:
    likelihood = lean(spine_leaning(LEAN[entry]), 7, 1)
    assert likelihood.argmax() == entry
    assert likelihood[entry] == pytest.approx(1)
    assert likelihood.min() >= 0.2 - 1e-9


def test_lean_needs_two_vertebrae_and_levels_from_the_first() -> None:
    np.testing.assert_array_equal(lean(spine_leaning(8.0, 1), 4, 1), np.ones(5))
    np.testing.assert_array_equal(lean(spine_leaning(8.0), 4, 2), np.ones(5))


def test_one_disc_below_speaks_for_the_first_level_and_a_farther_one_for_a_missed_vertebra() -> None:
    np.testing.assert_array_equal(discs_below(3, None), np.ones(4))
    np.testing.assert_array_equal(discs_below(3, 0.55), [NO_FARTHER_DISC, 1, NO_FARTHER_DISC, NO_FARTHER_DISC])
    np.testing.assert_array_equal(discs_below(3, 1.5), [FARTHER_DISC, FARTHER_DISC, 1, FARTHER_DISC])


def test_the_reach_is_that_of_the_lowest_disc() -> None:
    spine = spine_leaning(0.0)
    low = spine[0].centroid
    discs = [at(low + np.array([0, share * DISTANCE_MM, 0])) for share in (-0.5, 0.5, 1.5)]
    assert reach_of_discs(discs, spine, DISTANCE_MM) == pytest.approx(1.5)
    assert reach_of_discs(discs[:2], spine, DISTANCE_MM) == pytest.approx(0.5)
    assert reach_of_discs(discs[:1], spine, DISTANCE_MM) is None
