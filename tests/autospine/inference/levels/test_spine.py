from __future__ import annotations

import numpy as np
import pytest

from autospine.inference.levels.instances import Instance
from autospine.inference.levels.spine import beside_the_spine, step_cost, vertebra_sequence

DISTANCE_ROWS = 32.0


def at(row: float, column: float = 60.0, size: int = 300, weight: float = 0.9) -> Instance:
    return Instance(np.arange(size), np.array([20.0, row, column]), np.zeros(5), weight)


SPINE = [at(200.0 - DISTANCE_ROWS * k, 60.0 + 3 * k) for k in range(5)]


def test_a_spine_is_a_chain() -> None:
    assert vertebra_sequence(SPINE, DISTANCE_ROWS) == SPINE
    assert vertebra_sequence(SPINE[:1], DISTANCE_ROWS) == SPINE[:1]
    assert vertebra_sequence([], DISTANCE_ROWS) == []


@pytest.mark.parametrize("spurious", [at(150.0, 160.0), at(100.0, -40.0), at(95.0, 150.0, weight=0.99)])
def test_what_lies_beside_is_left_out(spurious: Instance) -> None:
    ordered = sorted([*SPINE, spurious], key=lambda each: -each.centroid[1])
    assert vertebra_sequence(ordered, DISTANCE_ROWS) == SPINE
    assert beside_the_spine(spurious, SPINE, DISTANCE_ROWS)


def test_a_missing_vertebra_does_not_break_the_chain() -> None:
    gap = [*SPINE[:2], *SPINE[3:]]
    assert vertebra_sequence(gap, DISTANCE_ROWS) == gap


def test_discs_lie_on_the_line_also_under_and_above_the_vertebrae() -> None:
    for row in (216.0, 184.0, 56.0):
        assert not beside_the_spine(at(row, 62.0), SPINE, DISTANCE_ROWS)


def test_steps_that_no_spine_takes() -> None:
    lower = np.array([20.0, 200.0, 60.0])
    assert step_cost(lower, lower - [0, DISTANCE_ROWS, 0], DISTANCE_ROWS) == 0
    assert step_cost(lower, lower - [0, 0.3 * DISTANCE_ROWS, 0], DISTANCE_ROWS) is None  # too near
    assert step_cost(lower, lower - [0, 5 * DISTANCE_ROWS, 0], DISTANCE_ROWS) is None  # too far
    assert step_cost(lower, lower - [0, 2, DISTANCE_ROWS], DISTANCE_ROWS) is None  # sideways
    assert step_cost(lower, lower - [0, -DISTANCE_ROWS, 0], DISTANCE_ROWS) is None  # down
    far = step_cost(lower, lower - [0, 2 * DISTANCE_ROWS, 0], DISTANCE_ROWS)
    assert far is not None
    assert far > 0
